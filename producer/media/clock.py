"""Time stamps as they are, made into a time that goes on: for every source, here and nowhere else."""

from collections import deque
from dataclasses import dataclass

JUMP = 1.0
"""Seconds by which a time stamp must miss what the rate tells before it counts as a jump, at the least."""
SPARSE = 4.0
"""Times the longest but one of the last intervals, likewise: a medium with few or irregular pictures does not jump
with each, and one jump does not make the next one usual."""
MEDIUM = 60.0
"""Seconds between two pictures at the most that may become usual."""
REMEMBERED = 50
"""Intervals that tell the rate."""
WRAPS = (2**33 / 90_000, 2**32 / 90_000)
"""Seconds after which time stamps of MPEG-TS (33 bits) and of RTP (32 bits) begin again."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time of one picture.

    Attributes:
        time: seconds since the first picture, always more than that of the picture before.
        gap: seconds that the clock jumped before this picture, negative for back; 0: it did not.
    """

    time: float
    gap: float = 0.0


class MediaClock:
    """Turns the time stamps of one medium into its time.

    A jump is stepped over: the time goes on at the rate of the pictures before. A stamp that wraps is the same
    clock. One that is missing, or equal to the one before, is guessed from the rate.
    """

    def __init__(self, rate: float | None = None) -> None:
        """`rate`: pictures a second as the medium tells."""
        self._interval = 1 / rate if rate and rate > 0 else 0.04
        self._told = deque[float](maxlen=REMEMBERED)
        self._steps = deque[float](maxlen=REMEMBERED)
        self._stamp: float | None = None
        self._arrived: float | None = None
        self._behind = 0
        self._time: float | None = None
        self.jumps = self.missing = self.equal = self.wraps = 0
        """What was found so far."""

    @property
    def is_told(self) -> bool:
        """Whether there was a time stamp yet: RTSP has none before the camera's first report."""
        return self._stamp is not None

    @property
    def interval(self) -> float:
        """Seconds between two pictures: the middle of the last ones, or as the medium tells."""
        return sorted(self._told)[len(self._told) // 2] if self._told else self._interval

    def tick(self, stamp: float | None, arrived: float | None = None) -> Tick:
        """The time of the next picture.

        Args:
            stamp: its time stamp, seconds; None: it has none.
            arrived: when it came, seconds of a steady clock, where it comes as it happens: a pause that can be
                seen there, too, is no jump.
        """
        before, self._arrived = self._arrived, arrived
        waited = arrived - before if arrived is not None and before is not None else None
        if self._time is None:
            self._time = 0.0
            self._stamp = stamp
            return Tick(0.0)
        if stamp is None:
            self.missing += self.is_told
            self._behind += 1
            return self._guessed()
        if self._stamp is None:
            self._stamp, self._behind = stamp, 0
            return self._guessed()
        step = stamp - self._stamp
        for wrap in WRAPS:
            if abs(step + wrap) < max(JUMP, self._longest()):
                self.wraps += 1
                step += wrap
        if step == 0:
            self.equal += 1
            self._behind += 1
            return self._guessed()
        # Those without a stamp of their own have taken some of the time already.
        step -= self._behind * self.interval
        self._stamp, behind, self._behind = stamp, self._behind, 0
        if -JUMP < step <= 0:
            return self._guessed()
        real = waited is not None and abs(waited - step) < max(JUMP / 2, 0.3 * step)
        longest = self._longest() * (1 + behind)
        if 0 < step < MEDIUM or real:
            self._steps.append(step)
        if step <= 0 or (step > longest and not real):
            gap = step - self.interval
            self.jumps += 1
            return self._guessed(gap)
        if not behind:
            self._told.append(step)
        self._time += step
        return Tick(self._time)

    def _longest(self) -> float:
        """Seconds beyond which a step forward is a jump."""
        usual = sorted(self._steps)[-2] if len(self._steps) > 1 else self._interval
        return max(JUMP, SPARSE * usual)

    def _guessed(self, gap: float = 0.0) -> Tick:
        assert self._time is not None
        self._time += self.interval
        return Tick(self._time, gap)
