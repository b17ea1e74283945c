"""When frames are due in live mode."""

import math
import threading
import time


class Budget:
    """Which frames of a camera are searched for faces: at most `fps` a second of the medium.

    As the cap of `Pace`, it takes the first frame of each slot of 1 / fps seconds.
    """

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._slot: int | None = None

    def allows(self, media_time: float, phase: float = 0.0) -> bool:
        """Whether the next frame, at `media_time` seconds, is to be searched. `phase`, 0 to 1: by how much of a
        slot this camera's slots begin sooner than others': frames that are searched at one instant wait for one
        another."""
        if self._fps is None:
            return True
        slot = math.floor(media_time * self._fps + phase + 1e-6)
        if slot == self._slot:
            return False
        self._slot = slot
        return True


class Pace:
    """Recorded media play at their own rate; everything is capped at `fps` frames per second.

    The cap divides time into slots of 1 / fps seconds and takes one frame for each, so it does not drift.
    """

    def __init__(
        self,
        stop: threading.Event,
        fps: float | None,
        recorded: bool,
        phase: float = 0.0,
        rate: float | None = None,
    ) -> None:
        """
        Args:
            stop: ends every wait.
            fps: the cap, frames a second.
            recorded: whether the medium tells when a frame is due.
            phase: by how much of the time between two frames this camera comes later than others, 0 to 1: cameras
                whose pictures come at one instant wait for one another at every stage.
            rate: frames a second of a recorded medium.
        """
        self._stop = stop
        self._fps = fps
        self._recorded = recorded
        self._phase = phase
        self._late = phase / rate if recorded and rate else 0.0
        self._slot = -1
        self._started: float | None = None

    def before_read(self) -> None:
        """Camera: wait until the next frame is wanted, so that the newest one is taken then."""
        if self._fps and not self._recorded:
            now = time.monotonic()
            if math.floor(now * self._fps + self._phase) <= self._slot:
                self._stop.wait((self._slot + 1 - self._phase) / self._fps - now)
            self._slot = math.floor(time.monotonic() * self._fps + self._phase)

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
        if self._started is None:
            self._started = now - media_time + self._late
        elif now - (self._started + media_time) > 1.0:
            # Reading cannot keep up: play slower rather than rush afterwards.
            self._started = now - media_time
        self._stop.wait(max(0.0, self._started + media_time - now))
        return True
