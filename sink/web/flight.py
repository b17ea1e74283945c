"""How far a viewer is: told by the viewer itself, because what lies between (a proxy, its sockets) takes megabytes
at once and holds them for a slow one."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

LATE = 1.0
"""Seconds after which a viewer that has not got what it was sent gets nothing more: it would only be older."""
SILENT = 10.0
"""Seconds without a word after which a viewer counts as one that does not tell."""
GUESS = 30_000
"""Bytes per second that a viewer behind a proxy is taken to read who does not tell."""
FIRST_WINDOW, LEAST_WINDOW, MOST_WINDOW = 128 * 1024, 32 * 1024, 16 * 1024 * 1024
"""Bytes that may be on their way to one viewer at once: at first, and at the least and the most later."""
MOST_VIEWERS = 2000


@dataclass(slots=True)
class Flight:
    """What is on its way to one viewer. As much may be as arrives in half a second, as far as is known by now: the
    window grows with what arrives soon, and shrinks when that takes longer.

    Attributes:
        tells: whether the viewer says what has arrived.
        proxied: whether there is a proxy between; without one, its socket tells what does not arrive.
        sent: messages so far.
        window: bytes that may be on their way.
    """

    tells: bool = True
    proxied: bool = False
    clock: Callable[[], float] = time.monotonic
    sent: int = 0
    window: float = FIRST_WINDOW
    _bytes: int = 0
    _heard_at: float | None = None
    _under_way: deque[tuple[int, float, int]] = field(default_factory=deque)
    _arrives_at: float = 0.0

    def send(self, size: int) -> None:
        """Count one message of so many bytes."""
        now = self.clock()
        self._heard_at = now if self._heard_at is None else self._heard_at
        self.sent += 1
        self._bytes += size
        self._under_way.append((self.sent, now, size))
        self._arrives_at = max(self._arrives_at, now) + size / GUESS

    def arrived(self, number: int) -> None:
        """The viewer has got messages up to this one."""
        self._heard_at = now = self.clock()
        came, took = 0, 0.0
        while self._under_way and self._under_way[0][0] <= number:
            _, at, size = self._under_way.popleft()
            came, took = came + size, now - at
        self._bytes -= came
        if took > LATE / 2:
            self.window = max(LEAST_WINDOW, self.window * LATE / 2 / took)
        else:
            self.window = min(MOST_WINDOW, self.window + came)

    @property
    def is_late(self) -> bool:
        """Whether the next message had better wait."""
        now = self.clock()
        if not self.tells or (self._heard_at is not None and now - self._heard_at > SILENT):
            self._under_way.clear()
            self._bytes = 0
            return self.proxied and self._arrives_at - now > LATE
        return bool(self._under_way) and (self._bytes >= self.window or now - self._under_way[0][1] > LATE)


class Flights:
    """Those of all viewers that tell how far they are, by the name that each has given itself."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Flight] = OrderedDict()

    def begin(self, viewer: str, *, proxied: bool) -> Flight:
        """A new one; of a viewer without a name, nothing will be told."""
        flight = Flight(tells=bool(viewer), proxied=proxied)
        if viewer:
            self._known.pop(viewer, None)
            while len(self._known) >= MOST_VIEWERS:
                self._known.popitem(last=False)
            self._known[viewer] = flight
        return flight

    def arrived(self, viewer: str, number: int) -> None:
        """What a viewer tells; of one that is unknown, or gone, nothing is kept."""
        if viewer in self._known:
            self._known.move_to_end(viewer)
            self._known[viewer].arrived(number)
