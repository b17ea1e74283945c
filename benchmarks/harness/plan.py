"""What a run of the benchmarks is about, and small statistics."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure.

    Attributes:
        clip: the video that everything but `cameras` plays.
        rounds: how often everything is measured, in turns.
        frames: frames of a lossless run; the clip is cut, or repeated.
        seconds: length of a live run, and the longest time that a peer may play the clip.
        most_cameras: where the search for the number of cameras ends.
        fer_python: Python of an environment with the `fer` package, or None.
        settings: TOML file with the settings of the pipeline that differ from the defaults.
        folder: for temporary files.
        cores: that this process and its children may use.
    """

    clip: Path
    rounds: int
    frames: int
    seconds: float
    most_cameras: int
    fer_python: str | None
    settings: Path
    folder: Path
    cores: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and extremes of some rounds."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Iterable[float]) -> "Spread":
        """
        Raises:
            ValueError: there are no values.
        """
        ordered = sorted(values)
        return Spread(statistics.median(ordered), ordered[0], ordered[-1])

    def text(self, digits: int = 1) -> str:
        """`median (low to high)`; just the value where they are the same."""
        middle, low, high = (f"{value:.{digits}f}" for value in (self.median, self.low, self.high))
        return middle if low == high else f"{middle} ({low} to {high})"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of `values` do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]
