"""Live sources: always the newest picture, and the care for cameras that fail, stall or freeze."""

import time
from collections.abc import Callable

from emotion_stream.producer.cameras.grab import TURN, FreezeWatch, Grabber, Open, Taken
from emotion_stream.producer.cameras.listen import Ear
from emotion_stream.producer.pictures.source import Context, Picture
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.types import Mode

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds between two attempts to open a source."""
FIRST_PICTURE = 10.0
"""Seconds that a camera has for its first picture."""
LONGEST_OPEN = 30.0
"""Seconds after which an attempt to open that has not come back is given up."""
SPARE = 10.0
"""Seconds that a second connection to a frozen camera gets to show something else, at the least."""
LEAST_STEP = 1e-3
"""Seconds between two pictures at the least: time never stands still."""


class LiveSource:
    """A camera or URL. Always delivers the newest picture; opens it again when it fails or sends nothing any more.

    A frozen camera keeps its connection, and its pictures go on, while a second connection is tried.

    Args:
        name: of the camera.
        url: what it is, without password, for messages.
        opener: opens one connection.
        required: whether it is a device of this machine: not getting a first picture is an error then, and there
            can be no second connection. URLs are waited for.
        stall_after: seconds without anything new after which it is opened again.
        whole: whether no picture of a recording may be left out.
        ear: is told when media time begins; None: nobody listens.
        first_wait: seconds before the first new attempt; each further one waits twice as long, up to 30 s.
    """

    mode: Mode = "live"
    rate: float | None = None

    def __init__(
        self,
        name: str,
        url: str,
        context: Context,
        opener: Open,
        *,
        required: bool,
        stall_after: float,
        first_wait: float = FIRST_WAIT,
        whole: bool = False,
        ear: Ear | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self._context = context
        self._opener = opener
        self._whole = whole
        self._required = required
        self._stall_after = stall_after
        self._grabber: Grabber | None = None
        self._spare = _Spare(first_wait)
        self._began = 0.0
        self._last = -1.0
        self._wait = self._first_wait = first_wait
        self._live = False
        self._waiting: Taken | None = None
        self._ear = ear

    def open(self, start: int = 0) -> None:
        """Connect. A camera must deliver at once; a URL may be unreachable and is waited for. `start` is ignored.

        Raises:
            EmotionError: there is no such camera.
        """
        self.close()
        self._began = self._began or time.monotonic()
        if self._ear is not None:
            self._ear.began = self._began
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
                hint = "" if "://" in self.url else "; `emotion cameras` lists those that work"
                raise EmotionError(f"camera {self.url} cannot be opened: {why}{hint}")

    def read(self) -> Picture | None:
        """The newest picture, waited for; None when the producer is told to stop."""
        while not self._context.stop.is_set():
            self._context.alive()
            if self._grabber is None:
                return None
            over = self._grabber.finished.is_set()
            found = self._waiting or self._grabber.take(TURN)
            self._waiting = None
            if found is not None:
                self._delivers(self._grabber)
                return self._picture(found)
            if over and self._grabber.ended:
                return None
            problem = self._problem(self._grabber, over)
            if problem:
                self._reopen(problem)
            elif not self._live and self._grabber.waits:
                self._context.tell(self.name, "waiting", self._grabber.waits)
        return None

    def close(self) -> None:
        """Hang up."""
        self._spare.close()
        _hang_up(self._grabber)
        self._grabber, self._waiting = None, None

    def _connect(self) -> Grabber:
        grabber = Grabber(self.name, self._opener, FreezeWatch(self._stall_after), self._whole)
        grabber.start()
        return grabber

    def _picture(self, taken: Taken) -> Picture:
        height, width = taken.image.shape[:2]
        first = self._last < 0  # what came before anybody asked for a picture was not left out
        self._last = max(self._last + LEAST_STEP, taken.at - self._began, 0.0)
        return Picture(
            taken.image,
            None,
            width,
            height,
            self._last,
            taken.captured_at,
            gap=taken.gap,
            skipped=0 if first else taken.skipped,
        )

    def _problem(self, grabber: Grabber, over: bool) -> str | None:
        if over:
            return grabber.error or "it was closed"
        limit = self._stall_after if grabber.connected else max(self._stall_after, LONGEST_OPEN)
        silent = time.monotonic() - grabber.progress >= limit
        return f"stalled, nothing new for {limit:g} s" if silent else None

    def _reopen(self, problem: str) -> None:
        self._context.observer.reconnects()
        self._live = False
        self._context.tell(self.name, "lost", problem, self._wait)
        self.close()
        deadline = time.monotonic() + self._wait
        while time.monotonic() < deadline and not self._context.stop.wait(TURN):
            self._context.alive()
        self._wait = min(self._wait * 2, LONGEST_WAIT)
        self._grabber = self._connect()

    def _delivers(self, grabber: Grabber) -> None:
        """There is a picture of this connection."""
        self._wait = self._first_wait
        if grabber.frozen is None:
            if not self._live:
                self._live = True
                self._context.tell(self.name, "live")
            self._spare.close()
            return
        self._live = False
        self._context.tell(self.name, "frozen", grabber.frozen)
        if self._required:
            return
        better = self._spare.better(grabber, self._connect, max(self._stall_after, SPARE))
        if better is not None:
            self._context.observer.reconnects()
            _hang_up(grabber)
            self._grabber = better


class _Spare:
    """The second connection to a camera that is frozen."""

    def __init__(self, first_wait: float) -> None:
        self._wait = self._first_wait = first_wait
        self._grabber: Grabber | None = None
        self._until = 0.0

    def better(self, frozen: Grabber, connect: Callable[[], Grabber], patience: float) -> Grabber | None:
        """The second connection, if it shows something else than the `frozen` one; it is no spare any more then.
        To be called again and again; tries with growing pauses, and gives each try so many seconds."""
        now = time.monotonic()
        if self._grabber is None:
            if now >= self._until:
                self._grabber, self._until = connect(), now + patience
        elif self._grabber.digest and self._grabber.digest != frozen.digest:
            found, self._grabber = self._grabber, None
            self._wait = self._first_wait
            return found
        elif now >= self._until or self._grabber.finished.is_set():
            _hang_up(self._grabber, 0.0)
            self._grabber, self._until = None, now + self._wait
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        return None

    def close(self) -> None:
        """Hang up, if there is one."""
        if self._grabber is not None:
            _hang_up(self._grabber, 0.0)
            self._grabber, self._until = None, 0.0


def _hang_up(grabber: Grabber | None, patience: float = 1.0) -> None:
    if grabber is not None:
        grabber.stop()
        grabber.finished.wait(patience)
