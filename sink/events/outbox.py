"""What waits to be sent: a bounded queue that never makes whoever fills it wait."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Outbox(Generic[T]):
    """Holds `most` items; where there is no room, the oldest is left out and counted."""

    def __init__(self, most: int, left_out: Callable[[int], None]) -> None:
        """`left_out` is called with how many were left out, by the thread that puts something in."""
        self._most = most
        self._left_out = left_out
        self._items: deque[tuple[float, T]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.lost = 0
        """How many were left out since `take_lost` was called last."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._closed

    def put(self, item: T) -> None:
        """Add the newest."""
        with self._changed:
            full = len(self._items) >= self._most
            if full:
                self._items.popleft()
                self.lost += 1
            self._items.append((time.monotonic(), item))
            self._changed.notify()
        if full:
            self._left_out(1)

    def pop(self) -> T | None:
        """The oldest, if there is one."""
        with self._changed:
            return self._items.popleft()[1] if self._items else None

    def gather(self, within: float, most: int) -> list[T]:
        """Wait for an item, and then until it is `within` seconds old; returns it with what came after it, at most
        `most`. Does not wait once the box is closed; empty: it is closed, and nothing is left."""
        with self._changed:
            while not self._closed:
                if not self._items:
                    self._changed.wait()
                    continue
                left = self._items[0][0] + within - time.monotonic()
                if left <= 0 or len(self._items) >= most:
                    break
                self._changed.wait(left)
            return [self._items.popleft()[1] for _ in range(min(most, len(self._items)))]

    def take_lost(self) -> int:
        """How many were left out since this was called last."""
        with self._changed:
            lost, self.lost = self.lost, 0
            return lost

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
