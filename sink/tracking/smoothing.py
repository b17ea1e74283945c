"""Averages the probabilities of one face over media time, and chooses a label that does not flicker."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

FLOOR = 1e-3
"""Probabilities below count as this, so that one frame cannot rule a label out for long."""
LEAD = 0.2
"""A label that the newest frame agrees with takes over when it leads the one shown by this much,"""
HOLD = 0.24
"""or when it has been the most probable for this many seconds. If it was so in every frame of them, or all but
single ones, the average begins anew with them: a face that was very sure before changes as fast as any."""
_INSTANT = 1e-3
"""Seconds within which two times are the same."""
RELIEF = 0.05
"""A face that is uncertain stays so until its label is this much more probable than it must be."""


@dataclass(slots=True)
class Average:
    """A weighted sum of log-probabilities, and of the weights, which halve every half-life."""

    sums: list[float] = field(default_factory=list)
    weight: float = 0.0

    def add(self, logs: Sequence[float], faded: float) -> None:
        """Take in one frame; what was before is worth `faded` (0 to 1) of what it was."""
        before = self.sums or [0.0] * len(logs)
        self.sums = [s * faded + p for s, p in zip(before, logs, strict=True)]
        self.weight = self.weight * faded + 1

    def probabilities(self) -> tuple[float, ...]:
        """The geometric mean of what was taken in, which is its mean odds; adds up to 1."""
        shares = [math.exp(s / self.weight) for s in self.sums]
        total = sum(shares)
        return tuple(share / total for share in shares)


@dataclass(slots=True)
class Run:
    """Frames whose likeliest label is the same: the label, the time of the first, how many, their average."""

    label: int = -1
    since: float = 0.0
    frames: int = 0
    average: Average = field(default_factory=Average)


@dataclass(slots=True)
class Smoother:
    """One face's running average, and the label that is shown; labels are indices, -1 is none.

    Attributes:
        average: of all frames.
        time: of the newest frame.
        label: the label that is shown.
        uncertain: whether "uncertain" is shown in its place.
        rival, rival_since: the label with the highest average, and since when.
        run, earlier: what the newest frames agree on, and what those before it did. A single frame that disagrees
            does not end a run.
    """

    average: Average = field(default_factory=Average)
    time: float = 0.0
    label: int = -1
    uncertain: bool = False
    rival: int = -1
    rival_since: float = 0.0
    run: Run = field(default_factory=Run)
    earlier: Run = field(default_factory=Run)

    def update(self, raw: Sequence[float], time: float, half_life: float, hold: float = HOLD) -> tuple[float, ...]:
        """Take in the probabilities of one frame; returns the averaged ones, which add up to 1.

        With a half-life of 0 these are `raw`, and the label is the likeliest one. `hold` is how many seconds a
        label must lead: 0 where frames are so far apart that each of them counts.
        """
        if len(self.average.sums) != len(raw):  # the first frame, or another model
            self.average, self.label, self.rival, self.run, self.earlier = Average(), -1, -1, Run(), Run()
        faded = 0.5 ** (max(0.0, time - self.time) / half_life) if half_life else 0.0
        self.time = time
        best = max(range(len(raw)), key=raw.__getitem__)
        if best != self.run.label:
            resumed = self.run.frames == 1 and best == self.earlier.label
            new = self.earlier if resumed else Run(best, time)
            self.run, self.earlier = new, self.run
        logs = [math.log(max(p, FLOOR)) for p in raw]
        for average in (self.average, self.run.average, self.earlier.average):
            average.add(logs, faded)
        self.run.frames += 1
        if not half_life:
            self.label = best
            return tuple(raw)
        return self._choose(hold)

    def doubt(self, confidence: float, below: float | None) -> bool:
        """Whether a face with a label of this probability is uncertain."""
        self.uncertain = below is not None and confidence < below + (RELIEF if self.uncertain else 0.0)
        return self.uncertain

    def _choose(self, hold: float) -> tuple[float, ...]:
        if self.run.label != self.label and self._held(self.run.since, hold):
            self.average = replace(self.run.average)
            self.rival, self.rival_since = self.run.label, self.run.since
        averaged = self.average.probabilities()
        best = max(range(len(averaged)), key=averaged.__getitem__)
        if best != self.rival:
            self.rival, self.rival_since = best, self.time
        lead = averaged[best] - averaged[self.label]
        wins = lead >= LEAD or self._held(self.rival_since, hold)
        # What leads only because of frames long past is skipped: the face is on its way to something else.
        if self.label < 0 or (wins and best == self.run.label):
            self.label = best
        return averaged

    def _held(self, since: float, hold: float) -> bool:
        return self.time - since > hold - _INSTANT
