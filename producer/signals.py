"""How the cameras of a producer do: told by their threads, passed on to Redis, the log and the metrics."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock

from emotion_stream.shared.messages.signal import Signal, State, word_of

log = logging.getLogger(__name__)

FIRST_REMINDER = 30.0
LONGEST_REMINDER = 1800.0
"""Seconds between two lines about one and the same trouble: each pause is twice as long as the one before."""
SAID_AGAIN = 10.0
"""Seconds after which a signal is told again, because a server may have forgotten it."""


@dataclass(slots=True)
class _Camera:
    signal: Signal
    told_at: float = -SAID_AGAIN
    trouble_since: float | None = None
    said: frozenset[str] = frozenset()
    remind_at: float = 0.0
    pause: float = FIRST_REMINDER
    new: bool = True


class Signals:
    """The newest signal of every camera. Any thread may call anything."""

    def __init__(
        self,
        counts: Callable[[Mapping[str, int]], None] = lambda by_reason: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`counts` is told of how many cameras have no picture, by the word for the reason."""
        self._lock = Lock()
        self._cameras: dict[str, _Camera] = {}
        self._counts = counts
        self._clock = clock
        self._wall = wall

    def expect(self, camera: str, source: str, place: int | None = None) -> None:
        """There is this camera, at this place among all; nothing is known of it yet."""
        with self._lock:
            self._cameras[camera] = _Camera(Signal("waiting", "connecting", self._wall(), source, place=place))

    def place(self, places: Mapping[str, int]) -> None:
        """The places of cameras among all have become others."""
        with self._lock:
            for camera, entry in self._cameras.items():
                place = places.get(camera, entry.signal.place)
                if place != entry.signal.place:
                    entry.signal, entry.new = replace(entry.signal, place=place), True

    def forget(self, camera: str) -> None:
        """There is this camera no more."""
        with self._lock:
            self._cameras.pop(camera, None)
            counts = self._by_reason()
        self._counts(counts)

    def tell(self, camera: str, state: State, reason: str | None = None, retry: float | None = None) -> None:
        """A camera has come into a state, or stays in it. `retry`: seconds until it is tried again."""
        now, at = self._clock(), self._wall()
        with self._lock:
            entry = self._cameras.get(camera)
            if entry is None:
                return
            before = entry.signal
            same = (before.state, before.reason) == (state, reason)
            if same and retry is None and before.retry_at is None:
                return
            since = before.since if same else at
            retry_at = None if retry is None else at + retry
            entry.signal = Signal(state, reason, since, before.source, retry_at, before.place)
            entry.new = True
            self._say(entry, camera, now)
            counts = self._by_reason()
        self._counts(counts)

    def remind(self) -> None:
        """Say again, on the terminal, which troubles last; to be called now and then."""
        now = self._clock()
        with self._lock:
            for name, entry in self._cameras.items():
                if entry.trouble_since is not None and now >= entry.remind_at and entry.signal.reason:
                    lasted = _duration(now - entry.trouble_since)
                    log.warning(
                        "camera %s (%s): %s, for %s", name, entry.signal.source, entry.signal.reason, lasted
                    )
                    entry.pause = min(2 * entry.pause, LONGEST_REMINDER)
                    entry.remind_at = now + entry.pause

    def news(self, camera: str) -> Signal | None:
        """The camera's signal, if it should be told again now; `sent` says that it was."""
        with self._lock:
            entry = self._cameras.get(camera)
            if entry is None or (not entry.new and self._clock() - entry.told_at < SAID_AGAIN):
                return None
            return entry.signal

    def sent(self, camera: str, signal: Signal) -> None:
        """This signal has reached Redis."""
        with self._lock:
            entry = self._cameras.get(camera)
            if entry is None:
                return
            entry.told_at = self._clock()
            entry.new = entry.new and entry.signal != signal

    def of(self, camera: str) -> Signal | None:
        """The newest signal of a camera."""
        with self._lock:
            entry = self._cameras.get(camera)
            return None if entry is None else replace(entry.signal)

    def _say(self, entry: _Camera, camera: str, now: float) -> None:
        """The log line of a change. A reason that comes and goes while a camera is away is said once."""
        signal = entry.signal
        if signal.state in ("live", "ended", "paused"):
            if entry.trouble_since is not None and signal.state == "live":
                log.info("camera %s: it delivers again, after %s", camera, _duration(now - entry.trouble_since))
            entry.trouble_since, entry.said, entry.pause = None, frozenset(), FIRST_REMINDER
            return
        if signal.reason is None or signal.reason in entry.said:
            return
        if signal.state == "waiting" and signal.reason == "connecting":
            return  # nobody need know before it takes long
        entry.said |= {signal.reason}
        if entry.trouble_since is None:
            entry.trouble_since, entry.remind_at = now, now + entry.pause
        then = {"lost": "; opening it again", "frozen": "; trying a second connection"}.get(signal.state, "")
        level = logging.INFO if signal.state == "waiting" else logging.WARNING
        log.log(level, "camera %s (%s): %s%s", camera, signal.source, signal.reason, then)

    def _by_reason(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for entry in self._cameras.values():
            if entry.signal.reason is not None and entry.signal.state != "ended":
                word = word_of(entry.signal.reason)
                counts[word] = counts.get(word, 0) + 1
        return counts


def _duration(seconds: float) -> str:
    """Pure."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
