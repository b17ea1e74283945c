"""How faces are followed at the rate of a medium: cameras and time lapses may give one picture in ten seconds."""

import math
from dataclasses import dataclass, field

from emotion_stream.sink.tracking.smoothing import HOLD
from emotion_stream.sink.tracking.tracks import MAX_MISS, Confirmation

SLOW = 0.38
"""Seconds between two frames from which on a face that is found is confirmed at once."""
APART = 1.5
"""Seconds between two frames beyond which nobody can say whose face is whose: each frame stands for itself."""
WITHIN = 1.0
"""Seconds that the frames which confirm a face may span, unless they span more at `FAST`."""
FAST = 25.0
"""Frames a second that `--confirm` is made for."""
MISSES = 3
"""Frames in a row that a face may be missed at least, however slow the medium is."""
_KEPT = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """What following means at one rate.

    Attributes:
        confirmation: what it takes until a face is shown.
        memory: seconds of the medium for which a face may be out of sight and keep its number.
        hold: seconds for which a label must lead until it takes over.
        apart: whether each frame stands for itself.
    """

    confirmation: Confirmation
    memory: float = MAX_MISS
    hold: float = HOLD
    apart: bool = False


def pace(confirmation: Confirmation, interval: float, length: int = 0) -> Pace:
    """How to follow a medium whose frames are `interval` seconds apart (0: not known). Pure.

    Up to 6 frames a second it is as `confirmation` says; below, as large a share of fewer frames, so that nobody
    waits longer than `WITHIN`. A medium of `length` frames (0: many), fewer than `confirmation` looks back at,
    has no time to confirm anything: what is found is shown.
    """
    memory = max(MAX_MISS, MISSES * interval)
    if interval >= SLOW or 0 < length < confirmation.window:
        return Pace(Confirmation(1, 1), memory, HOLD if interval < HOLD else 0.0, interval > APART)
    window = confirmation.window
    if interval > 0:
        within = max(WITHIN, window / FAST)
        window = min(window, math.floor(within / interval + 0.01))
    hits = math.ceil(confirmation.hits * window / confirmation.window)
    return Pace(Confirmation(hits, window), memory, HOLD if interval < HOLD else 0.0)


@dataclass(slots=True)
class Rhythm:
    """How far apart the frames of a medium are. `recent` holds the last few distances, seconds; `last` is when the
    last frame was, negative before the first."""

    last: float = -1.0
    recent: list[float] = field(default_factory=list)

    def next(self, time: float, told: float) -> float:
        """The interval at a frame of media time `time`, seconds, as the middle of the last few; before there are
        two frames it is `told`, what the medium says itself. 0: not known."""
        if self.last < 0 and told > 0:
            self.recent = [told]
        elif 0 <= self.last < time:
            self.recent = [*self.recent, time - self.last][-_KEPT:]
        self.last = time
        return sorted(self.recent)[(len(self.recent) - 1) // 2] if self.recent else 0.0
