"""What a report says, computed from the columns of one camera. Pure functions."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emotion_stream.emotion.report.table import Camera, Floats, Whole

Unit = Literal["medium", "clock", "picture"]
GAP = 1.0
"""Seconds for which a face may be out of sight within a stretch."""
MOST_TRACKS = 24
"""Tracks that get a line of their own: those that were seen longest."""
BINS = 240
DAY = 86400.0
RATED_FRAMES, RATED_SECONDS = 10, 1.0
"""Frames, and seconds of the clock, from which on a rate is told."""
UNCERTAIN = -1
"""In place of a label."""


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """What lies along the timeline: seconds in the medium, seconds since the first capture, or pictures.

    Attributes:
        unit: which of these.
        at: of each frame, its place.
        start, end: the first place, and the end of the last frame.
        step: what one frame takes up.
        origin: seconds since 1970 at 0, where the clock is shown.
    """

    unit: Unit
    at: Floats
    start: float
    end: float
    step: float
    origin: float = 0.0

    def share(self, place: float) -> float:
        """How far along a place is, 0 to 1."""
        return (place - self.start) / (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A track that shows one label (or `UNCERTAIN`) from `start` to `end`, on the axis."""

    track: int
    label: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Life:
    """A track and its stretches in the order of time; `seconds` is how much of the axis it was seen for."""

    track: int
    seconds: float
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from capture to result: percentiles, and a histogram of `counts` in equal bins from 0 to `top`; what
    is beyond is in the last."""

    p50: float
    p95: float
    p99: float
    longest: float
    top: float
    counts: tuple[int, ...]


def axis(camera: Camera) -> Axis:
    """Where frames lie. Pictures of a folder have nothing to do with time; a camera that was started again, or a
    file that was played again, has only the clock; of a camera that ran for days, nobody counts the hours."""
    count = len(camera.seq)
    if len(camera.sources) > 1:
        return Axis("picture", np.arange(count, dtype=np.float64), 0.0, float(count), 1.0)
    again = len(set(camera.epoch.tolist())) > 1 or bool(np.any(np.diff(camera.time) < 0))
    again = again or min(float(np.ptp(camera.captured)), float(np.ptp(camera.time))) > DAY
    at = camera.captured - camera.captured.min() if again else camera.time
    gaps = np.diff(at)
    usual = float(np.median(gaps[gaps > 0])) if np.any(gaps > 0) else 0.04
    origin = float(camera.captured.min()) if again else 0.0
    unit: Unit = "clock" if again else "medium"
    return Axis(unit, at, float(at.min()), float(at.max()) + usual, usual, origin)


def lives(camera: Camera, along: Axis) -> list[Life]:
    """All tracks, in the order of their first sight; of pictures, none: there, no face is seen twice.

    A run numbers faces anew, so a number that comes again in another epoch is somebody else."""
    if along.unit == "picture" or not len(camera.frame):
        return []
    at = along.at[camera.frame]
    shown = np.where(camera.uncertain, UNCERTAIN, camera.label)
    epoch = camera.epoch[camera.frame]
    order = np.lexsort((at, camera.track, epoch))
    at, shown, track, epoch = at[order], shown[order], camera.track[order], epoch[order]
    apart = max(GAP, 3 * along.step)
    new = np.ones(len(at), bool)
    other = (track[1:] != track[:-1]) | (epoch[1:] != epoch[:-1])
    new[1:] = other | (shown[1:] != shown[:-1]) | (np.diff(at) > apart)
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(at)) - 1
    found: dict[tuple[int, int], list[Stretch]] = {}
    for a, b in zip(first.tolist(), last.tolist(), strict=True):
        goes_on = b + 1 < len(at) and not other[b] and at[b + 1] - at[b] <= apart
        end = float(at[b + 1]) if goes_on else float(at[b]) + along.step
        part = Stretch(int(track[a]), int(shown[a]), float(at[a]), end)
        found.setdefault((int(epoch[a]), part.track), []).append(part)
    all_lives = [Life(t, sum(s.end - s.start for s in parts), tuple(parts)) for (_, t), parts in found.items()]
    return sorted(all_lives, key=lambda life: (life.stretches[0].start, life.track))


def longest(all_lives: list[Life]) -> list[Life]:
    """Those that were seen longest, in the order given."""
    kept = sorted(range(len(all_lives)), key=lambda n: -all_lives[n].seconds)[:MOST_TRACKS]
    return [all_lives[n] for n in sorted(kept)]


def shares(camera: Camera) -> list[tuple[int, float]]:
    """Of each label (and `UNCERTAIN`), the share of faces that it was shown for; the largest first, no zeros."""
    shown = np.where(camera.uncertain, UNCERTAIN, camera.label)
    counts = [(n, int(np.sum(shown == n))) for n in (*range(len(camera.labels)), UNCERTAIN)]
    total = max(1, len(shown))
    return sorted(((n, count / total) for n, count in counts if count), key=lambda pair: -pair[1])


def transitions(all_lives: list[Life], labels: int) -> Whole:
    """How often a face went from one label to another, `[labels, labels]`, from rows to columns. What comes before
    and after a time of uncertainty is a transition, too."""
    counts: NDArray[np.int64] = np.zeros((labels, labels), np.int64)
    for life in all_lives:
        certain = [s.label for s in life.stretches if s.label != UNCERTAIN]
        for a, b in pairwise(certain):
            counts[a, b] += a != b
    return counts


def over_time(camera: Camera, along: Axis) -> tuple[Floats, Floats]:
    """The mean probability of each label, `[bins, labels]`, in equal parts of the axis, and how many faces were
    seen in each frame on average, `[bins]`; nan where nobody was seen."""
    bins = max(1, min(BINS, len(along.at)))
    width = (along.end - along.start) / bins
    where = np.clip(((along.at - along.start) / width + 1e-9).astype(np.int64), 0, bins - 1)
    frames = np.bincount(where, minlength=bins)
    faces = np.bincount(where[camera.frame], minlength=bins).astype(np.float64)
    sums = np.zeros((bins, len(camera.labels)))
    np.add.at(sums, where[camera.frame], camera.shares)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / np.where(faces > 0, faces, np.nan)[:, None], faces / np.maximum(frames, 1)


def latency(camera: Camera, bins: int = 48) -> Latency:
    """How long results took."""
    p50, p95, p99 = (float(v) for v in np.percentile(camera.latency, (50, 95, 99)))
    top = max(p99 * 1.2, 1e-3)
    counts, _ = np.histogram(np.minimum(camera.latency, top * (1 - 1e-9)), bins, (0.0, top))
    return Latency(p50, p95, p99, float(camera.latency.max()), top, tuple(counts.tolist()))


def absent(camera: Camera) -> int:
    """Frames that are not in the results, though earlier and later ones of their epoch are."""
    lost = 0
    for epoch in np.unique(camera.epoch):
        seq = camera.seq[camera.epoch == epoch]
        lost += int(seq.max() - seq.min()) + 1 - len(np.unique(seq))
    return lost


def rate(camera: Camera) -> float | None:
    """Frames per second of the clock; None where there are too few, or for too short, to tell one."""
    count, span = len(camera.captured), float(camera.captured.max() - camera.captured.min())
    return (count - 1) / span if count >= RATED_FRAMES and span >= RATED_SECONDS else None
