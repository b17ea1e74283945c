"""JPEG bytes from anywhere: their size and soundness are read from the markers before anything is decoded."""

import re
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from shared.messages import MAX_PIXELS, MAX_SIDE

MAX_SCANS = 100
"""A progressive JPEG has about ten scans; each one costs a pass over the whole picture."""

_SOI, _EOI, _SOS, _DNL = 0xD8, 0xD9, 0xDA, 0xDC
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_BETWEEN_SCANS = frozenset({0xC4, 0xCC, _SOS, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker that is neither 0xFF as data nor a restart
_REDUCTIONS = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}


class JpegError(ValueError):
    """The bytes are no picture that can be shown; the message says why, in a few words."""


def check_jpeg(data: bytes) -> tuple[int, int]:
    """Walk through all markers of `data` and return width and height in pixels, decoding nothing. Pure.

    Raises:
        JpegError: not a JPEG, larger than MAX_SIDE or MAX_PIXELS, cut off, or damaged where it can be told.
    """
    (width, height), at = _header(data)
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise JpegError(f"picture of {width} x {height} pixels is too large")
    scans = 0
    while True:
        marker, at = _marker(data, at)
        if marker == _EOI and scans:
            return width, height
        if marker not in _BETWEEN_SCANS and not (marker == _DNL and scans):
            raise JpegError("damaged JPEG")
        at = _skip(data, at)
        if marker == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise JpegError(f"JPEG with more than {MAX_SCANS} scans")
            at = _end_of_scan(data, at)


def decode_jpeg(data: bytes, *, color: bool) -> npt.NDArray[np.uint8]:
    """Decode `data` after checking it: uint8 `[height, width]` gray or `[height, width, 3]` BGR.

    The pixels come as stored, without EXIF rotation, so that all stages count in the same pixels: the
    producer re-encodes whatever needs turning.

    Raises:
        JpegError: as `check_jpeg`, or the decoder gives up.
    """
    check_jpeg(data)
    return _decode(data, cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE)


class GrayJpeg:
    """A JPEG that is decoded to gray, at a fraction of its size, when somebody wants to see it.

    Attributes:
        width, height: of the whole picture, pixels.
    """

    def __init__(self, data: bytes) -> None:
        """Check `data`, decoding nothing.

        Raises:
            JpegError: as `check_jpeg`.
        """
        self.width, self.height = check_jpeg(data)
        self._data = data
        self._finest: npt.NDArray[np.uint8] | None = None
        self._reduction = 0

    def reduced(self, most: float) -> npt.NDArray[np.uint8]:
        """The picture, uint8 `[height / n, width / n]`, rounded up, with n = 1, 2, 4 or 8, at most `most`.

        It may be finer, where it has been decoded so before. Without EXIF rotation, as by `decode_jpeg`.

        Raises:
            JpegError: the decoder gives up.
        """
        wanted = next(n for n in _REDUCTIONS if n <= max(most, 1))
        if self._finest is None or self._reduction > wanted:
            self._finest, self._reduction = _decode(self._data, _REDUCTIONS[wanted]), wanted
        return self._finest


def _decode(data: bytes, flags: int) -> npt.NDArray[np.uint8]:
    try:
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as e:
        raise JpegError(f"decoder failed: {e.err}") from None
    if image is None:
        raise JpegError("damaged JPEG")
    pixels: npt.NDArray[np.uint8] = image
    return pixels


def _header(data: bytes) -> tuple[tuple[int, int], int]:
    """The size, and where the markers after it go on."""
    if data[:2] != b"\xff\xd8":
        raise JpegError("not a JPEG" if data else "no bytes")
    at = 2
    while True:
        marker, at = _marker(data, at)
        if marker in (_SOI, _EOI, _SOS) or marker < 0xC0 or 0xD0 <= marker <= 0xD7:
            raise JpegError("damaged JPEG")
        end = _skip(data, at)
        if marker in _SIZES:
            if end - at < 8:
                raise JpegError("damaged JPEG")
            height, width = int.from_bytes(data[at + 3 : at + 5]), int.from_bytes(data[at + 5 : at + 7])
            if not width or not height:
                raise JpegError("JPEG without a size")
            return (width, height), end
        at = end


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """The marker at `at`, fill bytes skipped, and the position behind it."""
    if at >= len(data):
        raise JpegError("JPEG is cut off")
    if data[at] != 0xFF:
        raise JpegError("damaged JPEG")
    while at < len(data) and data[at] == 0xFF:
        at += 1
    if at >= len(data):
        raise JpegError("JPEG is cut off")
    return data[at], at + 1


def _skip(data: bytes, at: int) -> int:
    """The position behind the segment whose length stands at `at`."""
    length = int.from_bytes(data[at : at + 2])
    if at + 2 > len(data) or at + length > len(data):
        raise JpegError("JPEG is cut off")
    if length < 2:
        raise JpegError("damaged JPEG")
    return at + length


def _end_of_scan(data: bytes, at: int) -> int:
    """The position of the marker that ends the scan whose data begins at `at`."""
    found = _AFTER_SCAN.search(data, at)
    if found is None:
        raise JpegError("JPEG is cut off")
    return found.start()
