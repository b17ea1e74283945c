"""Live sources: a thread that always holds the newest picture, and the care for cameras that fail or freeze."""

import logging
import threading
import time
import zlib
from collections.abc import Callable
from typing import Protocol

import numpy as np

from producer.source import Context, Image, Picture, too_large
from producer.spec import SourceSpec, printable
from shared.errors import EmotionError
from shared.messages import Mode

log = logging.getLogger(__name__)

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds between two attempts to open a source."""
FIRST_PICTURE = 10.0
"""Seconds that a camera has for its first picture."""
LONGEST_OPEN = 30.0
"""Seconds after which an attempt to open that has not come back is given up."""
TURN = 0.2
"""Seconds between two looks at whether to stop."""


class CaptureError(Exception):
    """The camera or URL does not deliver; the message says why, without its address."""


class Capture(Protocol):
    """An open camera or stream; used by one thread."""

    @property
    def finite(self) -> bool:
        """Whether it is a recording: then its end is no failure."""
        ...

    def read(self) -> Image | None:
        """Wait for the next picture. None: the end.

        Raises:
            CaptureError: it does not deliver any more.
        """
        ...

    def close(self) -> None: ...


Open = Callable[[threading.Event], Capture]
"""Opens a capture that gives up waiting when the event is set; raises CaptureError."""


class FreezeWatch:
    """Notices that a camera shows one and the same picture. Looks now and then: all pixels of all would cost."""

    def __init__(self, after: float) -> None:
        self.after = after
        self._checksum: int | None = None
        self._since = self._next = 0.0

    def frozen(self, image: Image, now: float) -> bool:
        """Whether the picture has been this one for `after` seconds; once it has, until another one comes."""
        still = self._checksum is not None and now - self._since >= self.after
        if now < self._next and not still:
            return False
        self._next = now + self.after / 4
        checksum = zlib.crc32(np.ascontiguousarray(image).data)
        if checksum != self._checksum:
            self._checksum, self._since = checksum, now
        return now - self._since >= self.after


class Grabber(threading.Thread):
    """One connection: opens a capture and keeps its newest picture, until it fails, ends, or is told to stop."""

    def __init__(self, name: str, opener: Open, watch: FreezeWatch) -> None:
        super().__init__(name=f"grab-{name}", daemon=True)  # a hanging driver must not keep the process
        self.finished = threading.Event()
        self.error: str | None = None
        self.ended = False
        self.connected = False
        self.progress = time.monotonic()
        """When it was made, then opened, then the last picture came that was not a frozen one."""
        self.stuck_picture = False
        self._opener = opener
        self._watch = watch
        self._stop_grabbing = threading.Event()
        self._fresh = threading.Condition()
        self._latest: tuple[Image, float] | None = None

    def run(self) -> None:
        try:
            capture = self._opener(self._stop_grabbing)
            try:
                self._grab(capture)
            finally:
                capture.close()
        except CaptureError as e:
            self.error = str(e)
        except Exception as e:  # a driver's or a codec's; the camera is opened again
            log.debug("capture failed", exc_info=True)
            self.error = f"{type(e).__name__}: {e}"
        finally:
            self.finished.set()
            with self._fresh:
                self._fresh.notify()

    def _grab(self, capture: Capture) -> None:
        self.progress, self.connected = time.monotonic(), True
        while not self._stop_grabbing.is_set():
            image = capture.read()
            if image is None:
                self.ended = capture.finite
                self.error = None if self.ended else "the stream ended"
                return
            problem = too_large(image.shape[1], image.shape[0])
            if problem:
                raise CaptureError(problem)
            now = time.monotonic()
            self.stuck_picture = not capture.finite and self._watch.frozen(image, now)
            if self.stuck_picture:
                continue
            with self._fresh:
                self.progress = now
                self._latest = (image, time.time())
                self._fresh.notify()

    def take(self, timeout: float) -> tuple[Image, float] | None:
        """The newest picture that was not taken yet, and the wall-clock time of its capture."""
        with self._fresh:
            if self._latest is None and not self.finished.is_set():
                self._fresh.wait(timeout)
            latest, self._latest = self._latest, None
            return latest

    def stop(self) -> None:
        self._stop_grabbing.set()


class LiveSource:
    """A camera or URL. Always delivers the newest picture; opens it again when it fails, stalls or freezes.

    Args:
        opener: opens one connection.
        required: whether not getting a first picture is an error (cameras) or waited for (URLs).
        stall_after: seconds without a new picture after which it is opened again.
        first_wait: seconds before the first new attempt; each further one waits twice as long, up to 30 s.
    """

    mode: Mode = "live"
    rate: float | None = None

    def __init__(
        self,
        spec: SourceSpec,
        context: Context,
        opener: Open,
        *,
        required: bool,
        stall_after: float,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        self.name = spec.name
        self.url = printable(spec.target)
        self._context = context
        self._opener = opener
        self._required = required
        self._stall_after = stall_after
        self._grabber: Grabber | None = None
        self._watch = FreezeWatch(stall_after)
        self._began = 0.0
        self._wait = self._first_wait = first_wait
        self._told: set[str] = set()
        self._waiting: tuple[Image, float] | None = None

    def open(self, start: int = 0) -> None:
        """Connect. A camera must deliver at once; a URL may be unreachable and is waited for. `start` is ignored.

        Raises:
            EmotionError: there is no such camera.
        """
        self.close()
        self._began = self._began or time.monotonic()
        self._grabber = self._connect()
        if not self._required:
            return
        deadline = time.monotonic() + max(self._stall_after, FIRST_PICTURE)
        while self._waiting is None and not self._context.stop.is_set():
            self._context.alive()
            self._waiting = self._grabber.take(TURN)
            if self._waiting is None and (self._grabber.finished.is_set() or time.monotonic() > deadline):
                why = self._grabber.error or "it delivers nothing"
                self.close()
                raise EmotionError(
                    f"camera {self.url} cannot be opened: {why}; `emotion cameras` lists those that work"
                )

    def read(self) -> Picture | None:
        while not self._context.stop.is_set():
            self._context.alive()
            if self._grabber is None:
                return None
            over = self._grabber.finished.is_set()
            found = self._waiting or self._grabber.take(TURN)
            self._waiting = None
            if found is not None:
                self._recovered()
                image, captured_at = found
                media_time = time.monotonic() - self._began
                return Picture(image, None, image.shape[1], image.shape[0], media_time, captured_at)
            if over and self._grabber.ended:
                return None
            problem = self._problem(self._grabber, over)
            if problem:
                self._reopen(problem)
        return None

    def close(self) -> None:
        if self._grabber is not None:
            self._grabber.stop()
            self._grabber.finished.wait(1.0)
        self._grabber, self._waiting = None, None

    def _connect(self) -> Grabber:
        grabber = Grabber(self.name, self._opener, self._watch)
        grabber.start()
        return grabber

    def _problem(self, grabber: Grabber, over: bool) -> str | None:
        if over:
            return grabber.error or "it was closed"
        if grabber.stuck_picture:
            return f"the same picture for {self._stall_after:g} s"
        limit = self._stall_after if grabber.connected else max(self._stall_after, LONGEST_OPEN)
        return f"nothing new for {limit:g} s" if time.monotonic() - grabber.progress >= limit else None

    def _reopen(self, problem: str) -> None:
        if problem not in self._told:  # a camera that is away for a night is not worth a line per attempt
            self._told.add(problem)
            log.warning("camera %s (%s): %s; opening it again", self.name, self.url, problem)
        self._context.observer.reconnects()
        self.close()
        deadline = time.monotonic() + self._wait
        while time.monotonic() < deadline and not self._context.stop.wait(TURN):
            self._context.alive()
        self._wait = min(self._wait * 2, LONGEST_WAIT)
        self._grabber = self._connect()

    def _recovered(self) -> None:
        if self._told:
            log.info("camera %s: it delivers again", self.name)
            self._told.clear()
        self._wait = self._first_wait
