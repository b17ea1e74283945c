"""Pictures as the JPEG bytes that travel."""

from dataclasses import dataclass

import cv2

from emotion_stream.producer.pictures.header import Header
from emotion_stream.producer.pictures.pixels import decode
from emotion_stream.producer.pictures.source import Image, Picture
from emotion_stream.shared.messages.types import MAX_JPEG_BYTES
from emotion_stream.shared.smaller import smaller


@dataclass(frozen=True, slots=True)
class Jpeg:
    """An encoded picture and its size in pixels."""

    data: bytes
    width: int
    height: int


def to_jpeg(picture: Picture, max_width: int, quality: int) -> Jpeg:
    """The picture as JPEG, at most `max_width` pixels wide (0: any width). Bytes that fit pass untouched.

    Raises:
        ValueError: it cannot be decoded, or becomes too large.
    """
    fits = not max_width or picture.width <= max_width
    if picture.jpeg is not None and fits:
        jpeg = Jpeg(picture.jpeg, picture.width, picture.height)
    else:
        image = picture.image
        if image is None:
            if picture.jpeg is None:
                raise ValueError("there is no picture")
            image = decode(picture.jpeg, Header("jpeg", picture.width, picture.height))
        jpeg = encode(image if fits else scale_down(image, max_width), quality)
    if len(jpeg.data) > MAX_JPEG_BYTES:
        raise ValueError(f"its JPEG has {len(jpeg.data)} bytes, more than {MAX_JPEG_BYTES}")
    return jpeg


def scale_down(image: Image, max_width: int) -> Image:
    """`image` scaled to `max_width` pixels if it is wider, its aspect kept. Pure."""
    height, width = image.shape[:2]
    if width <= max_width:
        return image
    return smaller(image, max_width, max(1, round(height * max_width / width)))


def encode(image: Image, quality: int) -> Jpeg:
    """`image`, uint8 `[height, width, 3]` BGR, as JPEG of `quality` 1 to 100. Pure.

    Raises:
        ValueError: it cannot be encoded.
    """
    try:
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as e:
        raise ValueError(f"it cannot be encoded: {e.err}") from None
    if not done:
        raise ValueError("it cannot be encoded")
    return Jpeg(data.tobytes(), image.shape[1], image.shape[0])
