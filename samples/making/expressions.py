"""Smooth warps of a portrait's brows, eyes and mouth, which change what its face shows."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Marks:
    """Where a face's parts are, pixels of its portrait: eyes and corners of the mouth; right: the person's."""

    right_eye: Point
    left_eye: Point
    right_mouth: Point
    left_mouth: Point


@dataclass(frozen=True, slots=True)
class Expression:
    """How far parts move, as shares of the distance between the eyes; above 0 is down, or towards the middle.

    Attributes:
        inner, closer: the inner ends of the brows, down and towards one another.
        outer: the outer ends of the brows, down.
        wide: how much taller the eyes get.
        corners, narrow: the corners of the mouth, down and towards one another.
        upper, lower: the lips, down.
        open: how much taller the mouth gets.
        chin: the chin, down.
    """

    inner: float = 0.0
    closer: float = 0.0
    outer: float = 0.0
    wide: float = 0.0
    corners: float = 0.0
    narrow: float = 0.0
    upper: float = 0.0
    lower: float = 0.0
    open: float = 0.0
    chin: float = 0.0

    def towards(self, other: "Expression", part: float) -> "Expression":
        """What lies between the two: this one at 0, the other one at 1."""
        names = Expression.__dataclass_fields__
        return Expression(*(getattr(self, n) + (getattr(other, n) - getattr(self, n)) * part for n in names))


AS_IT_IS = Expression()
# Found by search: how little has to move until the network sees it. A person who looks at them sees it, too.
COLLINS: Mapping[str, Expression] = {
    "sad": Expression(-0.188, 0.081, 0.069, -0.012, 0.146, 0.03, 0.029, -0.056, -0.032, -0.192),
}
HOPPER: Mapping[str, Expression] = {
    "angry": Expression(0.099, -0.019, -0.188, -0.071, 0.074, 0.088, -0.007, -0.004, 0.03, 0.0),
    "sad": Expression(-0.181, 0.014, 0.019, -0.039, 0.081, 0.011, 0.002, -0.023, 0.013, -0.045),
    "happy": Expression(0.078, -0.006, -0.016, -0.038, -0.132, -0.033, 0.006, -0.012, -0.001, 0.117),
}


def warped(portrait: Floats, marks: Marks, how: Expression) -> Floats:
    """The portrait, float32 `[height, width, 4]`, with this expression. Pure."""
    if how == AS_IT_IS:
        return portrait
    height, width = portrait.shape[:2]
    down, across = (axis.astype(np.float32) for axis in np.mgrid[0:height, 0:width])
    eyes = np.array(marks.right_eye), np.array(marks.left_eye)
    corners = np.array(marks.right_mouth), np.array(marks.left_mouth)
    unit = float(np.hypot(*(eyes[1] - eyes[0])))
    mouth = (corners[0] + corners[1]) / 2

    def near(centre: npt.NDArray[np.float64], wide: float, tall: float) -> Floats:
        """1 at a place, falling to 0 around it."""
        x, y = (across - centre[0]) / (wide * unit), (down - centre[1]) / (tall * unit)
        return np.asarray(np.exp(-(x**2 + y**2) / 2), np.float32)

    dx, dy = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for eye, side in zip(eyes, (1, -1), strict=True):
        inner = near(eye + unit * np.array([0.26 * side, -0.34]), 0.2, 0.14)
        outer = near(eye + unit * np.array([-0.24 * side, -0.38]), 0.2, 0.14)
        dx += inner * side * how.closer * unit
        dy += (inner * how.inner + outer * how.outer) * unit
        dy += near(eye, 0.2, 0.11) * how.wide * (down - eye[1])
    for corner, side in zip(corners, (1, -1), strict=True):
        here = near(corner, 0.17, 0.15)
        dx += here * side * how.narrow * unit
        dy += here * how.corners * unit
    for offset, wide, tall, by in (
        (-0.08, 0.22, 0.09, how.upper),
        (0.16, 0.24, 0.12, how.lower),
        (0.5, 0.45, 0.25, how.chin),
    ):
        dy += near(mouth + np.array([0, offset * unit]), wide, tall) * by * unit
    dy += near(mouth + np.array([0, 0.04 * unit]), 0.3, 0.16) * how.open * (down - mouth[1])
    border = cv2.BORDER_REPLICATE
    moved = cv2.remap(portrait, across - dx, down - dy, cv2.INTER_CUBIC, borderMode=border)
    return np.asarray(moved, np.float32)
