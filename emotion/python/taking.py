"""What a picture may be given as: a path, bytes, an array, a picture of Pillow."""

import os
import time
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from emotion_stream.producer.pictures.photos import to_bgr as from_pillow
from emotion_stream.producer.pictures.pixels import to_bgr
from emotion_stream.producer.pictures.source import Picture, too_large
from emotion_stream.producer.sources.folder import read_bytes, read_picture
from emotion_stream.producer.sources.spec import printable

Picturelike = str | os.PathLike[str] | bytes | bytearray | memoryview | np.ndarray | Pillow.Image
"""What `analyze` takes."""


def take(image: Picturelike) -> tuple[Picture, str]:
    """The picture, upright, and what to call it.

    Args:
        image: path of a picture; the bytes of one; uint8 `[height, width]` or `[height, width, 1]` (gray),
            `[..., 3]` (BGR) or `[..., 4]` (BGRA, over white), upright; or a picture of Pillow, whose EXIF rotation
            is undone.

    Raises:
        ValueError: the array or picture of Pillow is not such a picture, or too large.
        TypeError: it is something else.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image), "array"
    if isinstance(image, Pillow.Image):
        return _from_pillow(image), "picture"
    if isinstance(image, (bytes, bytearray, memoryview)):
        return read_bytes(bytes(image), "bytes"), "bytes"
    if isinstance(image, (str, os.PathLike)):
        return read_picture(Path(image), 0.0), printable(os.fspath(image))
    raise TypeError(f"a picture is a path, bytes, an array or a picture of Pillow, not {type(image).__name__}")


def _from_array(image: np.ndarray) -> Picture:
    channels = 1 if image.ndim == 2 else image.shape[2] if image.ndim == 3 else 0
    if image.dtype != np.uint8 or channels not in (1, 3, 4):
        raise ValueError(
            "a picture is uint8 [height, width], [height, width, 3] (BGR) or [height, width, 4] (BGRA),"
            f" not {image.dtype} {list(image.shape)}"
        )
    _check_size(image.shape[1], image.shape[0])
    return _still(to_bgr(image))


def _from_pillow(image: Pillow.Image) -> Picture:
    _check_size(image.width, image.height)
    try:
        turned = ImageOps.exif_transpose(image)
        if turned.mode.startswith("I;16"):  # 16 bits of gray, which Pillow would cut off instead of scaling
            return _still(to_bgr(np.asarray(turned).astype(np.uint16)))
        return _still(from_pillow(turned))
    except (OSError, SyntaxError, EOFError) as e:
        raise ValueError(f"the picture cannot be decoded: {e}") from e


def _check_size(width: int, height: int) -> None:
    problem = too_large(width, height)
    if problem:
        raise ValueError(problem)


def _still(pixels: np.ndarray) -> Picture:
    height, width = pixels.shape[:2]
    return Picture(np.ascontiguousarray(pixels), None, width, height, 0.0, time.time(), still=True)
