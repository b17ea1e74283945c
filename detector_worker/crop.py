"""Cutting a face out as the model wants it: by its box, or turned upright by its landmarks."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from emotion_stream.detector_worker.contract import Gray
from emotion_stream.shared.messages.types import Box, Landmarks

FACE = np.array([0.332 + 0.395j, 0.679 + 0.395j, 0.502 + 0.586j, 0.357 + 0.741j, 0.650 + 0.746j])
"""Where the landmarks lie in FER-2013's pictures, x + iy in sides of the picture: the mean of 1,085 faces."""
BOX = 0.979
"""Side of a face's box in such a picture, of which a model's margin is a fraction."""
WRONG = 0.5
"""Landmarks whose square is so much smaller or larger than the box are not believed."""


def crop_face(gray: Gray, box: Box, size: int, margin: float, scale: float = 1.0) -> bytes:
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


@dataclass(frozen=True, slots=True)
class Square:
    """A square of a frame, turned so that the face in it stands upright.

    Attributes:
        x, y: its middle, pixels of the frame.
        across: what a whole side to the right is in the frame, as a complex number: pixels right + i pixels down.
    """

    x: float
    y: float
    across: complex

    @property
    def side(self) -> float:
        """Its side, pixels of the frame."""
        return abs(self.across)

    def fits(self, box: Box) -> bool:
        """Whether it shows about the same part as the face's box; if not, the landmarks are wrong."""
        side = max(box.width, box.height)
        away = math.hypot(self.x - box.x - box.width / 2, self.y - box.y - box.height / 2)
        return WRONG * side < self.side < side / WRONG and away < side / 2

    def cut(self, gray: Gray, size: int, scale: float = 1.0) -> bytes:
        """What is in it, scaled to `size` x `size`. Pure.

        Each pixel is the mean of as many samples as it covers pixels of the frame, up to four, so that nothing is
        aliased. Where the square hangs out of the frame, the frame's edge is repeated.

        Args:
            gray: the frame, uint8 `[height, width]`, scaled by `scale`.
            size: pixels a side of the result.

        Returns:
            `size * size` gray bytes, row by row.
        """
        part, left, top, scale = self._part(gray, size, scale)
        step = self.across * scale / size
        times = 2 if abs(step) > 1.1 else 1
        step /= times
        count = size * times
        # The middle of the square's first pixel; pixels of pictures have their middles at whole numbers.
        middle = complex(self.x * scale - left - 0.5, self.y * scale - top - 0.5)
        first = middle - step * (1 + 1j) * (count - 1) / 2
        matrix = np.array([[step.real, -step.imag, first.real], [step.imag, step.real, first.imag]])
        how = cv2.INTER_LINEAR if abs(self.across) * scale > size else cv2.INTER_CUBIC
        cut = cv2.warpAffine(
            part, matrix, (count, count), flags=how | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        if times > 1:
            cut = cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA)
        return cut.tobytes()

    def _part(self, gray: Gray, size: int, scale: float) -> tuple[Gray, float, float, float]:
        """The picture around the square, its corner, and its scale; a picture that is far finer than needed is
        averaged first, as the JPEG decoder would have done."""
        times = int(self.side * scale / size)
        if times < 2:
            return gray, 0.0, 0.0, scale
        height, width = gray.shape
        reach = self.side * scale * 0.75
        left, right = (min(max(round(self.x * scale + d), 0), width) for d in (-reach, reach))
        top, bottom = (min(max(round(self.y * scale + d), 0), height) for d in (-reach, reach))
        right, bottom = left + (right - left) // times * times, top + (bottom - top) // times * times
        if right - left < times or bottom - top < times:
            return gray, 0.0, 0.0, scale
        wanted = (right - left) // times, (bottom - top) // times
        part = cv2.resize(gray[top:bottom, left:right], wanted, interpolation=cv2.INTER_AREA)
        return np.asarray(part, np.uint8), left / times, top / times, scale / times


def upright(landmarks: Landmarks, margin: float) -> Square | None:
    """The square that shows a face as FER-2013's pictures do, enlarged by a model's `margin`; None where the
    points make no face. By the similarity that brings the landmarks closest to FACE (least squares). Pure."""
    found = np.array([complex(x, y) for x, y in landmarks])
    centre, middle = found.mean(), FACE.mean()
    spread = float((abs(found - centre) ** 2).sum())
    if not 0 < spread < math.inf:
        return None
    turn = complex((np.conj(found - centre) * (FACE - middle)).sum()) / spread  # frame to unit square
    if abs(turn) < 1e-9:
        return None
    place = centre + (complex(0.5, 0.5) - middle) / turn
    return Square(place.real, place.imag, (1 + 2 * margin) * BOX / turn)
