"""Image folders, globs, and lists of pictures."""

import glob
import logging
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from emotion_stream.producer.pictures.header import UNKNOWN, read_header
from emotion_stream.producer.pictures.pixels import decode
from emotion_stream.producer.pictures.source import Context, Picture, too_large
from emotion_stream.producer.sources.kinds import IMAGE_SUFFIXES, Kind, is_video, kind_of
from emotion_stream.producer.sources.spec import SUPPORTED, SourceSpec, printable
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import NOTICE
from emotion_stream.shared.messages.jpeg import SOI, ended
from emotion_stream.shared.messages.types import MAX_JPEG_BYTES, Mode

log = logging.getLogger(__name__)

DEFAULT_RATE = 10.0
"""Pictures per second, lossless: with it the media time of picture i is i / 10 seconds."""
MAX_FILE_BYTES = 512 * 1024 * 1024
VIDEO = "it is a video; `emotion run` and analyze_source take videos"


class Pictures:
    """The pictures of a folder (not of folders inside it, nor hidden ones), a glob (`**` goes deep) or a list, in
    natural order.

    A picture that cannot be read takes its place as an error. The list is made on opening: a folder that grows or
    shrinks meanwhile shifts what a restarted producer takes for picture number `start`.
    """

    mode: Mode = "lossless"

    def __init__(self, spec: SourceSpec, context: Context, rate: float | None = None) -> None:
        self.name = spec.name
        self.url = printable(spec.target)
        self.rate: float | None = rate or DEFAULT_RATE
        self._spec = spec
        self._context = context
        self._paths: list[Path] = []
        self._next = 0

    def open(self, start: int = 0) -> None:
        """List the pictures.

        Raises:
            EmotionError: there are none, or the folder is not there or cannot be listed.
        """
        if not glob.has_magic(self._spec.target) and not os.path.exists(self._spec.target):
            raise EmotionError(f"source {self.url}: no such file or folder")
        files: dict[Kind, list[Path]] = {} if self._spec.files else kinds(list_files(self._spec))
        self._paths = [Path(f) for f in self._spec.files] or files["picture"]
        if not self._paths:
            raise EmotionError(f"no pictures in {self.url}: supported are {SUPPORTED}")
        self._next = start
        line = left_out(files)
        if line:
            log.log(NOTICE, "%s: %s", self.url, line)

    def read(self) -> Picture | None:
        """The next picture, or None at the end or when told to stop."""
        if self._context.stop.is_set() or self._next >= len(self._paths):
            return None
        index = self._next
        self._next += 1
        assert self.rate is not None
        return read_picture(self._paths[index], index / self.rate)

    def close(self) -> None:
        """Forget the list of files."""
        self._paths = []


def list_pictures(spec: SourceSpec) -> list[Path]:
    """The pictures of `spec` in natural order; those that were named one by one are all of them.

    Raises:
        EmotionError: the folder cannot be listed.
    """
    return [Path(f) for f in spec.files] if spec.files else kinds(list_files(spec))["picture"]


def list_files(spec: SourceSpec) -> list[Path]:
    """The files of a folder or glob, in natural order.

    Raises:
        EmotionError: the folder cannot be listed.
    """
    if os.path.isdir(spec.target):
        try:
            found = [Path(spec.target) / name for name in os.listdir(spec.target) if name[0] != "."]
        except OSError as e:
            raise EmotionError(f"folder {printable(spec.target)} cannot be listed ({e.strerror})") from e
    else:
        found = [Path(name) for name in glob.iglob(spec.target, recursive=True)]
    return sorted((p for p in found if p.is_file()), key=natural_key)


def kinds(files: Iterable[Path]) -> dict[Kind, list[Path]]:
    """The files by what they hold; one whose name says picture is one, whatever it holds."""
    sorted_out: dict[Kind, list[Path]] = defaultdict(list)
    for path in files:
        try:
            kind = kind_of(path)
        except OSError:
            kind = "unknown"
        sorted_out["picture" if path.suffix.lower() in IMAGE_SUFFIXES and kind == "unknown" else kind].append(path)
    return sorted_out


def left_out(others: dict[Kind, list[Path]]) -> str:
    """What of a folder is not shown, in a line; empty where all is."""
    count = {kind: len(paths) for kind, paths in others.items() if paths and kind != "picture"}
    moving = count.get("video", 0) + count.get("animation", 0)
    unknown = count.get("unknown", 0)
    words = [f"{moving} video{'s' * (moving > 1)}"] * bool(moving) + [f"{unknown} of unknown kind"] * bool(unknown)
    total = moving + unknown
    return f"{total} file{'s' * (total > 1)} left out: {', '.join(words)}" if total else ""


def folder_clips(spec: SourceSpec) -> list[str]:
    """The clips of a folder or glob without a picture, in natural order: they are what is meant, then."""
    if spec.files:
        return []
    files = kinds(list_files(spec))
    return (
        [] if files["picture"] else [str(p) for p in sorted(files["video"] + files["animation"], key=natural_key)]
    )


def natural_key(path: Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sorts img2 before img10; the plain text decides between names that are otherwise equal. Pure."""
    parts = re.split(r"([0-9]+)", str(path).casefold())
    key = tuple((0, int(p), "") if p.isascii() and p.isdigit() else (1, 0, p) for p in parts if p)
    return key, str(path)


def read_picture(path: Path, media_time: float) -> Picture:
    """Read one file. JPEGs that need no turning stay bytes; what cannot be read becomes an error."""
    source, name = printable(str(path)), printable(path.name)
    captured_at = time.time()
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ValueError(f"it has {size} bytes, more than {MAX_FILE_BYTES}")
        return read_bytes(path.read_bytes(), name, media_time, source)
    except OSError as e:
        error = f"{name}: cannot be read ({e.strerror})"
    except MemoryError:
        error = f"{name}: cannot be decoded: not enough memory"
    except ValueError as e:
        error = f"{name}: cannot be decoded: {e}"
    return Picture(None, None, 0, 0, media_time, captured_at, error, source, still=True)


def read_bytes(data: bytes, name: str, media_time: float = 0.0, source: str | None = None) -> Picture:
    """The same of a file's content. `name` is what an error calls it, `source` where it came from."""
    captured_at = time.time()
    try:
        size = len(data)
        if data.startswith(SOI):
            data = ended(data)
        header = read_header(data)
        problem = too_large(header.width, header.height)
        if problem:
            raise ValueError(problem)
        if header.plain and size <= MAX_JPEG_BYTES:
            return Picture(
                None, data, header.width, header.height, media_time, captured_at, source=source, still=True
            )
        image = decode(data, header)
        height, width = image.shape[:2]
        problem = too_large(width, height)
        if problem:
            raise ValueError(problem)
        return Picture(image, None, width, height, media_time, captured_at, source=source, still=True)
    except MemoryError:
        error = f"{name}: cannot be decoded: not enough memory"
    except ValueError as e:
        error = f"{name}: cannot be decoded: {VIDEO if str(e) == UNKNOWN and is_video(data) else e}"
    return Picture(None, None, 0, 0, media_time, captured_at, error, source, still=True)
