"""What lies on disk of one output: its finished files, and whether they are ours.

A shelf is what a `Rolling` output keeps in mind between looks at the disk, which it takes once, when it begins.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from emotion_stream.sink.claims import OURS
from emotion_stream.sink.outputs import faces, images
from emotion_stream.sink.outputs.blocks import room
from emotion_stream.sink.retention import naming
from emotion_stream.sink.retention.policy import Segment, oldest

log = logging.getLogger(__name__)

FOLDERS = {"images": images.NAME, "faces": faces.NAME}
"""Outputs that fill folders, and what their files are called."""


class Shelf:
    """The finished segments of one output.

    Attributes:
        kind: as in `--output`.
        target: the file or folder that the user named.
    """

    def __init__(self, kind: str, target: Path, period: int, clock: Callable[[], float]) -> None:
        self.kind = kind
        self.target = target
        self._period = period
        self._clock = clock
        self._segments: dict[Path, Segment] = {}
        self._oldest: Segment | None = None
        self._size = 0
        for segment in self._found():
            self.put(segment)

    @property
    def size(self) -> int:
        """Bytes that they all take."""
        return self._size

    def __len__(self) -> int:
        return len(self._segments)

    def find(self, path: Path) -> Segment | None:
        """The segment that lies there."""
        return self._segments.get(path)

    def put(self, segment: Segment) -> None:
        """Add a segment that is finished."""
        self.take(segment.path)
        self._segments[segment.path] = segment
        self._size += segment.size
        self._oldest = None

    def take(self, path: Path) -> Segment | None:
        """Take a segment out: it is written again, or gone."""
        segment = self._segments.pop(path, None)
        if segment is not None:
            self._size -= segment.size
            self._oldest = None
        return segment

    def oldest(self) -> Segment | None:
        """What goes first."""
        if self._oldest is None:
            self._oldest = oldest(self._segments.values())
        return self._oldest

    def parts(self, camera: str, label: str) -> list[int]:
        """The numbers of a camera's files of one period."""
        found = []
        for path in self._segments:
            name = self._name(path)
            if name is not None and (name.label, name.camera) == (label, camera):
                found.append(name.part)
        return found

    def is_ours(self, path: Path) -> bool:
        """Whether a file is of the kind that this output writes; folders are looked at file by file."""
        try:
            return self.kind in FOLDERS or (path.is_file() and not path.is_symlink() and OURS[self.kind](path))
        except OSError:
            return False

    def remove(self, segment: Segment, until: float) -> bool:
        """Remove what is ours of a segment, or as much as can be done until then (monotonic seconds); a file is
        always done. Returns whether there is progress."""
        try:
            if self.kind in FOLDERS:
                return self._remove_folder(segment, until)
            if self.is_ours(segment.path):
                segment.path.unlink(missing_ok=True)
        except OSError as e:
            log.warning("%s cannot be removed: %s", segment.path, e.strerror)
        self.take(segment.path)
        return True

    def _remove_folder(self, segment: Segment, until: float) -> bool:
        size = segment.size
        for path in self._pictures(segment.path):
            taken = room(path)
            if images.is_ours(path):
                path.unlink(missing_ok=True)
                size -= taken
            if time.monotonic() > until:
                self.put(Segment(segment.path, segment.end, max(0, size), segment.begin, segment.part))
                return True
        self.take(segment.path)
        for folder in (segment.path, segment.path.parent):
            if folder != self.target:
                with contextlib.suppress(OSError):  # something else lies there
                    folder.rmdir()
        return True

    def _pictures(self, folder: Path) -> Iterator[Path]:
        """Files of a camera's folder that are called as ours are."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if FOLDERS[self.kind].fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)

    # --- what was there before ---------------------------------------------------------------------------

    def _name(self, path: Path) -> naming.Name | None:
        if self.kind not in FOLDERS:
            return naming.read_file(self.target, path.name)
        name = naming.read_folder(path.parent.name)
        return name and naming.Name(images.camera_of(path), name.label, name.part)

    def _found(self) -> Iterator[Segment]:
        places = self._folders() if self.kind in FOLDERS else self._files()
        for path in places:
            try:
                changed = path.stat().st_mtime
                size = sum(map(room, self._pictures(path))) if self.kind in FOLDERS else room(path)
            except OSError:
                continue
            if size or self.kind not in FOLDERS:
                yield self._segment(path, size, min(changed, self._clock()))

    def _segment(self, path: Path, size: int, changed: float) -> Segment:
        """A segment of an earlier process: its newest result is as new as its label and its last change allow."""
        name = self._name(path)
        if name is None:
            return Segment(path, changed, size, changed)
        return Segment(path, max(changed, name.end(self._period)), size, name.begin, name.part)

    def _files(self) -> Iterator[Path]:
        for path in sorted(self.target.absolute().parent.iterdir()):
            if naming.is_named_so(self.kind, self.target, path.name) and self.is_ours(path):
                yield self.target.parent / path.name

    def _folders(self) -> Iterator[Path]:
        for folder in _inside(self.target):
            if naming.read_folder(folder.name) is not None:
                yield from _inside(folder)
            else:
                yield folder


def _inside(folder: Path) -> list[Path]:
    """The folders in a folder."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
