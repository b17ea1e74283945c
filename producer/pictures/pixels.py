"""From the bytes of a picture's file to upright BGR pixels."""

from typing import Any, cast

import cv2
import numpy as np

from emotion_stream.producer.pictures import photos
from emotion_stream.producer.pictures.header import Header
from emotion_stream.producer.pictures.source import Image, Picture
from emotion_stream.shared.messages.jpeg import ended

STRIPE = 64
"""Rows of a picture that are worked on at a time."""


def decode(data: bytes, header: Header) -> Image:
    """Decode `data`, whose size has been checked, to an upright picture, uint8 `[height, width, 3]`, BGR.

    16 bits become 8, gray becomes three channels, transparent parts become white.

    Raises:
        ValueError: it cannot be decoded.
    """
    if header.kind == "photo":
        return photos.decode(data)
    flags = cv2.IMREAD_UNCHANGED
    if header.kind == "jpeg":
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        data = ended(data)
    try:
        raw: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        raw = None
    if raw is None or raw.size == 0:
        raise ValueError("it is damaged")
    return upright(to_bgr(raw), header.orientation)


def to_bgr(raw: np.ndarray[Any, Any]) -> Image:
    """Any decoded array, `[height, width]` or `[height, width, 1 to 4]`, as uint8 `[height, width, 3]`. Pure.

    Raises:
        ValueError: pixels of a kind that no photo has.
    """
    pixels = to_bytes(raw)
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    channels = pixels.shape[2]
    if channels in (2, 4) and int(pixels[:, :, -1].min()) == 255:
        pixels = pixels[:, :, :-1]
    elif channels in (2, 4):
        pixels = on_white(pixels)
    elif channels not in (1, 3):
        raise ValueError(f"it has {channels} channels")
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return cast(Image, np.ascontiguousarray(pixels))


def on_white(pixels: Image) -> Image:
    """`[height, width, channels]`, the last one being opacity, over white; without that channel. Pure."""
    height, width, channels = pixels.shape
    result = np.empty((height, width, channels - 1), np.uint8)
    for top in range(0, height, STRIPE):  # all at once, a large picture would take six times its memory
        part = pixels[top : top + STRIPE].astype(np.uint16)
        color, alpha = part[:, :, :-1], part[:, :, -1:]
        result[top : top + STRIPE] = (color * alpha + 255 * (255 - alpha) + 127) // 255
    return result


def to_bytes(raw: np.ndarray[Any, Any]) -> Image:
    """The full range of the array's type as 0 to 255; floating-point pixels count from 0 to 1. Pure.

    Raises:
        ValueError: pixels of a kind that no photo has.
    """
    if raw.dtype == np.uint8:
        return cast(Image, raw)
    if raw.dtype == np.uint16:
        return cast(Image, cv2.convertScaleAbs(raw, alpha=1 / 257))
    if raw.dtype in (np.float32, np.float64):
        return np.asarray(np.clip(np.nan_to_num(raw), 0, 1) * 255 + 0.5, np.uint8)
    raise ValueError(f"its pixels are {raw.dtype}")


def upright(image: Image, orientation: int) -> Image:
    """Undo an EXIF orientation, 1 to 8. Pure."""
    if orientation in (5, 6, 7, 8):
        image = np.transpose(image, (1, 0, 2))
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.asarray(np.ascontiguousarray(image), np.uint8)


def pixels(picture: Picture) -> Image:
    """The upright pixels of a readable picture, uint8 `[height, width, 3]`, BGR.

    Raises:
        ValueError: there are none, or they cannot be decoded.
    """
    if picture.image is not None:
        return picture.image
    if picture.jpeg is None:
        raise ValueError("there is no picture")
    return decode(picture.jpeg, Header("jpeg", picture.width, picture.height))
