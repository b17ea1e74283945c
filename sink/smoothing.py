"""Averages the probabilities of one face over media time, and chooses a label that does not flicker."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

FLOOR = 1e-3
"""Probabilities below count as this, so that one frame cannot rule a label out for long."""
LEAD = 0.1
"""A label takes over at once when it is more probable than the one shown by this much ..."""
HOLD = 0.2
"""... or when it has been the most probable for this many seconds."""
RELIEF = 0.05
"""A face that is uncertain stays so until its label is this much more probable than it must be."""


@dataclass(slots=True)
class Smoother:
    """The running average of one face's log-probabilities, weights halving every `half_life` seconds, which is the
    same as combining the frames' odds; and the label shown.

    Attributes:
        sums, weight: the weighted sum of log-probabilities, and of the weights.
        time: of the newest frame.
        label: index of the label shown; -1 before the first frame.
        rival, since: the label that is more probable than the one shown, and from when on; -1 where none is.
        uncertain: whether "uncertain" is shown in its place.
    """

    sums: list[float] = field(default_factory=list)
    weight: float = 0.0
    time: float = 0.0
    label: int = -1
    rival: int = -1
    since: float = 0.0
    uncertain: bool = False

    def update(self, raw: Sequence[float], time: float, half_life: float) -> tuple[float, ...]:
        """Take in the probabilities of one frame; returns the averaged ones, which add up to 1.

        With a half-life of 0 these are `raw`, and the label is the likeliest one.
        """
        if len(self.sums) != len(raw):  # the first frame, or another model
            self.sums, self.weight, self.time, self.label = [0.0] * len(raw), 0.0, time, -1
        faded = 0.5 ** (max(0.0, time - self.time) / half_life) if half_life else 0.0
        self.sums = [s * faded + math.log(max(p, FLOOR)) for s, p in zip(self.sums, raw, strict=True)]
        self.weight = self.weight * faded + 1
        self.time = time
        if not half_life:
            self.label = max(range(len(raw)), key=raw.__getitem__)
            return tuple(raw)
        averaged = self.averaged()
        self._choose(averaged)
        return averaged

    def averaged(self) -> tuple[float, ...]:
        """The averaged probabilities after the newest frame."""
        return _normalised([math.exp(s / self.weight) for s in self.sums])

    def doubt(self, confidence: float, below: float | None) -> bool:
        """Whether a face with a label of this probability is uncertain."""
        self.uncertain = below is not None and confidence < below + (RELIEF if self.uncertain else 0.0)
        return self.uncertain

    def _choose(self, averaged: Sequence[float]) -> None:
        best = max(range(len(averaged)), key=averaged.__getitem__)
        if self.label < 0 or best == self.label:
            self.label, self.rival = best, -1
            return
        if best != self.rival:
            self.rival, self.since = best, self.time
        if averaged[best] - averaged[self.label] >= LEAD or self.time - self.since >= HOLD:
            self.label, self.rival = best, -1


def _normalised(shares: Sequence[float]) -> tuple[float, ...]:
    total = sum(shares)
    return tuple(share / total for share in shares)
