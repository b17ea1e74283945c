"""Areas of a picture: polygons in fractions of the picture as shown, and their text. Pure functions.

The text of a polygon is its corners, x and y: `0,0 0.3,0 0.3,0.4 0,0.4`. `0,0` is the top left corner of the
picture, `1,1` the bottom right one.
"""

Point = tuple[float, float]
"""x and y, 0 to 1, whole ten-thousandths."""
Polygon = tuple[Point, ...]
"""The corners in their order; the last one is joined to the first."""
Zone = tuple[str, Polygon]
"""A polygon with a name."""

GRAIN = 10_000
"""Steps between 0 and 1: a picture 10,000 pixels wide is hit to the pixel."""
LEAST_POINTS = 3
MAX_POINTS = 32
MAX_AREAS = 16
"""Polygons of one kind that a camera may have."""


def parse_polygon(text: str) -> Polygon:
    """The polygon that a text describes.

    Raises:
        ValueError: it describes none; the message says why.
    """
    points = []
    for corner in text.split():
        try:
            x, y = (float(part) for part in corner.split(","))
        except ValueError:
            raise ValueError(f"{corner!r} is no corner: write x,y as in 0,0 0.3,0 0.3,0.4") from None
        if not (0 <= x <= 1 and 0 <= y <= 1):  # also catches nan
            raise ValueError(f"the corner {corner} lies outside of the picture: x and y go from 0 to 1")
        points.append((grain(x), grain(y)))
    return checked(tuple(points))


def checked(points: Polygon) -> Polygon:
    """The polygon itself.

    Raises:
        ValueError: it has too few corners, or too many, or no area.
    """
    if not LEAST_POINTS <= len(points) <= MAX_POINTS:
        raise ValueError(f"an area has {LEAST_POINTS} to {MAX_POINTS} corners, this one {len(points)}")
    if len(set(points)) < LEAST_POINTS:
        raise ValueError(f"fewer than {LEAST_POINTS} of the corners differ")
    return points


def polygon_text(polygon: Polygon) -> str:
    """The text that `parse_polygon` reads."""
    return " ".join(f"{x:g},{y:g}" for x, y in polygon)


def grain(value: float) -> float:
    """The nearest ten-thousandth, so that what travels and what is written are the same."""
    return round(value * GRAIN) / GRAIN
