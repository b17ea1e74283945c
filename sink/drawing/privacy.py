"""Hides faces in pictures. The sink does it once, before any output gets the picture (`--blur-faces`)."""

from collections.abc import Iterable

import cv2
import numpy as np

from emotion_stream.shared.messages.areas import Polygon
from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.results.output import Image, Result

MARGIN = 0.35
"""How much a box is enlarged on each side, as a fraction of it: the detector's leave out chin, ears and hair."""
BLOCKS = 5
"""Blocks across a hidden face: too few to know anybody by."""
IGNORED_BLOCKS = 24
"""Blocks along the longer side of a picture in which areas are ignored."""
IGNORED_MARGIN = 0.1
"""How far around ignored areas is hidden, too, as a share of a picture's longer side: of a face whose centre lies
inside, half may be outside."""


def hide(image: Image, result: Result, more: Iterable[Box] = ()) -> Image:
    """A copy of a frame, `[height, width, 3]`, uint8, without recognisable faces: neither those that were found,
    confirmed or not, nor those that should be there, nor what is known from later frames (`more`). What was never
    found cannot be hidden; so what is ignored, where nobody is looked for, is hidden as a whole. Pure."""
    out = _without(image, result.info.settings.ignore) if result.info.settings.ignore else image.copy()
    for box in (*(face.box for face in (*result.faces, *result.unseen)), *more):
        pixelate(out, box)
    return out


def _without(image: Image, areas: Iterable[Polygon]) -> Image:
    """A copy of a picture with large blocks in these areas and a little around them."""
    height, width = image.shape[:2]
    corners = [np.round(np.array(area) * (width, height)).astype(np.int32) for area in areas]
    mask = np.zeros((height, width), np.uint8)
    for area in corners:
        cv2.fillPoly(mask, [area], 1)
    cv2.polylines(mask, corners, True, 1, thickness=max(1, round(2 * IGNORED_MARGIN * max(height, width))))
    scale = IGNORED_BLOCKS / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    few = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    blocks = cv2.resize(few, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(np.where(mask[..., None] > 0, blocks, image), np.uint8)


def pixelate(out: Image, box: Box) -> None:
    """Hide what is in a box and around it, in place."""
    height, width = out.shape[:2]
    across, down = round(box.width * MARGIN), round(box.height * MARGIN)
    left, right = max(0, box.x - across), min(width, box.x + box.width + across)
    top, bottom = max(0, box.y - down), min(height, box.y + box.height + down)
    if left >= right or top >= bottom:
        return
    part = out[top:bottom, left:right]
    few = cv2.resize(part, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    out[top:bottom, left:right] = cv2.resize(
        np.asarray(few, np.uint8), (right - left, bottom - top), interpolation=cv2.INTER_NEAREST
    )
