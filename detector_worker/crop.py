"""Cutting a face out as the model wants it."""

import cv2
import numpy as np
import numpy.typing as npt

from shared.messages import Box


def crop_face(gray: npt.NDArray[np.uint8], box: Box, size: int, margin: float, scale: float = 1.0) -> bytes:
    """A square around the centre of `box`, scaled to `size` x `size`. Pure.

    Args:
        gray: the frame, uint8 `[height, width]`, scaled by `scale`.
        box: pixels of the unscaled frame; its centre lies inside it.
        size: pixels a side of the result.
        margin: how much the box's longer side grows at each end, as a fraction of it. Where the square sticks
            out of the frame, the frame's edge is repeated.

    Returns:
        `size * size` gray bytes, row by row.
    """
    height, width = gray.shape
    side = max(1, round(max(box.width, box.height) * (1 + 2 * margin) * scale))
    left = round((box.x + box.width / 2) * scale - side / 2)
    top = round((box.y + box.height / 2) * scale - side / 2)
    right, bottom = left + side, top + side
    square = gray[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    edges = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if any(edges):
        square = cv2.copyMakeBorder(square, *edges, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), interpolation=how).tobytes()
