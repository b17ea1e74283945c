"""When frames are due in live mode."""

import math
import threading
import time


class Pace:
    """Recorded media play at their own rate; everything is capped at `fps` frames per second.

    The cap divides time into slots of 1 / fps seconds and takes one frame for each, so it does not drift.
    """

    def __init__(self, stop: threading.Event, fps: float | None, recorded: bool) -> None:
        self._stop = stop
        self._fps = fps
        self._recorded = recorded
        self._slot = -1
        self._started: float | None = None

    def before_read(self) -> None:
        """Camera: wait until the next frame is wanted, so that the newest one is taken then."""
        if self._fps and not self._recorded:
            now = time.monotonic()
            if math.floor(now * self._fps) <= self._slot:
                self._stop.wait((self._slot + 1) / self._fps - now)
            self._slot = math.floor(time.monotonic() * self._fps)

    def admit(self, media_time: float) -> bool:
        """Recorded medium: wait until the frame is due. False: the cap leaves it out."""
        if not self._recorded:
            return True
        if self._fps:
            slot = math.floor(media_time * self._fps + 1e-6)
            if slot <= self._slot:
                return False
            self._slot = slot
        now = time.monotonic()
        if self._started is None or now - (self._started + media_time) > 1.0:
            # Reading cannot keep up: play slower rather than rush afterwards.
            self._started = now - media_time
        self._stop.wait(max(0.0, self._started + media_time - now))
        return True
