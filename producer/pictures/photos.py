"""AVIF and HEIC, what phones make, which OpenCV does not read: Pillow does, HEIC with `pillow-heif` beside it."""

import io
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from emotion_stream.producer.pictures.source import Image
from emotion_stream.shared.errors import to_install

AVIF, AVIF_SEQUENCE = b"avif", b"avis"
HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1"})
MISSING = f"HEIC needs one more package: {to_install('pillow-heif')}"


def brand(data: bytes) -> bytes:
    """What a file of ISO's kind (MP4, AVIF, HEIC) says it is, four letters; empty for all other files. Pure."""
    return data[8:12] if data[4:8] == b"ftyp" else b""


def is_photo(data: bytes) -> bool:
    """Whether a file that begins so is read here."""
    return brand(data) in HEIC or brand(data) in (AVIF, AVIF_SEQUENCE)


def size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels as stored; nothing is decoded.

    Raises:
        ValueError: it is damaged, or what reads it is not installed.
    """
    with _open(data) as photo:
        width, height = photo.size
        return int(width), int(height)


def decode(data: bytes) -> Image:
    """The picture, upright, uint8 `[height, width, 3]`, BGR; transparent parts become white.

    Raises:
        ValueError: it is damaged, or what reads it is not installed.
    """
    with _open(data) as photo:
        try:
            return to_bgr(ImageOps.exif_transpose(photo))
        except (OSError, ValueError, SyntaxError, EOFError) as e:
            raise ValueError("it is damaged") from e


def to_bgr(photo: Pillow.Image) -> Image:
    """A picture of Pillow as uint8 `[height, width, 3]`, BGR; transparent parts become white."""
    if photo.has_transparency_data:
        clear = photo.convert("RGBA")
        photo = Pillow.alpha_composite(Pillow.new("RGBA", clear.size, "white"), clear)
    return np.ascontiguousarray(np.asarray(photo.convert("RGB"))[:, :, ::-1])


def _open(data: bytes) -> Any:
    try:
        if brand(data) in HEIC:
            try:
                import pillow_heif
            except ImportError:
                raise ValueError(MISSING) from None
            return pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True).to_pillow()
        return Pillow.open(io.BytesIO(data), formats=("AVIF",))
    except (OSError, SyntaxError, EOFError, RuntimeError) as e:
        raise ValueError("it is damaged") from e
