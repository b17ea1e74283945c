"""Boxes of faces, in whatever pixels the caller counts: moved, scaled, compared. Pure functions."""

from collections.abc import Sequence

from emotion_stream.shared.messages.types import Box


def clip(
    box: Sequence[int], scale_x: float, scale_y: float, width: int, height: int, corner: tuple[int, int] = (0, 0)
) -> Box:
    """Scale `box` (x, y, width, height), move it by `corner`, and cut it to `width` x `height` pixels. Pure."""
    x, y, w, h = box
    left, right = (min(max(corner[0] + round(v * scale_x), 0), width) for v in (x, x + w))
    top, bottom = (min(max(corner[1] + round(v * scale_y), 0), height) for v in (y, y + h))
    return Box(min(left, width - 1), min(top, height - 1), max(right - left, 1), max(bottom - top, 1))


def rescale(box: Box, scale_x: float, scale_y: float, width: int, height: int) -> Box:
    """As `clip`. Pure."""
    return clip((box.x, box.y, box.width, box.height), scale_x, scale_y, width, height)


def around(box: Box, reach: float, width: int, height: int) -> Box:
    """The square around the centre of `box`, `reach` times its longer side, as far as it lies in a picture of
    `width` x `height` pixels; at least a pixel. Pure."""
    half = reach * max(box.width, box.height) / 2
    x, y = box.x + box.width / 2, box.y + box.height / 2
    left, right = max(0, min(width - 1, round(x - half))), max(1, min(width, round(x + half)))
    top, bottom = max(0, min(height - 1, round(y - half))), max(1, min(height, round(y + half)))
    return Box(left, top, max(1, right - left), max(1, bottom - top))


def overlap(a: Box, b: Box) -> float:
    """Shared area as a fraction of the smaller box, 0 to 1. Pure."""
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if across <= 0 or down <= 0:
        return 0.0
    return across * down / min(a.width * a.height, b.width * b.height)
