"""An output whose files roll over: by the time of what is captured, and by size."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.sound import Sound
from emotion_stream.sink.events.event import Event, Listener
from emotion_stream.sink.outputs import images
from emotion_stream.sink.outputs.blocks import room
from emotion_stream.sink.outputs.csv_table import OtherLabels
from emotion_stream.sink.results.hearing import Hearing
from emotion_stream.sink.results.output import Buffering, Image, Output, Result
from emotion_stream.sink.retention import naming
from emotion_stream.sink.retention.policy import Segment
from emotion_stream.sink.retention.shelf import FOLDERS, Shelf

Opener = Callable[[Path, int], Output]
"""Opens a file to write it, or to go on with it; the number is that of its part. A video gets the name of the
first part, and finds its own."""
LATE = 60.0
"""Seconds behind the end of a period after which a file that nothing comes for is finished."""
GO_ON = ("jsonl", "csv", "events", "images", "faces")
"""Outputs that go on with a file of an earlier process; a video begins another one."""
NEEDS_IMAGE = ("video", "images", "faces")


@dataclass(slots=True)
class Lane:
    """What is being written of one camera.

    Attributes:
        name, path: which file it is. Of a folder, `path` is that of the camera in it.
        begin, end: the period, seconds since 1970.
        output: what writes it.
        before: bytes that were there when it was opened, of a folder.
        newest: when the newest result in it was captured, as far as is known.
        size: bytes, as of the last flush.
    """

    name: naming.Name
    path: Path
    begin: float
    end: float
    output: Any
    before: int
    newest: float
    size: int = 0


class Rolling:
    """Writes results into a file for each camera and period, and a further one where a file becomes too large.

    What a process before this one was writing is continued. The file of a period is chosen by when a frame was
    captured, so what is told twice comes to the file that holds it already.

    Attributes: as `Store` says.
    """

    def __init__(self, shelf: Shelf, opener: Opener, period: int) -> None:
        self.kind = shelf.kind
        self.target = shelf.target
        self.needs_image = self.kind in NEEDS_IMAGE
        self.limit: int | None = None
        self._shelf = shelf
        self._open = opener
        self._period = period
        self._lanes: dict[str, Lane] = {}
        self._last: dict[str, naming.Name] = {}

    # --- writing -----------------------------------------------------------------------------------------

    def write(self, result: Result, image: Image | None) -> None:
        """Write a result into the file of its camera and time."""
        if self.kind == "events":
            return
        info = result.info
        lane = self._lane(info.camera, info.captured_at)
        try:
            lane.output.write(result, image)
        except OtherLabels:
            lane = self._next(lane)
            lane.output.write(result, image)

    def tell(self, event: Event) -> None:
        """Write an event into the file of its camera and time."""
        lane = self._lane(event.camera, event.told_at)
        if isinstance(lane.output, Listener):
            lane.output.tell(event)

    def hear(self, sound: Sound) -> None:
        """Hand sound of a camera to the clip that is being written."""
        lane = self._lanes.get(sound.camera)
        if lane is not None and isinstance(lane.output, Hearing):
            lane.output.hear(sound)

    def flush(self) -> None:
        """Hand everything to the operating system, and look how large the files have become."""
        for lane in self._lanes.values():
            lane.output.flush()
            self._measure(lane)

    def forget(self) -> None:
        """See `sink.output.Buffering`."""
        for lane in self._lanes.values():
            if isinstance(lane.output, Buffering):
                lane.output.forget()

    def let_go(self, camera: str) -> None:
        """Finish the file of a camera that has gone.

        Raises:
            EmotionError: it could not be finished.
        """
        if camera in self._lanes:
            self._finish(camera)
        self._last.pop(camera, None)

    def close(self) -> None:
        """Finish all files.

        Raises:
            EmotionError: one could not be finished; the others are.
        """
        failures = []
        for camera in list(self._lanes):
            try:
                self._finish(camera)
            except EmotionError as e:
                failures.append(e)
        if failures:
            raise failures[0]

    def _lane(self, camera: str, time: float) -> Lane:
        """The file of this camera and time, opened if it is not."""
        time = naming.bounded(time)
        lane = self._lanes.get(camera)
        if lane is not None and lane.begin <= time < lane.end:
            lane.newest = max(lane.newest, time)
            return self._next(lane) if self.limit is not None and lane.size >= self.limit else lane
        if lane is not None:
            self._finish(camera)
        label = naming.label(time, self._period)
        parts = self._shelf.parts(camera, label)
        name = naming.Name(camera, label, max(parts, default=1))
        last = self._last.get(camera)
        if last is not None and last.label == label:
            name = naming.Name(camera, label, max(name.part, last.part))
        if parts and not self._can_go_on(name):
            name = naming.Name(camera, label, name.part + 1)
        return self._begin(name, time)

    def _can_go_on(self, name: naming.Name) -> bool:
        if self.kind not in GO_ON:
            return False
        there = self._shelf.find(self._path(name))
        return self.limit is None or there is None or there.size < self.limit

    def _next(self, lane: Lane) -> Lane:
        """The next file of the same period."""
        camera, label, part = lane.name.camera, lane.name.label, lane.name.part
        self._finish(camera)
        return self._begin(naming.Name(camera, label, part + 1), lane.newest, lane.output)

    def _begin(self, name: naming.Name, time: float, before: Any = None) -> Lane:
        """Open a file; `before` is what wrote the one before it, of the same period."""
        path = self._path(name)
        while self.kind not in FOLDERS and path.exists() and not self._may_write(path):
            name = naming.Name(name.camera, name.label, name.part + 1)  # somebody's file is called so
            path = self._path(name)
        there = self._shelf.take(path)
        output: Any = self._opened(name, path)
        if hasattr(output, "follow"):
            with contextlib.ExitStack() as stack:
                if before is None and name.part > 1 and self.kind != "video":
                    earlier = naming.Name(name.camera, name.label, name.part - 1)
                    if self._shelf.find(self._path(earlier)) is not None:
                        before = self._opened(earlier, self._path(earlier))
                        stack.callback(before.close)
                if before is not None:
                    output.follow(before)
        begin = name.begin
        known = there.end if there is not None and there.end < begin + self._period else time
        lane = Lane(name, path, begin, begin + self._period, output, there.size if there else 0, max(known, time))
        self._lanes[name.camera], self._last[name.camera] = lane, name
        self._measure(lane)
        return lane

    def _may_write(self, path: Path) -> bool:
        return self.kind in GO_ON and self._shelf.is_ours(path)

    def _opened(self, name: naming.Name, path: Path) -> Output:
        if self.kind in FOLDERS:
            images.make_folder(self.target)
            return self._open(path.parent, name.part)
        if self.kind == "video":
            return self._open(self._path(naming.Name(name.camera, name.label)), name.part)
        return self._open(path, name.part)

    def _path(self, name: naming.Name) -> Path:
        if self.kind in FOLDERS:
            return images.folder(naming.folder(self.target, name), name.camera)
        return naming.file(self.target, name)

    def _measure(self, lane: Lane) -> None:
        lane.size = lane.before + lane.output.size if self.kind in FOLDERS else room(lane.path)

    def _finish(self, camera: str) -> None:
        lane = self._lanes.pop(camera)
        try:
            lane.output.close()
        finally:
            self._measure(lane)
            if lane.path.exists():
                end = min(lane.newest, lane.end)
                self._shelf.put(Segment(lane.path, end, lane.size, lane.begin, lane.name.part))
            elif self.kind in FOLDERS:
                with contextlib.suppress(OSError):  # nothing was worth keeping; other cameras may have something
                    lane.path.parent.rmdir()

    # --- keeping -----------------------------------------------------------------------------------------

    def size(self) -> int:
        """Bytes that all its results take, as of the last flush."""
        return self._shelf.size + sum(lane.size for lane in self._lanes.values())

    def growing(self) -> int:
        """Bytes by which closing a file may grow it: a clip with sound is written anew beside itself."""
        return max((lane.size for lane in self._lanes.values()), default=0) if self.kind == "video" else 0

    def writing(self) -> int:
        """How many files are being written."""
        return len(self._lanes)

    def oldest(self) -> Segment | None:
        """What would go first; never what is being written."""
        return self._shelf.oldest()

    def remove(self, segment: Segment, until: float) -> bool:
        """Remove a segment, or a part of it."""
        return self._shelf.remove(segment, until)

    def rest(self, now: float) -> None:
        """Finish files whose period is long over."""
        for camera, lane in list(self._lanes.items()):
            if now >= lane.end + LATE:
                self._finish(camera)

    def stop(self) -> None:
        """Finish all files; a line that was cut off by a full disk goes."""
        for camera, lane in list(self._lanes.items()):
            with contextlib.suppress(EmotionError):
                self._finish(camera)
            if self.kind in ("jsonl", "csv", "events"):
                with contextlib.suppress(EmotionError):
                    self._opened(lane.name, lane.path).close()
