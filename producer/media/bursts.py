"""Pictures that come in bursts, shown at the rate of their own time stamps."""

MARGIN = 0.3
"""Seconds that are added to the delay each time that pictures came too late."""
CATCH_UP = 0.1
"""How much faster than the medium pictures are shown after a pause of the network, until it is made good."""


class Smooth:
    """When each picture is due. Nothing is held in memory: whoever reads waits, and so does the server.

    The delay begins with `delay` seconds and grows with what the network needs. What is shown later because of a
    pause is caught up, unless the server has dropped it.
    """

    def __init__(self, delay: float = 0.0, *, catch_up: bool = True) -> None:
        self._delay = delay
        self._catch_up = catch_up
        self._origin: float | None = None
        self._last = 0.0
        self._debt = 0.0

    def due(self, time: float, now: float) -> float:
        """When the picture of this `time` of the medium is to be shown, on the clock of `now`, seconds."""
        if self._origin is None:
            self._origin, self._last = now + self._delay - time, time
        if self._debt > 0:
            saved = min(self._debt, CATCH_UP * max(0.0, time - self._last))
            self._origin -= saved
            self._debt -= saved
        self._last = time
        late = now - (self._origin + time)
        if late > 0:
            # A picture that is only a little late is shown at once; the next ones are in time again.
            self._origin += late + (MARGIN if late > MARGIN else 0.0)
            self._debt = late if self._catch_up and late > 1 else 0.0
        return max(now, self._origin + time)
