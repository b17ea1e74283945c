"""What a file holds, told from how it begins and not from its name."""

from pathlib import Path
from typing import Literal

from emotion_stream.producer.pictures import photos

Kind = Literal["picture", "animation", "video", "unknown"]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
)
WRITTEN_SUFFIXES = IMAGE_SUFFIXES - {".avif", ".heic", ".heif"}
WRITTEN = "JPEG, PNG, BMP, WebP, TIFF"
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".ogv"}
)
ALONE = frozenset({".mjpg", ".mjpeg", ".apng"})
"""Videos that begin as pictures do."""
RAW = frozenset({".cr2", ".nef", ".arw", ".dng", ".orf", ".rw2", ".pef", ".srw"})
"""Raw data of cameras, which begin as TIFF does and hold only a small preview as such."""
_ENOUGH = 4096
_PICTURES = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*"
_VIDEOS = b"GIF8", b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"0&\xb2u"


def kind_of(path: Path) -> Kind:
    """What a file is. What begins like nothing that is known here goes by its name.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_ENOUGH)
    suffix = path.suffix.lower()
    told = _begins(start)
    if told == "picture" and suffix in RAW:
        return "unknown"
    if told == "picture" and suffix in ALONE:
        return "video"
    if told != "unknown":
        return told
    if suffix in IMAGE_SUFFIXES:
        return "picture"
    return "video" if suffix in VIDEO_SUFFIXES | ALONE else "unknown"


def is_video(data: bytes) -> bool:
    """Whether the content of a file begins as videos do. Pure."""
    return _begins(data[:_ENOUGH]) == "video"


def _begins(start: bytes) -> Kind:
    if start[:4] == b"RIFF":
        if start[8:12] != b"WEBP":
            return "video" if start[8:11] == b"AVI" else "unknown"
        return "animation" if start[12:16] == b"VP8X" and len(start) > 20 and start[20] & 2 else "picture"
    if start.startswith(_PICTURES[1]):
        control = start.find(b"acTL")
        return "video" if 0 < control < start.find(b"IDAT") % len(start) else "picture"
    if photos.brand(start) == photos.AVIF_SEQUENCE:
        return "animation"
    if photos.is_photo(start) or start.startswith(_PICTURES):
        return "picture"
    return "video" if photos.brand(start) or start.startswith(_VIDEOS) else "unknown"
