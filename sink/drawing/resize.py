"""Pictures with their faces at another size, before anything is drawn: letters stay readable. Pure."""

from dataclasses import replace

import cv2
import numpy as np

from emotion_stream.shared.messages.types import Box
from emotion_stream.shared.smaller import smaller
from emotion_stream.sink.results.output import Image, Result


def resized(image: Image, result: Result, width: int, height: int) -> tuple[Image, Result]:
    """Picture and boxes scaled to this width and height, pixels."""
    if image.shape[:2] == (height, width):
        return image, result
    across, down = width / image.shape[1], height / image.shape[0]
    faces, unseen = (
        tuple(replace(face, box=_scaled(face.box, across, down)) for face in group)
        for group in (result.faces, result.unseen)
    )
    return resized_image(image, width, height), replace(result, faces=faces, unseen=unseen)


def resized_image(image: Image, width: int, height: int) -> Image:
    """A picture scaled to this width and height, pixels."""
    if image.shape[:2] == (height, width):
        return image
    if width <= image.shape[1] and height <= image.shape[0]:
        return smaller(image, width, height)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _scaled(box: Box, across: float, down: float) -> Box:
    return Box(
        round(box.x * across),
        round(box.y * down),
        max(1, round(box.width * across)),
        max(1, round(box.height * down)),
    )
