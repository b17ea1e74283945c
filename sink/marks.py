"""Marks pictures as written by this program, so that it may replace them later."""

import zlib
from pathlib import Path

from emotion_stream.sink.outputs.images import comment, marked

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER_END = len(_PNG) + 25
"""Where the first chunk of a PNG, its header, ends."""
_TEXT = b"Software\0Emotion Stream"
_CHUNK = len(_TEXT).to_bytes(4) + b"tEXt" + _TEXT + zlib.crc32(b"tEXt" + _TEXT).to_bytes(4)
MARKED = frozenset({".png", ".jpg", ".jpeg", ".jpe"})
"""Endings of pictures that can carry a mark."""


def mark(picture: bytes) -> bytes:
    """An encoded picture with our mark: a text chunk in a PNG, a comment in a JPEG; others stay as is. Pure."""
    if picture.startswith(_PNG):
        return picture[:_HEADER_END] + _CHUNK + picture[_HEADER_END:]
    return marked(picture, b"picture") if picture.startswith(b"\xff\xd8") else picture


def is_marked(path: Path) -> bool:
    """Whether a picture carries our mark.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_END + len(_CHUNK))
    return (head.startswith(_PNG) and head.endswith(_CHUNK)) or comment(path) is not None
