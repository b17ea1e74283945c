"""Measure how the detector's boxes lie on faces: the margin of crops, and how far training should vary them.

Usage: python -m benchmarks.jitter FER2013 [IMAGES]

FER2013 is what `emotion train --data` takes. A training image is a face as the model knows it. It is shown to the
detector inside a wider picture, and the box that comes back says what would be cropped there: its size relative to
the image gives the margin, the rest is the jitter of scale and position. Part of it is how the images of FER-2013
themselves differ, and crops in the pipeline differ by both.

A uniform variation by plus or minus b has the standard deviation b / sqrt(3); `models.augment.Jitter` takes b.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_stream.benchmarks.harness.script import at_least_one, script
from emotion_stream.detector_worker.haar.cascade import FaceFinder
from emotion_stream.models.data.fer2013 import load_splits
from emotion_stream.shared.settings.options import DetectorOptions

ENLARGED = 144
"""Pixels that a face of 48 is enlarged to: a usual size in a camera's picture."""

BORDER = 72
"""Pixels around it; the image's edge is repeated there."""


def scene_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A wider gray picture with `image`, a face of 48 pixels, in its middle."""
    large = cv2.resize(image, (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC)
    scene = cv2.copyMakeBorder(large, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
    return np.asarray(scene, np.uint8)


def boxes(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """For each image with one face found: side of the image / side of the box, and the box's centre relative to
    that of the image, in sides of the image; float64 [found, 3]."""
    finder, rows = FaceFinder(DetectorOptions()), []
    for image in pixels:
        found = finder.find(scene_of(image))
        if len(found) == 1:
            box = found[0][0]
            middle = BORDER + ENLARGED / 2
            x, y = box.x + box.width / 2 - middle, box.y + box.height / 2 - middle
            rows.append((ENLARGED / max(box.width, box.height), x / ENLARGED, y / ENLARGED))
    return np.array(rows).reshape(-1, 3)


def bound(values: NDArray[np.float64]) -> float:
    """Of the uniform distribution of this spread. The outer tenth, often boxes on other things, is cut back."""
    return float(np.clip(values, *np.percentile(values, [5, 95])).std() * np.sqrt(3))


def main(data: Path, count: int) -> None:
    """Print what was found."""
    cv2.setNumThreads(1)
    training = load_splits(data, wanted=["Training"], required=["Training"])["Training"]
    chosen = np.random.default_rng(0).permutation(len(training))[:count]
    rows = boxes(training.pixels[chosen])
    print(f"{len(rows)} of {len(chosen)} faces found once, with the detector's default settings")
    if not len(rows):
        return
    ratio, x, y = rows.T
    print(f"image / box: median {np.median(ratio):.3f}, so the margin is {(np.median(ratio) - 1) / 2:.3f}")
    print(
        f"centre of the box: {100 * np.median(x):+.1f} % across, {100 * np.median(y):+.1f} % down from the image's"
    )
    print(f"scale varies by +-{100 * bound(np.log(ratio)):.1f} %")
    print(f"position varies by +-{100 * bound(x):.1f} % of the side across, +-{100 * bound(y):.1f} % down")


if __name__ == "__main__":
    with script("jitter", __doc__) as parser:
        parser.add_argument("data", type=Path, metavar="FER2013")
        parser.add_argument("images", nargs="?", type=at_least_one, default=1500, metavar="IMAGES")
        given = parser.parse_args()
        main(given.data, given.images)
