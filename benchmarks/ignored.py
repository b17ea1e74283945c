"""What a search takes when half of the picture is ignored: `python -m benchmarks.ignored FOLDER`.

For each picture of a folder and each half of it: whether exactly the faces outside are found, and the CPU time
of a whole scan as a share of that without any area; the least of three rounds, which alternate.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Literal

import cv2

from emotion_stream.detector_worker.boxes import overlap
from emotion_stream.detector_worker.contract import FaceDetector, Found
from emotion_stream.detector_worker.detector import make_finder
from emotion_stream.detector_worker.ignored import ignoring
from emotion_stream.shared.messages.areas import parse_polygon
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.types import ModelSpec
from emotion_stream.shared.settings.options import DetectorOptions

ROUNDS = 3
HALVES = {
    "left": parse_polygon("0,0 0.5,0 0.5,1 0,1"),
    "right": parse_polygon("0.5,0 1,0 1,1 0.5,1"),
    "upper": parse_polygon("0,0 1,0 1,0.5 0,0.5"),
    "lower": parse_polygon("0,0.5 1,0.5 1,1 0,1"),
    "all": parse_polygon("0,0 1,0 1,1 0,1"),
}
SAME = 0.5
"""Overlap of two boxes that show one face."""
Name = Literal["haar", "yunet"]
NAMES: tuple[Name, ...] = ("haar", "yunet")


def cost(finder: FaceDetector, data: bytes) -> float:
    """CPU seconds of a scan; the picture is decoded before."""
    jpeg = GrayJpeg(data)
    jpeg.reduced(1)
    began = time.process_time()
    finder.scan(jpeg)
    return time.process_time() - began


def differing(found: Sequence[Found], wanted: Sequence[Found]) -> int:
    """Faces that one of the two has and the other has not."""
    pairs = ((found, wanted), (wanted, found))
    return sum(all(overlap(a.box, b.box) <= SAME for b in others) for some, others in pairs for a in some)


def measure(name: Name, pictures: Sequence[bytes]) -> str:
    """A row of the table: the median share of each half, and how many faces were too many or too few."""
    options = DetectorOptions(detector=name)
    plain = make_finder(options, ModelSpec("benchmark", 48, 0.0))
    shares: dict[str, list[float]] = {half: [] for half in HALVES}
    faces = wrong = 0
    for data in pictures:
        jpeg = GrayJpeg(data)
        everybody = plain.scan(jpeg)
        for half, area in HALVES.items():
            ignored = ignoring((area,))
            finder = plain.tuned(options, ignored)
            outside = [face for face in everybody if not ignored.hides(face.box, jpeg.width, jpeg.height)]
            faces += len(outside)
            wrong += differing(finder.scan(GrayJpeg(data)), outside)
            both = [(cost(finder, data), cost(plain, data)) for _ in range(ROUNDS)]
            shares[half].append(min(part for part, _ in both) / min(whole for _, whole in both))
    told = " | ".join(f"{median(shares[half]):.2f}" for half in HALVES)
    return f"| `{name}` | {told} | {faces} | {wrong} |"


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    files = sorted(Path(arguments[0]).glob("*.jpg")) if len(arguments) == 1 else []
    if not files:
        print("usage: python -m benchmarks.ignored FOLDER, with JPEG photographs of groups", file=sys.stderr)
        return 2
    cv2.setNumThreads(1)
    pictures = [file.read_bytes() for file in files]
    print(f"| | {' | '.join(HALVES)} | faces outside | wrong |")
    print(f"|{'---|' * (len(HALVES) + 3)}")
    for name in NAMES:
        print(measure(name, pictures), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
