"""Finding faces in a gray picture with a Haar cascade."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from emotion_stream.detector_worker.boxes import around, clip, overlap
from emotion_stream.detector_worker.contract import Gray
from emotion_stream.detector_worker.ignored import NOTHING, Ignored
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.types import Box
from emotion_stream.shared.settings.options import DetectorOptions

MAX_OVERLAP = 0.5
"""Share of the smaller box: above it two boxes show one face. People cheek to cheek stay below."""

LARGE_PART = 0.5
"""Of a picture that is ignored in part, faces larger than this share of its shorter side are searched apart."""
BOTH = 1.25
"""Faces up to so much smaller are searched with both, so that hits of one face are not divided."""
MIN_FACE = 0.04
"""Smallest face searched for unless `--min-face` says otherwise, as a fraction of the frame's shorter side."""


@dataclass(frozen=True, slots=True)
class Near:
    """How to search a face near its last place: scaled so that it should have `side` pixels, give or take a factor
    of `sizes`."""

    side: int
    sizes: float
    factor: float
    neighbors: int


QUICK = Near(30, 1.15, 1.12, 1)
"""Finds 95 % of the faces that the finest search finds. With windows below 40 pixels, twice those of the cascade,
OpenCV looks at every second row and column only. Chosen by measurement among 34 settings
(docs/explanation/performance.md)."""
MIDDLE = Near(40, 1.15, 1.1, 1)
"""Finds four of five that the quick search misses, in half the time of the thorough one."""
THOROUGH = Near(44, 1.3, 1.1, 2)
"""Finds 99 % of them, in six times the time."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """A part of the search for all faces: those of a range of sizes.

    Attributes:
        reduction: how many times smaller than for a scan the picture may be.
        to: side of the largest of them, in sides of the cascade's window, in that smaller picture; 0: any. The
            smallest ones have its size.
        factor: step between the scales searched. It is coarse, and a single hit is enough: what is found is
            looked at again.
        cost: of it, in scans of the same area.
    """

    reduction: int
    to: float
    factor: float
    cost: float


SMALL = Sizes(1, 2.2, 1.25, 0.3)
"""A little more than up to where medium ones begin, because boxes vary. Three steps end just below twice the
window, from where on OpenCV looks at every row and column."""
MEDIUM = Sizes(2, 2.2, 1.189, 0.11)
"""Four steps, for the same reason."""
LARGE = Sizes(4, 0, 1.1, 0.08)
AGAIN = 1.5
"""Side of the square in which what a single hit has found is looked for again, in sides of its box."""

Face = tuple[Box, float]
"""A box in pixels of the picture searched, wholly inside it, with its weight, the cascade's last sum: higher is
surer, comparable within one cascade only."""


class FaceFinder:
    """A Haar cascade with its settings. Not to be shared between threads: OpenCV keeps buffers in it."""

    def __init__(self, options: DetectorOptions) -> None:
        """Load the cascade.

        Raises:
            UsageError: `options.cascade` names none, or the file is none.
        """
        self._options = options
        self.ignored = NOTHING
        self._cascade = load_cascade(options.cascade)
        self._window: tuple[int, int] = tuple(self._cascade.getOriginalWindowSize())  # type: ignore[assignment]

    @property
    def sure(self) -> Near:
        """What a suspected face must pass, and a known one now and then: takes few other things for a face."""
        return replace(THOROUGH, neighbors=self._options.min_neighbors)

    def tuned(self, options: DetectorOptions, ignored: Ignored = NOTHING) -> "FaceFinder":
        """The same cascade with other settings, and with parts of the picture in which faces do not count; what
        names the cascade is not looked at."""
        other = copy(self)
        other._options, other.ignored = options, ignored
        return other

    def find(self, gray: Gray, area: Box | None = None) -> list[Face]:
        """The faces in `gray`, uint8 `[height, width]`, or in `area`; the surest first, at most `max_faces`."""
        options = self._options
        height, width = gray.shape
        area = area or Box(0, 0, width, height)
        scale = min(1.0, options.scan_width / width) if options.scan_width else 1.0
        least = self._least(gray, scale)
        how = options.scale_factor, options.min_neighbors
        if self.ignored:
            # Small faces are looked for close to where they count; only large ones can reach far into the rest.
            large = round(LARGE_PART * min(area.width, area.height) * scale)
            found = self._search(gray, area, scale, least, large, *how) if large > least else []
            found += self._search(gray, area, scale, max(least, round(large / BOTH)), 0, *how)
            return suppress(found)[: options.max_faces]
        return self._search(gray, area, scale, least, 0, *how)[: options.max_faces]

    def find_sizes(
        self, sizes: Sizes, gray: Gray, area: Box, scale: float, known: Sequence[Face] = ()
    ) -> list[Face]:
        """Faces of some sizes in `area`; `scale`: pixels of a full scan for one of `gray`. What lies on one of the
        `known` faces is not looked at again, and may be missing."""
        scale /= sizes.reduction
        least, most = self._least(gray, scale), round(sizes.to * self._window[0])
        if most and least > most:
            return []
        found = self._search(gray, area, scale, least, most, sizes.factor, 1)
        suspects = [box for box, _ in found if all(overlap(box, other) <= MAX_OVERLAP for other, _ in known)]
        closer = (self.find_near(gray, box, AGAIN, self.sure) for box in suspects)
        return suppress([face for faces in closer for face in faces])

    def widest(self, sizes: Sizes) -> int:
        """Pixels, at the scale of a full scan, of the largest face of these sizes; 0: any."""
        return round(sizes.to * sizes.reduction * self._window[0])

    def _least(self, gray: Gray, scale: float) -> int:
        shorter: float = min(gray.shape) * scale
        wanted = MIN_FACE if self._options.min_face is None else self._options.min_face
        return round(wanted * max(1, round(shorter)))

    def find_near(self, gray: Gray, box: Box, reach: float, how: Near) -> list[Face]:
        """Faces of about the size of `box` in a square around its centre; the surest first.

        `reach` is the side of that square, in sides of the box; 1 would be the box itself.
        """
        scale = how.side / max(box.width, box.height)
        area = around(box, reach, gray.shape[1], gray.shape[0])
        least, most = round(how.side / how.sizes), round(how.side * how.sizes)
        return self._search(gray, area, scale, least, most, how.factor, how.neighbors)

    def _search(
        self, gray: Gray, area: Box, scale: float, least: int, most: int, factor: float, neighbors: int
    ) -> list[Face]:
        """Faces that count in `area`, which is scaled by `scale` first, from `least` to `most` (0: any) scaled
        pixels."""
        height, width = gray.shape
        reach = most / scale / 2 if most else min(width, height) / 2
        left = self.ignored.left(area, reach, width, height)
        if left is None:
            return []
        area = left
        part = gray[area.y : area.y + area.height, area.x : area.x + area.width]
        size = max(1, round(area.width * scale)), max(1, round(area.height * scale))
        if size[0] < self._window[0] or size[1] < self._window[1]:
            return []
        if size != (area.width, area.height):
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            part = cv2.resize(part, size, interpolation=how)  # type: ignore[assignment]
        boxes, _, weights = self._cascade.detectMultiScale3(
            part,
            scaleFactor=factor,
            minNeighbors=neighbors,
            minSize=(max(least, self._window[0]), max(least, self._window[1])),
            maxSize=(most, most),
            outputRejectLevels=True,
        )
        found = [
            (
                clip(box, area.width / size[0], area.height / size[1], width, height, (area.x, area.y)),
                float(weight),
            )
            for box, weight in zip(np.asarray(boxes).tolist(), np.ravel(weights), strict=True)
        ]
        return [face for face in suppress(found) if not self.ignored.hides(face[0], width, height)]


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


def suppress(faces: Sequence[Face]) -> list[Face]:
    """Of boxes that show one face (overlapping, nested) only the surest; the surest first. Pure."""
    kept: list[Face] = []
    for box, weight in sorted(faces, key=lambda face: -face[1]):
        if all(overlap(box, other) <= MAX_OVERLAP for other, _ in kept):
            kept.append((box, weight))
    return kept
