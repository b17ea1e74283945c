"""What lies in the areas of a picture (`messages/areas.py`): points, faces, cells. Pure functions.

A polygon that crosses itself holds what lies inside an odd number of times, as in every drawing program.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from emotion_stream.shared.messages.areas import Polygon, Zone, grain
from emotion_stream.shared.messages.types import Box

SAMPLES = 4
"""Rows and columns of points, its edges among them, at which a cell is looked at."""


def holds(polygon: Polygon, x: float, y: float) -> bool:
    """Whether a point, in fractions of the picture, lies inside."""
    inside = False
    x0, y0 = polygon[-1]
    for x1, y1 in polygon:
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
        x0, y0 = x1, y1
    return inside


def centre(box: Box, width: int, height: int) -> tuple[float, float]:
    """The centre of a box, in pixels of a picture of `width` x `height`, in fractions of it."""
    return (box.x + box.width / 2) / width, (box.y + box.height / 2) / height


def zones_of(zones: Iterable[Zone], box: Box, width: int, height: int) -> tuple[str, ...]:
    """The names of the zones that hold the centre of a box, in their order."""
    return tuple(name for name, polygon in zones if holds(polygon, *centre(box, width, height)))


def around(box: Box, margin: float, width: int, height: int) -> Polygon:
    """The area of a box, in pixels of a picture of `width` x `height`, wider by `margin` of its sides."""
    across, down = box.width * margin, box.height * margin
    left, right = (_fraction(v, width) for v in (box.x - across, box.x + box.width + across))
    top, bottom = (_fraction(v, height) for v in (box.y - down, box.y + box.height + down))
    return (left, top), (right, top), (right, bottom), (left, bottom)


def inside(polygon: Polygon, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """As `holds`, for many points: `x` and `y`, and the answer, are of one shape."""
    corners = np.asarray(polygon)
    (x0, y0), (x1, y1) = corners.T, np.roll(corners, -1, axis=0).T
    across, down = x[..., None], y[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        left_of = across < x0 + (down - y0) * (x1 - x0) / (y1 - y0)
    crosses = ((y0 > down) != (y1 > down)) & left_of
    return np.asarray(crosses.sum(axis=-1) % 2 == 1)


def covered(polygons: Sequence[Polygon], rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """The cells of a picture, bool `[rows, columns]`, that lie wholly in the polygons, as far as their points
    tell."""
    steps = SAMPLES - 1
    down, across = (np.linspace(0, 1, cells * steps + 1) for cells in (rows, columns))
    # A hair inside the picture, so that areas that reach its edge hold the edge, too.
    x, y = np.meshgrid(*(np.clip(line, 1e-9, 1 - 1e-9) for line in (across, down)))
    held = np.zeros(x.shape, np.bool_)
    for polygon in polygons:
        held |= inside(polygon, x, y)
    found = np.ones((rows, columns), np.bool_)
    for dy in range(SAMPLES):
        for dx in range(SAMPLES):
            found &= held[dy : dy + rows * steps : steps, dx : dx + columns * steps : steps]
    return found


def _fraction(value: float, whole: int) -> float:
    return grain(min(1.0, max(0.0, value / whole)))
