"""Ages that stay right when the machine's clock is set, by seconds or by hours."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

STEP = 0.25
"""Seconds by which the clock must go ahead of, or behind, the steady one within a look for it to have been set."""
KEPT = 16


@dataclass(slots=True)
class Clock:
    """Sees when the wall clock is set, by comparing it with the steady one, and measures ages across that.

    Attributes:
        set_by: seconds by which the clock has been set in all since the last call of `taken`.
    """

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    set_by: float = 0.0
    _ahead: float | None = None
    _looked_at: float = 0.0
    _sets: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def look(self) -> None:
        """Notice whether the clock has been set. To be called often: between two looks, nobody knows when."""
        now = self.steady()
        ahead = self.wall() - now
        if self._ahead is not None and abs(ahead - self._ahead) > STEP:
            self._sets.append((self._looked_at, ahead - self._ahead))
            self.set_by += ahead - self._ahead
            self._ahead = ahead
        elif self._ahead is None or abs(ahead - self._ahead) < STEP / 2:
            self._ahead = ahead  # slewing, by milliseconds
        self._looked_at = now

    def taken(self) -> float:
        """By how much the clock was set since the last call."""
        by, self.set_by = self.set_by, 0.0
        return by

    def age(self, captured_at: float) -> float:
        """Seconds since this time of the wall clock, at least 0. A time from before the clock was set is measured
        by the clock of that moment."""
        self.look()
        now = self.steady()
        age = self.wall() - captured_at
        for before, by in reversed(self._sets):
            if 0 <= age <= now - before:
                break
            age -= by
        return max(0.0, age)
