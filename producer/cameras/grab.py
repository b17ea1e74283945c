"""One connection to a camera: a thread that always holds the newest picture, and whether it is frozen."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from emotion_stream.producer.pictures.source import Image, too_large

log = logging.getLogger(__name__)

TURN = 0.2
"""Seconds between two looks at whether to stop."""
USUAL = 1 / 25
"""Weight of the newest picture in how often a camera's pictures differ."""
NOISY = 0.9
"""Share of pictures that differ from the one before, of a camera whose pictures usually do."""
FEWEST = 3
"""Equal pictures that are too few to mean anything."""


class CaptureError(Exception):
    """The camera or URL does not deliver; the message says why, without its address."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture as it came.

    Attributes:
        image: the pixels.
        digest: a checksum of its bytes as they came; 0: not known.
        stamp: its time stamp, seconds; None: it has none.
        gap: seconds that the camera's clock jumped before it.
        due: when it is to be shown, seconds of the monotonic clock; 0: at once.
    """

    image: Image
    digest: int = 0
    stamp: float | None = None
    gap: float = 0.0
    due: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A picture for whoever waits for the newest one.

    Attributes:
        image: the pixels.
        captured_at: wall-clock time, seconds since 1970.
        at: the same on the monotonic clock; where pictures come in bursts, when it was due.
        gap: seconds that the camera's clock jumped since the picture that was taken before.
        skipped: pictures between the two that nobody took.
    """

    image: Image
    captured_at: float
    at: float
    gap: float
    skipped: int


class Capture(Protocol):
    """An open camera or stream; used by one thread, but for its attributes."""

    @property
    def finite(self) -> bool:
        """Whether it is a recording: then its end is no failure."""
        ...

    @property
    def heard(self) -> float:
        """When something came, whether or not it made a picture, seconds of the monotonic clock."""
        ...

    @property
    def waits(self) -> str | None:
        """What it waits for although something comes, such as "waiting for a key frame"."""
        ...

    def read(self) -> Sample | None:
        """Wait for the next picture. None: the end.

        Raises:
            CaptureError: it does not deliver any more.
        """
        ...

    def close(self) -> None:
        """Hang up."""


Open = Callable[[threading.Event], Capture]
"""Opens a capture that gives up waiting when the event is set; raises CaptureError."""


class FreezeWatch:
    """Notices that a camera is frozen. Equal pictures alone do not say so: a night, a lens cover and a slide are
    still. There must be a reason beside: equal time stamps, or equal bytes where pictures usually differ."""

    def __init__(self, after: float) -> None:
        self.after = after
        self._digest = 0
        self._stamp: float | None = None
        self._since = 0.0
        self._equal = self._stood = 0
        self._usual = 0.0

    def look(self, sample: Sample, now: float) -> str | None:
        """Why the camera is frozen, in a few words; None: it is not."""
        if not sample.digest or sample.digest != self._digest:
            # What was still for a while counts only now: a freeze must not look usual after some time.
            self._usual *= (1 - USUAL) ** min(self._equal, 200)
            self._usual += USUAL * (1 - self._usual)
            self._digest, self._since, self._equal, self._stood = sample.digest, now, 0, 0
            self._stamp = sample.stamp
            return None
        self._equal += 1
        self._stood += sample.stamp is not None and sample.stamp == self._stamp
        self._stamp = sample.stamp
        if now - self._since < self.after or self._equal < FEWEST:
            return None
        if self._stood == self._equal:
            return "frozen, the same picture and time stamp all the time"
        if self._usual > NOISY:
            return "frozen, the same picture to the last bit all the time"
        return None


class Grabber(threading.Thread):
    """One connection: opens a capture and keeps its newest picture, until it fails, ends, or is told to stop."""

    def __init__(self, name: str, opener: Open, watch: FreezeWatch, whole: bool = False) -> None:
        """With `whole`, no picture of a recording is left out: it plays slower rather."""
        super().__init__(name=f"grab-{name}", daemon=True)  # a hanging driver must not keep the process
        self.finished = threading.Event()
        self.error: str | None = None
        self.ended = False
        self.frozen: str | None = None
        self.digest = 0
        """Checksum of the newest picture."""
        self.watch = watch
        self._whole = whole
        self._opener = opener
        self._capture: Capture | None = None
        self._progress = time.monotonic()
        self._stop_grabbing = threading.Event()
        self._fresh = threading.Condition()
        self._latest: Taken | None = None

    @property
    def connected(self) -> bool:
        """Whether the camera is open."""
        return self._capture is not None

    @property
    def progress(self) -> float:
        """When it was made, then opened, then something came, seconds of the monotonic clock."""
        capture = self._capture
        return self._progress if capture is None else max(self._progress, capture.heard)

    @property
    def waits(self) -> str | None:
        """What the connection waits for although something comes."""
        return None if self._capture is None else self._capture.waits

    def run(self) -> None:
        """Open the camera and read it until it fails or `stop` is called."""
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
        self._progress, self._capture = time.monotonic(), capture
        while not self._stop_grabbing.is_set():
            sample = capture.read()
            if sample is None:
                self.ended = capture.finite
                self.error = None if self.ended else "the stream ended"
                return
            problem = too_large(sample.image.shape[1], sample.image.shape[0])
            if problem:
                raise CaptureError(problem)
            self._wait_until(sample.due)
            now = self._progress = time.monotonic()
            self.frozen = None if capture.finite else self.watch.look(sample, now)
            self.digest = sample.digest
            with self._fresh:
                while self._whole and capture.finite and self._latest and not self._stop_grabbing.is_set():
                    self._fresh.wait(TURN)
                    self._progress = time.monotonic()
                before = self._latest
                gap = sample.gap + (before.gap if before else 0.0)
                skipped = before.skipped + 1 if before else 0
                self._latest = Taken(sample.image, time.time(), sample.due or now, gap, skipped)
                self._fresh.notify()

    def _wait_until(self, due: float) -> None:
        while not self._stop_grabbing.is_set() and (left := due - time.monotonic()) > 0:
            self._stop_grabbing.wait(min(left, TURN))
            self._progress = time.monotonic()

    def take(self, timeout: float) -> Taken | None:
        """The newest picture that was not taken yet."""
        with self._fresh:
            if self._latest is None and not self.finished.is_set():
                self._fresh.wait(timeout)
            latest, self._latest = self._latest, None
            self._fresh.notify()
            return latest

    def stop(self) -> None:
        """End the thread, when it has read its picture."""
        self._stop_grabbing.set()
