"""Measure the ways to search for a known face near its last place: how often each finds it, and in what time.

Usage: python -m benchmarks.video.near [CLIP...]

Haar follows the faces of each clip (default: the bundled sample, and the clips in ../shared/data/video where they
are). Wherever it looks for a known face that it saw in the frame before, all ways look, with the same reach.

found    of all looks, and of those in which the first way found nothing
ms       of a look, and of one in which the first way found nothing
overlap  of the box with that of the last way, where both find it
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2

from emotion_stream.benchmarks.harness.script import script
from emotion_stream.benchmarks.video.hints import clips, read
from emotion_stream.detector_worker.boxes import overlap
from emotion_stream.detector_worker.contract import Gray
from emotion_stream.detector_worker.haar.cascade import Face, FaceFinder, Near
from emotion_stream.detector_worker.haar.search import WAYS, Searcher
from emotion_stream.models.evaluation.runlog import table
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.types import Box
from emotion_stream.shared.settings.options import DetectorOptions

CROP = 48
"""Pixels of a face from which on it need not be seen at full resolution: what the networks take."""


@dataclass
class Tally:
    """What one way did, in all looks and in those in which the first way found nothing."""

    looks: list[int] = field(default_factory=lambda: [0, 0])
    found: list[int] = field(default_factory=lambda: [0, 0])
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    overlaps: list[float] = field(default_factory=list)


class Compared(FaceFinder):
    """A finder that looks for a known face in all ways, and counts what they find."""

    tallies: Sequence[Tally] = ()

    def find_near(self, gray: Gray, box: Box, reach: float, how: Near) -> list[Face]:
        """See `FaceFinder.find_near`."""
        if how is not WAYS[0]:
            return super().find_near(gray, box, reach, how)
        found: list[list[Face]] = []
        for way, tally in zip(WAYS, self.tallies, strict=True):
            started = time.perf_counter()
            found.append(super().find_near(gray, box, reach, way))
            spent = time.perf_counter() - started
            for group in (0, 1) if not found[0] else (0,):
                tally.looks[group] += 1
                tally.found[group] += bool(found[-1])
                tally.seconds[group] += spent
        for faces, tally in zip(found, self.tallies, strict=True):
            if faces and found[-1]:
                tally.overlaps.append(overlap(faces[0][0], found[-1][0][0]))
        return found[0]


def play(clip: str, tallies: Sequence[Tally]) -> None:
    """Follow the faces of a clip.

    Raises:
        EmotionError: it cannot be read.
    """
    finder = Compared(DetectorOptions())
    finder.tallies = tallies
    searcher = Searcher(finder, DetectorOptions(), CROP)
    memory = None
    for frame in read(clip):
        _, memory = searcher.search(GrayJpeg(frame.jpeg), frame.info, memory)


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    tallies = [Tally() for _ in WAYS]
    for clip in arguments or clips():
        play(clip, tallies)
    rows = [["side, sizes, factor, hits", "found", "ms", "overlap"]]
    for way, tally in zip(WAYS, tallies, strict=True):
        counts = list(zip(tally.looks, tally.found, tally.seconds, strict=True))
        rows.append(
            [
                f"{way.side}, {way.sizes}, {way.factor}, {way.neighbors}",
                ", ".join(f"{found / max(looks, 1):.1%}" for looks, found, _ in counts),
                ", ".join(f"{1000 * seconds / max(looks, 1):.2f}" for looks, _, seconds in counts),
                f"{sum(tally.overlaps) / max(len(tally.overlaps), 1):.2f}",
            ]
        )
    print(table(rows))
    print(f"\n{tallies[0].looks[0]} looks, {tallies[0].looks[1]} of them in vain the first way.")


if __name__ == "__main__":
    with script("video.near", __doc__) as parser:
        parser.add_argument("clips", nargs="*", metavar="CLIP")
        main(parser.parse_args().clips)
