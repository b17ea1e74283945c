"""Measure how far a face may turn away until its emotion cannot be told.

Usage: python -m benchmarks.turned PublicTest.npz [COUNT]

Every face of FER-2013 is laid over a model head (a round one with a nose), the head is turned about its neck by
known angles, and looked at from the front, at 96 pixels a side in a gray frame of 320 x 180. YuNet and the
network that ships look at it. A row tells of an angle: how many are found, the yaw that `sink.results.pose`
estimates (median, and between which half of them lie), how often the emotion is that of the same face at 0
degrees, and at the angle before. The second table has the same agreement by the estimate. The head is a model:
what lies behind the nose or cheek is not to be seen, and the depth of its nose (NOSE) is that of a usual head,
not measured here.
"""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from emotion_stream.benchmarks.harness.script import at_least_one, script
from emotion_stream.emotion.analyzer import Analyzer, Face
from emotion_stream.shared.settings.options import DetectorOptions

Gray = npt.NDArray[np.uint8]
ANGLES = range(0, 90, 10)
FINE = 480
SIDE = 96
NOSE = 0.45
"""How far the tip of a head's nose stands out from its eyes, in distances between them (28 of 63 mm): assumed."""
EYES = 0.347
"""Sides of FER's square between the eyes."""
EDGES = (0, 10, 20, 30, 35, 40, 45, 50, 60, 70, 90)


def depth() -> npt.NDArray[np.float64]:
    """How far each point of the face stands out, in sides of the picture, `[FINE, FINE]`."""
    place = (np.arange(FINE) + 0.5) / FINE
    x, y = np.meshgrid(place - 0.5, place)
    head = 0.4 * np.sqrt(np.maximum(0, 1 - (x / 0.47) ** 2 - ((y - 0.5) / 0.75) ** 2))
    # The tip must stand out by NOSE: what the round head does not give is the nose.
    eyes = 0.4 * np.sqrt(1 - (EYES / 2 / 0.47) ** 2 - ((0.395 - 0.5) / 0.75) ** 2)
    tip = NOSE * EYES + eyes - 0.4 * np.sqrt(1 - ((0.586 - 0.5) / 0.75) ** 2)
    bridge = np.where(y < 0.586, 0.11, 0.04)
    return np.asarray(head + tip * np.exp(-((x / 0.05) ** 2) / 2 - ((y - 0.586) / bridge) ** 2 / 2))


def source_of(angle: float, out: int = 2 * SIDE) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Which point of the face each pixel shows when the head is turned, and where there is one; `[out, out]`."""
    turn = np.radians(angle)
    z = depth() - 0.2
    place = (np.arange(FINE) + 0.5) / FINE
    x, y = np.meshgrid(place - 0.5, place)
    across, near = x * np.cos(turn) + z * np.sin(turn), z * np.cos(turn) - x * np.sin(turn)
    column, row = np.floor((across + 0.5) * out).astype(int), np.floor(y * out).astype(int)
    order = np.argsort(near.ravel(), kind="stable")
    order = order[((column >= 0) & (column < out)).ravel()[order]]
    found = np.full(out * out, -1)
    found[row.ravel()[order] * out + column.ravel()[order]] = order  # the nearest comes last
    return np.maximum(found, 0).reshape(out, out), (found >= 0).reshape(out, out)


def frames(faces: Gray, angle: float) -> list[Gray]:
    """Frames with each face turned, uint8 `[180, 320, 3]`."""
    index, there = source_of(angle)
    made = []
    for face in faces:
        fine = cv2.resize(face, (FINE, FINE), interpolation=cv2.INTER_CUBIC)
        turned = np.where(there, fine.ravel()[index], 120).astype(np.uint8)
        frame = np.full((180, 320, 3), 120, np.uint8)
        part = cv2.resize(turned, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        frame[42 : 42 + SIDE, 112 : 112 + SIDE] = part[..., None]
        made.append(frame)
    return made


def nearest(found: list[Face]) -> Face | None:
    """The surest face whose box holds the middle of the frame."""
    for face in found:
        b = face.box
        if b.x <= 160 < b.x + b.width and b.y <= 90 < b.y + b.height:
            return face
    return None


def share(hits: list[bool]) -> str:
    """How many are true, in per cent."""
    return f"{np.mean(hits):.0%}" if hits else "-"


def main(path: Path, count: int) -> None:
    """Print both tables."""
    every = np.load(path)["pixels"]
    faces = every[:: max(1, len(every) // count)][:count]
    pairs: list[tuple[float, bool]] = []
    with Analyzer(DetectorOptions(detector="yunet", detector_precision="fp32")) as analyzer:
        seen = {angle: [nearest(analyzer.analyze(f)) for f in frames(faces, angle)] for angle in ANGLES}
    print(f"{len(faces)} faces\n\n| turned | found | yaw, median (half of them) | as at 0 | as before |")
    print("|---|---|---|---|---|")
    for angle in ANGLES:
        here, first, before = seen[angle], seen[0], seen[max(0, angle - 10)]
        yaws = [face.yaw for face in here if face and face.yaw is not None]
        low, middle, high = np.percentile(yaws, (25, 50, 75)) if yaws else (np.nan,) * 3
        same = [(h.emotion == f.emotion, h) for h, f in zip(here, first, strict=True) if h and f]
        step = [h.emotion == b.emotion for h, b in zip(here, before, strict=True) if h and b]
        pairs += [(abs(h.yaw), s) for s, h in same if angle and h.yaw is not None]
        cells = f"{share([h is not None for h in here])} | {middle:.0f} ({low:.0f} to {high:.0f})"
        print(f"| {angle} | {cells} | {share([s for s, _ in same])} | {share(step)} |")
    print("\n| estimated yaw | faces | as at 0 |\n|---|---|---|")
    for low, high in pairwise(EDGES):
        inside = [s for yaw, s in pairs if low <= yaw < high]
        print(f"| {low} to {high} | {len(inside)} | {share(inside)} |")


if __name__ == "__main__":
    with script("turned", __doc__) as parser:
        parser.add_argument("faces", type=Path, metavar="PublicTest.npz")
        parser.add_argument("count", nargs="?", type=at_least_one, default=300, metavar="COUNT")
        given = parser.parse_args()
        main(given.faces, given.count)
