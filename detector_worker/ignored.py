"""What a camera's picture has that nobody shall be looked for in: which faces do not count, and where to look."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from emotion_stream.shared.messages import geometry
from emotion_stream.shared.messages.areas import Polygon
from emotion_stream.shared.messages.types import Box

GRID = 64
"""Rows and columns of cells that are told apart where it is decided what need not be searched."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """The areas of a picture in which faces do not count; they hold at any resolution of it.

    Attributes:
        polygons: the areas, in fractions of the picture.
    """

    polygons: tuple[Polygon, ...] = ()
    _open: npt.NDArray[np.bool_] | None = field(default=None, repr=False, compare=False)

    def __bool__(self) -> bool:
        return bool(self.polygons)

    def hides(self, box: Box, width: int, height: int) -> bool:
        """Whether the centre of a box, in pixels of a picture of `width` x `height`, lies in one of the areas."""
        return any(geometry.holds(polygon, *geometry.centre(box, width, height)) for polygon in self.polygons)

    def left(self, area: Box, reach: float, width: int, height: int) -> Box | None:
        """The part of an `area` in which faces that count can be: the rectangle around all in it that is not
        ignored, wider by `reach` pixels, half a face, on each side. None where nothing is left. All in pixels of
        a picture of `width` x `height`."""
        if self._open is None:
            return area
        rows, columns = _span(area.y, area.height, height), _span(area.x, area.width, width)
        part = self._open[rows, columns]
        if part.all():
            return area
        down, across = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
        if not len(down):
            return None
        x0, x1 = _pixels(across, columns.start, width, reach, area.x, area.x + area.width)
        y0, y1 = _pixels(down, rows.start, height, reach, area.y, area.y + area.height)
        return Box(x0, y0, max(1, x1 - x0), max(1, y1 - y0))

    def cells(self, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """The cells of a thumbnail of this `shape`, rows and columns, that lie wholly in the areas."""
        return _covered(self.polygons, *shape)


def ignoring(polygons: Sequence[Polygon]) -> Ignored:
    """What these areas, in fractions of the picture, leave to be searched."""
    return _made(tuple(polygons)) if polygons else NOTHING


NOTHING = Ignored()


@lru_cache(maxsize=256)
def _made(polygons: tuple[Polygon, ...]) -> Ignored:
    return Ignored(polygons, ~_covered(polygons, GRID, GRID))


@lru_cache(maxsize=256)
def _covered(polygons: tuple[Polygon, ...], rows: int, columns: int) -> npt.NDArray[np.bool_]:
    found = geometry.covered(polygons, rows, columns)
    found.flags.writeable = False
    return found


def _span(start: int, length: int, whole: int) -> slice:
    """The cells that `length` pixels of `whole` touch."""
    return slice(start * GRID // whole, min(GRID, math.ceil((start + length) * GRID / whole)))


def _pixels(
    cells: npt.NDArray[np.intp], first: int, whole: int, reach: float, least: int, most: int
) -> tuple[int, int]:
    """From where to where the cells lie, with `reach` pixels around them, between `least` and `most`."""
    start = math.floor((first + int(cells[0])) * whole / GRID - reach)
    end = math.ceil((first + int(cells[-1]) + 1) * whole / GRID + reach)
    return max(least, min(start, most - 1)), max(least + 1, min(end, most))
