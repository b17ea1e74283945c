"""What the header of a picture's file says, read before anything is decoded."""

import struct
from dataclasses import dataclass
from typing import Literal

from emotion_stream.producer.pictures import photos
from emotion_stream.shared.messages.jpeg import check_jpeg, segments

MAX_TAGS = 1_000
MAX_CHUNKS = 10_000

_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274
_SHORT, _LONG = 3, 4

UNKNOWN = "it is no picture of a known format"


@dataclass(frozen=True, slots=True)
class Header:
    """Format, size in pixels as stored, EXIF orientation (1 to 8), and whether a JPEG can travel as it is."""

    kind: Literal["jpeg", "png", "bmp", "webp", "tiff", "photo"]
    width: int
    height: int
    orientation: int = 1
    plain: bool = False


def read_header(data: bytes) -> Header:
    """Find out what `data` is. JPEGs are also checked for being cut off. Pure.

    Raises:
        ValueError: none of the formats, damaged, or, where that shows early, too large; says which.
    """
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
            return _png(data)
        if data[:2] == b"BM":
            return _bmp(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            tags = _tags(data)
            return Header("tiff", tags[_WIDTH], tags[_HEIGHT])  # the decoder turns TIFF pictures by itself
    except (struct.error, IndexError, KeyError):
        raise ValueError("its header is damaged") from None
    if photos.is_photo(data):
        return Header("photo", *photos.size(data))
    raise ValueError(UNKNOWN if data else "it is empty")


def _jpeg(data: bytes) -> Header:
    width, height = check_jpeg(data)
    orientation, plain = 1, False
    for segment in segments(data):
        body = data[segment.start : segment.end]
        if segment.marker == 0xE1 and body[:6] == b"Exif\0\0":
            orientation = _orientation(body[6:])
        elif segment.marker in (0xC0, 0xC1, 0xC2):  # baseline, extended, progressive
            plain = body[0] == 8 and body[5] in (1, 3)  # 8 bits; gray or YCbCr, not CMYK
    return Header("jpeg", width, height, orientation, plain and orientation == 1)


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    orientation, at = 1, 8
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"eXIf":
            orientation = _orientation(data[at + 8 : at + 8 + length])
        at += 12 + length
    return Header("png", width, height, orientation)


def _bmp(data: bytes) -> Header:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # the header of OS/2
        return Header("bmp", *struct.unpack_from("<HH", data, 18))
    width, height = struct.unpack_from("<ii", data, 18)
    return Header("bmp", width, abs(height))  # a negative height: stored from the top


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("webp", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind != b"VP8X" or len(data) < 30:
        raise ValueError("its header is damaged")
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    orientation, at = 1, 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            break
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"EXIF":
            orientation = _orientation(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    return Header("webp", width, height, orientation)


def _orientation(exif: bytes) -> int:
    try:
        value = _tags(exif).get(_ORIENTATION, 1)
    except (struct.error, KeyError):
        return 1  # a damaged EXIF block does not make the picture unreadable
    return value if 1 <= value <= 8 else 1


def _tags(tiff: bytes) -> dict[int, int]:
    """The single whole numbers in the first directory of a TIFF structure, by tag. Of a tag that is there twice
    the first counts, as for the decoder: a second size must not hide what it will make."""
    end = {b"II*\0": "<", b"MM\0*": ">"}[tiff[:4]]
    at = struct.unpack_from(end + "I", tiff, 4)[0]
    count = struct.unpack_from(end + "H", tiff, at)[0]
    tags: dict[int, int | None] = {}
    for n in range(min(count, MAX_TAGS)):
        tag, kind, items = struct.unpack_from(end + "HHI", tiff, at + 2 + 12 * n)
        value = None
        if items == 1 and kind in (_SHORT, _LONG):
            value = struct.unpack_from(end + ("H" if kind == _SHORT else "I"), tiff, at + 10 + 12 * n)[0]
        tags.setdefault(tag, value)
    return {tag: value for tag, value in tags.items() if value is not None}
