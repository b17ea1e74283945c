"""Finding faces in a gray picture with a Haar cascade."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from shared.errors import UsageError
from shared.messages import Box
from shared.options import DetectorOptions

Gray = npt.NDArray[np.uint8]
"""A gray picture, `[height, width]`."""

MAX_OVERLAP = 0.5
"""Share of the smaller box: above it two boxes show one face. People cheek to cheek stay below."""


class FaceFinder:
    """A Haar cascade with its settings. Not to be shared between threads: OpenCV keeps buffers in it."""

    def __init__(self, options: DetectorOptions) -> None:
        """Load the cascade.

        Raises:
            UsageError: `options.cascade` names none, or the file is none.
        """
        self._options = options
        self._cascade = load_cascade(options.cascade)
        self._window: tuple[int, int] = tuple(self._cascade.getOriginalWindowSize())  # type: ignore[assignment]

    def find(self, gray: Gray) -> list[tuple[Box, float]]:
        """The faces in `gray`, uint8 `[height, width]`, the surest first, at most `max_faces`.

        Returns:
            Boxes in pixels of `gray`, wholly inside it, each with its weight, the cascade's last sum: higher
            is surer, comparable within one cascade only.
        """
        height, width = gray.shape
        options = self._options
        scale = min(1.0, options.scan_width / width) if options.scan_width else 1.0
        small = gray
        if scale < 1:
            size = (options.scan_width, max(1, round(height * scale)))
            small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        if small.shape[1] < self._window[0] or small.shape[0] < self._window[1]:
            return []
        least = round(options.min_face * min(small.shape))
        boxes, _, weights = self._cascade.detectMultiScale3(
            small,
            scaleFactor=options.scale_factor,
            minNeighbors=options.min_neighbors,
            minSize=(max(least, self._window[0]), max(least, self._window[1])),
            outputRejectLevels=True,
        )
        found = [
            (clip(box, width / small.shape[1], height / small.shape[0], width, height), float(weight))
            for box, weight in zip(np.asarray(boxes).tolist(), np.ravel(weights), strict=True)
        ]
        return suppress(found)[: options.max_faces]


def load_cascade(name: str) -> cv2.CascadeClassifier:
    """The cascade that OpenCV ships under `name` (with or without `.xml`), or that lies in the file `name`.

    Raises:
        UsageError: there is none, or the file is no cascade.
    """
    shipped = Path(cv2.__file__).parent / "data"
    path = shipped / f"{name.removesuffix('.xml')}.xml"
    if "/" in name or not path.is_file():
        path = Path(name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in shipped.glob("haarcascade_*face*.xml")))
        raise UsageError(f"no cascade {name!r}: give an XML file or one of {known}")
    cascade = cv2.CascadeClassifier()
    try:
        loaded = cascade.load(str(path))
    except (cv2.error, SystemError):
        loaded = False
    if not loaded or cascade.empty():
        raise UsageError(f"{path} is not a cascade that OpenCV can read")
    return cascade


def clip(box: Sequence[int], scale_x: float, scale_y: float, width: int, height: int) -> Box:
    """Scale `box` (x, y, width, height) and cut it to a frame of `width` x `height` pixels. Pure."""
    x, y, w, h = box
    left, right = (min(max(round(v * scale_x), 0), width) for v in (x, x + w))
    top, bottom = (min(max(round(v * scale_y), 0), height) for v in (y, y + h))
    return Box(min(left, width - 1), min(top, height - 1), max(right - left, 1), max(bottom - top, 1))


def overlap(a: Box, b: Box) -> float:
    """Shared area as a fraction of the smaller box, 0 to 1. Pure."""
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if across <= 0 or down <= 0:
        return 0.0
    return across * down / min(a.width * a.height, b.width * b.height)


def suppress(faces: Sequence[tuple[Box, float]]) -> list[tuple[Box, float]]:
    """Of boxes that show one face (overlapping, nested) only the surest; the surest first. Pure."""
    kept: list[tuple[Box, float]] = []
    for box, weight in sorted(faces, key=lambda face: -face[1]):
        if all(overlap(box, other) <= MAX_OVERLAP for other, _ in kept):
            kept.append((box, weight))
    return kept
