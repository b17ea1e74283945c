"""Where something moved in a picture: cheap, from thumbnails. Pure functions."""

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from emotion_stream.shared.messages.scene import Mask
from emotion_stream.shared.messages.types import Box

LEAST = 6
"""Cells along each side of an area that is searched because something in it moved."""


def in_pixels(area: Box, shape: tuple[int, int], width: int, height: int) -> Box:
    """An area of cells in pixels of a picture of `width` x `height`."""
    rows, columns = shape
    left, right = (v * width // columns for v in (area.x, area.x + area.width))
    top, bottom = (v * height // rows for v in (area.y, area.y + area.height))
    return Box(left, top, max(1, right - left), max(1, bottom - top))


def cells_of(boxes: Iterable[Box], width: int, height: int, shape: tuple[int, int]) -> Mask:
    """The cells that heads and the bodies below them cover; boxes in pixels of `width` x `height`."""
    rows, columns = shape
    mask = np.zeros(shape, np.bool_)

    def cover(left: float, top: float, right: float, bottom: float) -> None:
        across = slice(max(0, int(left * columns / width)), max(0, math.ceil(right * columns / width)))
        mask[max(0, int(top * rows / height)) : max(0, math.ceil(bottom * rows / height)), across] = True

    for x, y, w, h in ((box.x, box.y, box.width, box.height) for box in boxes):
        cover(x - 0.4 * w, y - 0.5 * h, x + 1.4 * w, y + h)
        cover(x - w, y + h, x + 2 * w, y + 4 * h)
    return mask


def areas(mask: Mask) -> Sequence[Box]:
    """Where to search because something moved, in cells, the smallest area first. Cells that lie close together
    form a group with a margin, because a face is larger than those of its edges that changed."""
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    rows, columns = mask.shape
    found = []
    for x, y, width, height, _ in stats[1:count].tolist():
        across, down = (max(size // 4, (LEAST - size + 1) // 2) for size in (width, height))
        left, top = max(0, x - across), max(0, y - down)
        right, bottom = min(columns, x + width + across), min(rows, y + height + down)
        found.append(Box(left, top, right - left, bottom - top))
    return sorted(found, key=lambda area: area.width * area.height)
