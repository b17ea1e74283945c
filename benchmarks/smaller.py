"""Measure what it costs to make pictures smaller, against OpenCV's INTER_AREA.

Usage: python -m benchmarks.smaller [CLIP] [--rounds N]

The first frame of CLIP (default: the bundled sample), at 640 and 1920 pixels, is made smaller in colour; at 596,
in gray, for YuNet, whose search is timed with it. Times are processor time in one thread, the best of the rounds.
`dB` is how close both pictures are (PSNR): above 40 few can tell.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event

import cv2
import numpy as np

from emotion_stream import samples
from emotion_stream.benchmarks.harness.script import at_least_one, script
from emotion_stream.detector_worker.yunet.network import Network
from emotion_stream.models.evaluation.runlog import table
from emotion_stream.producer.pictures.source import Context, Image, Nobody
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import parse_source
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.smaller import smaller

Way = Callable[[Image, int, int], Image]
CALLS = 20
SIZES = ((640, 480), (640, 400), (640, 320), (1920, 1280), (1920, 960), (1920, 640), (1920, 480))
"""Widths before and after."""
SEEN = 320, 480
"""Widths at which YuNet sees a frame of 596 pixels."""


def area(image: Image, width: int, height: int) -> Image:
    """The way that `smaller` stands in for."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def best_ms(work: Callable[[], object], rounds: int) -> float:
    """Milliseconds of one call."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(CALLS):
            work()
        times.append(time.process_time() - started)
    return min(times) / CALLS * 1000


def first_frame(clip: str) -> Image:
    """
    Raises:
        EmotionError: it has none.
    """
    source = make_source(parse_source(clip), "lossless", ProducerOptions(), Context(Event(), Nobody()))
    source.open()
    picture = source.read()
    source.close()
    if picture is None or picture.image is None:
        raise EmotionError(f"{clip} has no first frame")
    return picture.image


def resized(image: Image, width: int) -> Image:
    """At another width, its aspect kept."""
    height = round(image.shape[0] * width / image.shape[1])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def of_pictures(frame: Image, rounds: int) -> list[list[str]]:
    """A row for each pair of sizes."""
    rows = [["from, to", "INTER_AREA, ms", "smaller, ms", "dB"]]
    for before, after in SIZES:
        image = resized(frame, before)
        size = after, round(image.shape[0] * after / before)
        slow, fast = (best_ms(partial(way, image, *size), rounds) for way in (area, smaller))
        alike = cv2.PSNR(area(image, *size), smaller(image, *size))
        rows.append(
            [f"{before}, {after}", f"{slow:.2f}", f"{fast:.2f}", "same" if alike > 100 else f"{alike:.0f}"]
        )
    return rows


def of_yunet(frame: Image, rounds: int) -> list[list[str]]:
    """A row for each size at which it sees a frame."""
    rows = [["YuNet sees", "INTER_AREA, ms", "smaller, ms"]]
    gray = np.asarray(cv2.cvtColor(resized(frame, 596), cv2.COLOR_BGR2GRAY), np.uint8)
    yunet = Network()
    for width in SEEN:
        height = round(gray.shape[0] * width / gray.shape[1])

        def seen(way: Way, width: int = width, height: int = height) -> None:
            yunet.look(way(gray, width, height), width, height, 0.6)

        rows.append([str(width), *(f"{best_ms(partial(seen, way), rounds):.2f}" for way in (area, smaller))])
    return rows


def main(clip: str, rounds: int) -> None:
    """Print the tables."""
    cv2.setNumThreads(1)
    frame = first_frame(clip)
    print(table(of_pictures(frame, rounds)))
    print()
    print(table(of_yunet(frame, rounds)))


if __name__ == "__main__":
    sample = Path(samples.__file__).parent / "sample.mp4"
    with script("smaller", __doc__) as parser:
        parser.add_argument("clip", nargs="?", default=str(sample), metavar="CLIP")
        parser.add_argument("--rounds", type=at_least_one, default=5)
        given = parser.parse_args()
        main(given.clip, given.rounds)
