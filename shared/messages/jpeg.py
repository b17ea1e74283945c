"""JPEG bytes from anywhere: their size and soundness are read from the markers before anything is decoded."""

import re
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from emotion_stream.shared.messages import scene
from emotion_stream.shared.messages.types import MAX_PIXELS, MAX_SIDE

MAX_SCANS = 100
"""A progressive JPEG has about ten scans; each one costs a pass over the whole picture."""

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
"""How a JPEG begins and ends."""

_EOI, _SOS = 0xD9, 0xDA
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_TABLES = frozenset({0xC4, 0xCC, _SOS, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # TEM and restarts: no length follows
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker that is neither 0xFF as data nor a restart
_REDUCTIONS = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}


class JpegError(ValueError):
    """The bytes are no picture that can be shown; the message says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What follows a marker: `data[start:end]` is its body, without the length. After a start of scan, the
    entropy-coded data begin at `end`."""

    marker: int
    start: int
    end: int


def segments(data: bytes, at: int = 2) -> Iterator[Segment]:
    """The segments of a JPEG from position `at` to the first start of scan, as decoders find them: between them
    may be fill bytes and junk. Pure.

    Raises:
        JpegError: cut off before a scan, or a marker that decoders give up at.
    """
    while True:
        found = _MARKER.search(data, at)
        if found is None:
            raise JpegError("JPEG is cut off")
        marker, at = data[found.end() - 1], found.end()
        if marker in _ALONE:
            continue
        if marker not in _TABLES and marker not in _SIZES:
            raise JpegError("damaged JPEG")
        end = _skip(data, at)
        yield Segment(marker, at + 2, end)
        if marker == _SOS:
            return
        at = end


def check_jpeg(data: bytes) -> tuple[int, int]:
    """Walk through all markers of `data` and return width and height in pixels. Pure.

    Junk between segments and a missing end marker are accepted, because decoders accept them. Only a JPEG without
    an end marker is decoded, because nothing else tells whether it is whole.

    Raises:
        JpegError: not a JPEG, larger than MAX_SIDE or MAX_PIXELS, cut off, or damaged where it can be told.
    """
    return _sound(data)[1]


def ended(data: bytes) -> bytes:
    """`data`, with an end marker if it has none: OpenCV decodes none without.

    Raises:
        JpegError: as `check_jpeg`.
    """
    return _sound(data)[0]


def decode_jpeg(data: bytes, *, color: bool) -> npt.NDArray[np.uint8]:
    """Decode `data` after checking it: uint8 `[height, width]` gray or `[height, width, 3]` BGR.

    The pixels come as stored, without EXIF rotation, so that all stages count in the same pixels: the
    producer re-encodes whatever needs turning.

    Raises:
        JpegError: as `check_jpeg`, or the decoder gives up.
    """
    return _decode(ended(data), cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE)


class GrayJpeg:
    """A JPEG that is decoded to gray, at a fraction of its size, when somebody wants to see it.

    Attributes:
        width, height: of the whole picture, pixels.
        for_thumbnail: how many times smaller it may be for its thumbnail.
    """

    def __init__(self, data: bytes) -> None:
        """Check `data`.

        Raises:
            JpegError: as `check_jpeg`.
        """
        self._data, (self.width, self.height) = _sound(data)
        self._finest: npt.NDArray[np.uint8] | None = None
        self._reduction = 0
        self._thumbnail: scene.Thumbnail | None = None
        self.for_thumbnail = max(self.width, self.height) / (scene.CELLS * scene.SAMPLES)
        self._coming: tuple[int, Future[npt.NDArray[np.uint8]]] | None = None

    def begin(self, thread: Executor, most: float) -> None:
        """Begin to decode it in another thread, for a first `reduced(most)`. If that asks for another size, it is
        as if this had not been called. Call it at most once, and before `reduced`."""
        n = _reduction(most)
        self._coming = n, thread.submit(_decode, self._data, _REDUCTIONS[n])

    def reduced(self, most: float) -> npt.NDArray[np.uint8]:
        """The picture, uint8 `[height / n, width / n]`, rounded up, with n = 1, 2, 4 or 8, at most `most`.

        It may be finer, where it has been decoded so before. Without EXIF rotation, as by `decode_jpeg`.

        Raises:
            JpegError: the decoder gives up.
        """
        wanted = _reduction(most)
        if self._finest is None or self._reduction > wanted:
            (n, coming), self._coming = self._coming or (0, None), None
            if coming is not None and n == wanted:
                self._finest = coming.result()
            else:
                self._finest = _decode(self._data, _REDUCTIONS[wanted])
            self._reduction = wanted
        return self._finest

    def thumbnail(self) -> scene.Thumbnail:
        """See `scene.thumbnail`. Made once, of the finest picture there is by then; do not write into it.

        Raises:
            JpegError: the decoder gives up.
        """
        if self._thumbnail is None:
            gray = self.reduced(self.for_thumbnail)
            self._thumbnail = scene.thumbnail(gray, scene.shape(self.width, self.height))
        return self._thumbnail


def _reduction(most: float) -> int:
    return next(n for n in _REDUCTIONS if n <= max(most, 1))


def _decode(data: bytes, flags: int) -> npt.NDArray[np.uint8]:
    try:
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as e:
        raise JpegError(f"decoder failed: {e.err}") from None
    if image is None:
        raise JpegError("damaged JPEG")
    pixels: npt.NDArray[np.uint8] = image
    return pixels


def _sound(data: bytes) -> tuple[bytes, tuple[int, int]]:
    """The bytes to decode, and the size in pixels."""
    if data[:3] != SOI + b"\xff":
        raise JpegError("not a JPEG" if data else "no bytes")
    size: tuple[int, int] | None = None
    at = 2
    for segment in segments(data):
        at = segment.end
        if segment.marker in _SIZES and size is None:
            size = _size(data, segment)
    if size is None:
        raise JpegError("damaged JPEG")
    width, height = size
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise JpegError(f"picture of {width} x {height} pixels is too large")
    if _has_end(data, at):
        return data, size
    scans = data.rstrip(b"\xff")  # half a marker, or fill bytes of one
    if not _is_whole(scans):
        raise JpegError("JPEG is cut off")
    return scans + EOI, size


def _size(data: bytes, segment: Segment) -> tuple[int, int]:
    if segment.end - segment.start < 6:
        raise JpegError("damaged JPEG")
    start = segment.start
    height, width = int.from_bytes(data[start + 1 : start + 3]), int.from_bytes(data[start + 3 : start + 5])
    if not width or not height:
        raise JpegError("JPEG without a size")
    return width, height


def _has_end(data: bytes, at: int) -> bool:
    """Whether an end marker follows the first scan, whose data begin at `at`.

    Raises:
        JpegError: too many scans, cut off within a segment, or overwritten with something else.
    """
    scans = 1
    while (found := _AFTER_SCAN.search(data, at)) is not None:
        marker = data[found.end() - 1]
        if marker == _EOI:
            return True
        if marker not in _TABLES:
            raise JpegError("damaged JPEG")
        at = _skip(data, found.end())
        if marker == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise JpegError(f"JPEG with more than {MAX_SCANS} scans")
    return False


def _is_whole(data: bytes) -> bool:
    """Whether the picture of a JPEG without an end marker is all there: then nothing that follows its last scan
    changes a pixel."""
    one, other = (_decode(data + more + EOI, cv2.IMREAD_COLOR) for more in (b"", b"\x55" * 64))
    return np.array_equal(one, other)


def _skip(data: bytes, at: int) -> int:
    """The position behind the segment whose length stands at `at`."""
    length = int.from_bytes(data[at : at + 2])
    if at + 2 > len(data) or at + length > len(data):
        raise JpegError("JPEG is cut off")
    if length < 2:
        raise JpegError("damaged JPEG")
    return at + length
