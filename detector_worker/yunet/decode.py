"""What YuNet's numbers mean. Pure functions, in NumPy, over all anchors at once."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

STRIDES = (8, 16, 32)
"""Pixels between two anchors, in each of the network's three grids. Its sides are multiples of the last."""
OVERLAP = 0.3
"""Intersection over union from which on two boxes show one face."""
MOST = 1000
"""Boxes that are compared with one another, the surest ones."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Faces in pixels of what the network saw, the surest first.

    Attributes:
        scores: float32 [n], 0 to 1.
        boxes: float32 [n, 4]: x and y of the top left corner, width, height. They may stick out of the picture.
        landmarks: float32 [n, 5, 2]: x and y of five points, as in `shared.messages.Landmarks`.
    """

    scores: Floats
    boxes: Floats
    landmarks: Floats

    def __getitem__(self, chosen: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> "Faces":
        return Faces(self.scores[chosen], self.boxes[chosen], self.landmarks[chosen])

    def moved(self, x: float, y: float) -> "Faces":
        """The same, so many pixels further right and down."""
        by = np.array([x, y], np.float32)
        return Faces(self.scores, self.boxes + np.array([x, y, 0, 0], np.float32), self.landmarks + by)

    def scaled(self, x: float, y: float) -> "Faces":
        """The same in other pixels: `x` of them for one of these across, `y` down."""
        both = np.array([x, y], np.float32)
        return Faces(self.scores, self.boxes * np.tile(both, 2), self.landmarks * both)


@cache
def anchors(width: int, height: int) -> Floats:
    """Column and row of each anchor, and its stride: float32 [n, 3], in the order of the network's rows.

    Callers bound the number of sizes.
    """
    parts = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride].reshape(2, -1)
        parts.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=1))
    made = np.concatenate(parts).astype(np.float32)
    made.flags.writeable = False
    return made


def decode(scores: Floats, boxes: Floats, landmarks: Floats, where: Floats, least: float) -> Faces:
    """The anchors that see a face with a score of at least `least`, the surest first, at most MOST.

    Args:
        scores: float32 [n], 0 to 1.
        boxes: float32 [n, 4]: offset of the centre from the anchor, and logarithm of the size, in strides.
        landmarks: float32 [n, 10]: offset of five points from the anchor, in strides.
        where: what `anchors` tells.
    """
    seen = np.flatnonzero(scores >= least)
    chosen = seen[np.argsort(-scores[seen], kind="stable")][:MOST]
    place, stride = where[chosen, :2], where[chosen, 2:]
    centre = (boxes[chosen, :2] + place) * stride
    # A wild number must not become infinite: no face is larger than any picture.
    size = np.exp(np.minimum(boxes[chosen, 2:], 9)) * stride
    points = (landmarks[chosen].reshape(-1, 5, 2) + place[:, None]) * stride[:, None]
    return Faces(scores[chosen], np.concatenate([centre - size / 2, size], axis=1), points)


def suppress(faces: Faces, least: float) -> Faces:
    """Of boxes that show one face only the surest; the surest first."""
    if len(faces.scores) < 2:
        return faces
    kept = cv2.dnn.NMSBoxes(faces.boxes.tolist(), faces.scores.tolist(), least, OVERLAP)
    return faces[np.asarray(kept, np.intp).ravel()]


def joined(first: Faces, second: Faces) -> Faces:
    """Both, the surest first."""
    scores = np.concatenate([first.scores, second.scores])
    both = Faces(
        scores,
        np.concatenate([first.boxes, second.boxes]),
        np.concatenate([first.landmarks, second.landmarks]),
    )
    return both[np.argsort(-scores, kind="stable")]
