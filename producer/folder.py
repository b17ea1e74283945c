"""Image folders, globs, and lists of pictures."""

import glob
import os
import re
import time
from pathlib import Path

from producer.header import read_header
from producer.pixels import decode
from producer.source import Context, Picture, too_large
from producer.spec import IMAGE_SUFFIXES, SUPPORTED, SourceSpec, printable
from shared.errors import EmotionError
from shared.messages import MAX_JPEG_BYTES, Mode

DEFAULT_RATE = 10.0
"""Pictures per second: with it the media time of picture i is i / 10 seconds."""
MAX_FILE_BYTES = 512 * 1024 * 1024


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
            EmotionError: there are none, or the folder cannot be listed.
        """
        self._paths = list_pictures(self._spec)
        if not self._paths:
            raise EmotionError(f"no pictures in {self.url}: supported are {SUPPORTED}")
        self._next = start

    def read(self) -> Picture | None:
        if self._context.stop.is_set() or self._next >= len(self._paths):
            return None
        index = self._next
        self._next += 1
        assert self.rate is not None
        return read_picture(self._paths[index], index / self.rate)

    def close(self) -> None:
        self._paths = []


def list_pictures(spec: SourceSpec) -> list[Path]:
    """The files of `spec` that look like pictures by their name, in natural order.

    Raises:
        EmotionError: the folder cannot be listed.
    """
    if spec.files:
        return [Path(f) for f in spec.files]
    if os.path.isdir(spec.target):
        try:
            found = [Path(spec.target) / name for name in os.listdir(spec.target) if name[0] != "."]
        except OSError as e:
            raise EmotionError(f"folder {printable(spec.target)} cannot be listed ({e.strerror})") from e
    else:
        found = [Path(name) for name in glob.iglob(spec.target, recursive=True)]
    pictures = [p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    return sorted(pictures, key=natural_key)


def natural_key(path: Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sorts img2 before img10; the plain text decides between names that are otherwise equal. Pure."""
    parts = re.split(r"([0-9]+)", str(path).casefold())
    key = tuple((0, int(p), "") if p.isascii() and p.isdigit() else (1, 0, p) for p in parts if p)
    return key, str(path)


def read_picture(path: Path, media_time: float) -> Picture:
    """Read one file. JPEGs that need no turning stay bytes; what cannot be read becomes an error."""
    source = printable(str(path))
    captured_at = time.time()
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ValueError(f"it has {size} bytes, more than {MAX_FILE_BYTES}")
        data = path.read_bytes()
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
    except OSError as e:
        error = f"{printable(path.name)}: cannot be read ({e.strerror})"
    except MemoryError:
        error = f"{printable(path.name)}: cannot be decoded: not enough memory"
    except ValueError as e:
        error = f"{printable(path.name)}: cannot be decoded: {e}"
    return Picture(None, None, 0, 0, media_time, captured_at, error, source, still=True)
