"""How many frames of one live camera may be in the pipeline at once. Knows no Redis, and no clock of its own."""

from collections import deque

LATE = 0.1
"""Seconds in the pipeline after which a frame should have come out."""
WIDE, MOST, WIDER = 2.0, 8.0, 0.02
"""The window, frames at once: as for TCP (Jacobson 1988), each frame that comes out widens it by a little, up to
the most; frames that come out as dropped halve it, down to one. From `WIDE` on only what is late counts."""
SETTLE = 1.0
"""Seconds from a camera's first frame for which it sends all: workers that have just begun are slower."""
LOOK = 0.25
"""Seconds between two looks at what has come out, as long as nothing is late."""
UNHEARD = 2.0
"""Seconds after which a frame that has not come out of the pipeline is not waited for."""


class Window:
    """A camera beyond its window sends no more: its frames would only be dropped further on, after they have cost
    the work of encoding, sending and reading them. All times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._flight: deque[tuple[int, float]] = deque()
        self._size, self._dropped, self._look_at = WIDE, -1, 0.0
        self._settled: float | None = None

    def sent(self, next_seq: int, now: float) -> None:
        """Note a frame that was sent; `next_seq` is the number after its own."""
        self._flight.append((next_seq, now))
        self._settled = self._settled or now + SETTLE

    def begin_anew(self) -> None:
        """Forget what is under way: numbers begin at 0 again."""
        self._flight.clear()

    def wants_look(self, now: float) -> bool:
        """Whether it is time to ask what has come out; as long as it is not, the window is not full."""
        if self._settled is None or now < self._settled or not self._flight:
            return False
        return now >= self._look_at or self._is_full(now)

    def is_full(self, told: tuple[int, int] | None, now: float) -> bool:
        """Whether the pipeline has enough to do with the frames that it has.

        Args:
            told: the number behind the newest frame that has come out, and how many ever came out as dropped;
                None: nobody tells.
            now: the time of the look.
        """
        self._look_at = now + LOOK
        if told is None:
            self._flight.clear()
            return False
        arrived, dropped = told
        while self._flight and self._flight[0][0] <= arrived:
            self._flight.popleft()
            self._size = min(MOST, self._size + WIDER)
        if dropped > self._dropped >= 0:
            self._size = max(1.0, self._size / 2)
        self._dropped = dropped
        while self._flight and now - self._flight[0][1] > UNHEARD:
            self._flight.popleft()
        return self._is_full(now)

    def _is_full(self, now: float) -> bool:
        """With a frame that should have come out by now, or may be dropped."""
        if len(self._flight) < int(self._size):
            return False
        return self._size < WIDE or now - self._flight[0][1] >= LATE
