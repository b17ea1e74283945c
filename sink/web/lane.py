"""One camera as viewers know it: what it has shown lately, and how it does."""

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from emotion_stream.shared.messages.areas import polygon_text
from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.types import Mode
from emotion_stream.sink.events.event import Event
from emotion_stream.sink.results.history import Histories
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.tracking.posters import Offer
from emotion_stream.sink.web.model import CameraStatus, Latency, Poster
from emotion_stream.sink.web.timeline import Timeline

RECENT = 10.0
"""Seconds that rates and latencies are measured over."""
QUIET = 3.0
"""Seconds without anything after which a live camera has no signal; more for one that is slow anyway."""
KEPT_EVENTS = 500
"""Events of a camera kept for viewers who come later."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture to show, with its result; without an image, the result tells why there is none."""

    number: int
    result: Result
    image: Image | None


@dataclass(slots=True)
class Lane:
    """One camera. `number` counts its results; `now`, `heard_at` and such are seconds of the monotonic clock."""

    name: str
    number: int = 0
    result: Result | None = None
    shot: Shot | None = None
    shown_at: float = -math.inf
    heard_at: float = -math.inf
    asked_at: float = -math.inf
    gap: float = 0.0
    frames: int = 0
    errors: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=2000))
    timeline: Timeline = field(default_factory=Timeline)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    told: int = 0
    ended: bool = False
    signal: Signal | None = None
    offers: tuple[Offer, ...] = ()
    place: int | None = None
    begun: float = field(default_factory=time.time)
    ended_at: float = 0.0

    def recall(self, histories: Histories) -> None:
        """Go on where an earlier process stopped, if one was there."""
        history = histories.find(self.name)
        if history is None or self.number:
            return
        self.frames, self.errors, self.missing = history.frames, history.errors, history.missing
        self.dropped = dict(history.dropped)
        self.timeline.restore(history)

    def show(self, result: Result, image: Image | None, now: float) -> None:
        """Make this the newest; without an image, the last picture stays."""
        failed = result.outcome.status != "ok"
        self._hear(now)
        self.number += 1
        self.frames += 1
        self.errors += failed
        self.recent.append((now, result.latency))
        self.result, self.shown_at = result, now
        if image is not None or failed:
            self.shot = Shot(self.number, result, None if failed else image)
        self.timeline.add(result)

    def lost(self, reason: str, count: int, now: float) -> None:
        """Count frames that will never be shown. Those that were dropped have come, so the camera was heard."""
        if reason == "missing":
            self.missing += count
        else:
            self.dropped[reason] = self.dropped.get(reason, 0) + count
            self._hear(now)

    def tell(self, event: Event) -> None:
        """Keep an event for the viewers."""
        self.events.append(event)
        self.told += 1

    def at_end(self, ended: bool) -> None:
        """Take note of whether its source is at its end, and since when."""
        if ended and not self.ended:
            self.ended_at = time.time()
        self.ended = ended

    @property
    def mode(self) -> Mode | None:
        """Live or lossless; None before the first frame."""
        return self.result.info.mode if self.result else None

    def latencies(self, now: float) -> list[float]:
        """Latencies of the frames of the last seconds."""
        return [seconds for at, seconds in self.recent if now - at <= RECENT]

    def status(self, now: float) -> CameraStatus:
        """How it does, in the words of the interface."""
        recent = self.latencies(now)
        info = self.result.info if self.result else None
        since = min(RECENT, now - self.recent[0][0]) if recent else 0.0
        wall = time.time()
        signal = self._signal(now, wall)
        return CameraStatus(
            name=self.name,
            display_name=info.called if info else self.name,
            source=info.source if info else signal.source,
            mode=self.mode,
            state=signal.state,
            reason=signal.said(wall),
            since=round(signal.since, 3),
            retry_s=signal.retry_s(wall),
            age_seconds=round(now - self.shown_at, 2) if self.result else None,
            width=info.width if info else 0,
            height=info.height if info else 0,
            fps=round((len(recent) - 1) / since, 1) if since > 0.2 else 0.0,
            latency_ms=latency(recent),
            frames=self.frames,
            errors=self.errors,
            dropped=sum(self.dropped.values()) + self.missing,
            reasons={**self.dropped, **({"missing": self.missing} if self.missing else {})},
            faces=len(self.result.shown) if self.result else 0,
            ignore=[polygon_text(polygon) for polygon in info.settings.ignore] if info else [],
            zones={name: polygon_text(polygon) for name, polygon in info.settings.zones} if info else {},
            posters=[
                Poster(track=offer.track, seconds=round(offer.seconds, 1), area=polygon_text(offer.area))
                for offer in self.offers
            ],
            notice=self.result.notice("") if self.result else "",
        )

    def _hear(self, now: float) -> None:
        gap = now - self.heard_at
        if gap < math.inf:
            self.gap = gap if self.gap == 0 else self.gap + 0.1 * (gap - self.gap)
        self.heard_at, self.ended = now, False

    def _signal(self, now: float, wall: float) -> Signal:
        """What its producer tells, and, where that tells of no trouble, what is seen here."""
        told = self.signal
        source = told.source if told else ""
        if self.ended:
            return Signal("ended", None, self.ended_at, source)
        if told is not None and told.state not in ("live", "ended"):
            return told
        if self.result is None:
            return Signal("waiting", "no result yet", told.since if told else self.begun, source)
        silent = now - self.heard_at
        since = wall - silent
        if silent <= max(QUIET, 3 * self.gap):
            return Signal("live", None, told.since if told else self.begun, source)
        if self.mode == "live":
            return Signal("lost", "no pictures come", since, source)
        return Signal("paused", "nothing new", since, source)


def latency(seconds: Sequence[float]) -> Latency:
    """What half and 99 % of these latencies are at the most. Pure."""
    if not seconds:
        return Latency.of(None, None)
    ordered = sorted(seconds)
    return Latency.of(ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100])
