"""What the viewers look at: the newest of every camera.

The sink's thread writes here and never waits for a viewer; viewers read here, each at its own pace, and find the
newest there is. So nothing queues up for a slow one, and it costs nobody anything.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from emotion_stream.shared.messages.areas import polygon_text
from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.types import FrameInfo, Mode
from emotion_stream.sink.events.event import Event
from emotion_stream.sink.results.history import Histories
from emotion_stream.sink.results.monitor import Report
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.tracking.posters import Offer, Posters
from emotion_stream.sink.web.model import CameraStatus, KeptStatus, Latency, Poster, RunStatus
from emotion_stream.sink.web.timeline import Point, Timeline

RECENT = 10.0
"""Seconds that rates and latencies are measured over."""
QUIET = 3.0
"""Seconds without anything after which a live camera has no signal; more for one that is slow anyway."""
WATCHED_GAP = 0.03
UNWATCHED_GAP = 1.0
"""Seconds between two pictures of a camera, while somebody looks and while nobody does."""
LINGER = 5.0
"""Seconds for which a single request for a picture counts as looking."""
KEPT_FRAMES = 20_000
KEPT_FACES = 60_000
"""Results kept for download at the most."""


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
    """One camera. `number` counts its results; `heard_at` and the like are seconds of the monotonic clock."""

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


class Hub:
    """The newest results and pictures of all cameras. `cameras` are shown before their first frame comes. Cameras
    stand in the order that their producers tell, those without a place behind them by name. `posters` watches for
    faces that never change; `editable`: whether viewers may save areas."""

    def __init__(
        self,
        cameras: Sequence[str] = (),
        notice: str = "",
        clock: Callable[[], float] = time.monotonic,
        posters: Posters | None = None,
        editable: bool = False,
    ):
        self._clock = clock
        self._lock = threading.Lock()
        self._lanes = {name: Lane(name, place=n) for n, name in enumerate(cameras)}
        self._kept: deque[Result] = deque()
        self._kept_faces = 0
        self._report: Report | None = None
        self.notice = notice
        self._posters = posters
        self._editable = editable
        self._watchers = 0
        self._asked_at = -math.inf
        self._labels: tuple[str, ...] = ()
        self.histories = Histories()
        self.ended = self.left = False
        self.changed: Callable[[], None] = lambda: None
        """Called by the sink's thread when there is something new."""

    # --- the sink's side ---------------------------------------------------------------------------------

    def wants_image(self, info: FrameInfo) -> bool:
        """Whether it is time for another picture of this camera."""
        now = self._clock()
        gap = WATCHED_GAP if self.is_watched else UNWATCHED_GAP
        with self._lock:
            lane = self._lane(info.camera)
            if now - lane.asked_at < gap:
                return False
            lane.asked_at = now
            return True

    def show(self, result: Result, image: Image | None) -> None:
        """Make this the newest of its camera; without an image, the last picture stays."""
        now = self._clock()
        failed = result.outcome.status != "ok"
        offers = self._posters.see(result, image) if self._posters else None
        with self._lock:
            lane = self._lane(result.info.camera)
            lane.offers = lane.offers if offers is None else offers
            self._hear(lane, now)
            lane.number += 1
            lane.frames += 1
            lane.errors += failed
            lane.recent.append((now, result.latency))
            lane.result, lane.shown_at = result, now
            if image is not None or failed:
                lane.shot = Shot(lane.number, result, None if failed else image)
            if result.labels:
                self._labels = result.labels
            lane.timeline.add(result)
            self._keep(result)
        self.changed()

    def lost(self, camera: str, reason: str, count: int) -> None:
        """Count frames that will never be shown."""
        with self._lock:
            lane = self._lane(camera)
            if reason == "missing":
                lane.missing += count
            else:
                lane.dropped[reason] = lane.dropped.get(reason, 0) + count
                self._hear(lane, self._clock())

    def remember(self, histories: Histories) -> None:
        """Go on where an earlier process stopped: with its counters and the last minutes of its timelines."""
        with self._lock:
            self.histories = histories
            for lane in self._lanes.values():
                _recall(lane, histories)
        self.changed()

    def tell(self, event: Event) -> None:
        """Keep an event for the viewers."""
        with self._lock:
            lane = self._lane(event.camera)
            lane.events.append(event)
            lane.told += 1
        self.changed()

    def report(self, report: Report) -> None:
        """Take note of how the pipeline does."""
        with self._lock:
            self._report = report
            for name, signal in report.signals.items():
                lane = self._lane(name)
                lane.place = lane.place if signal.place is None else signal.place
            for name, lane in self._lanes.items():
                if name in report.ended and not lane.ended:
                    lane.ended_at = time.time()
                lane.ended = name in report.ended
                lane.signal = report.signals.get(name, lane.signal)
                if self._posters and lane.signal is not None and lane.signal.state == "frozen":
                    self._posters.forget(name)  # everything stands still, not only posters
                    lane.offers = ()
        self.changed()

    def let_go(self, camera: str) -> None:
        """This camera is gone from the page. What it has shown lately can still be downloaded."""
        with self._lock:
            self._lanes.pop(camera, None)
        if self._posters:
            self._posters.forget(camera)
        self.changed()

    @property
    def is_over(self) -> bool:
        """Whether all cameras have come to their end for good. A live one is told to have whenever its producer is
        stopped, also where everything is only restarted."""
        with self._lock:
            lanes = self._lanes.values()
            return bool(lanes) and all(lane.ended and _mode(lane) == "lossless" for lane in lanes)

    def leave(self) -> None:
        """This process ends, and the run goes on: viewers should come again."""
        self.left = True
        self.changed()

    def end(self) -> None:
        """Nothing more will come."""
        with self._lock:
            for lane in self._lanes.values():
                lane.ended_at = lane.ended_at if lane.ended else time.time()
                lane.ended = True
                lane.timeline.end()
            self.ended = True
        self.changed()

    def _lane(self, camera: str) -> Lane:
        if camera not in self._lanes:
            self._lanes[camera] = Lane(camera)
            _recall(self._lanes[camera], self.histories)
        return self._lanes[camera]

    def _in_order(self) -> list[Lane]:
        return sorted(
            self._lanes.values(), key=lambda lane: (math.inf if lane.place is None else lane.place, lane.name)
        )

    def _hear(self, lane: Lane, now: float) -> None:
        gap = now - lane.heard_at
        if gap < math.inf:
            lane.gap = gap if lane.gap == 0 else lane.gap + 0.1 * (gap - lane.gap)
        lane.heard_at, lane.ended = now, False

    def _keep(self, result: Result) -> None:
        self._kept.append(result)
        self._kept_faces += len(result.faces)
        while len(self._kept) > KEPT_FRAMES or self._kept_faces > KEPT_FACES:
            self._kept_faces -= len(self._kept.popleft().faces)

    # --- the viewers' side -------------------------------------------------------------------------------

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks at pictures."""
        return self._watchers > 0 or self._clock() - self._asked_at < LINGER

    @property
    def viewers(self) -> int:
        """How many streams of pictures are open."""
        return self._watchers

    def watch(self, change: int) -> None:
        """Count a viewer of pictures who comes (1) or goes (-1)."""
        self._watchers += change

    def glance(self) -> None:
        """Somebody asked for a single picture, and may ask for another."""
        self._asked_at = self._clock()

    def find(self, camera: str) -> Lane | None:
        """The camera of this name; its fields are replaced as a whole, so that any thread may read them."""
        return self._lanes.get(camera)

    def lanes(self) -> list[Lane]:
        """All cameras in order, as `find` gives them."""
        with self._lock:
            return self._in_order()

    def results(self, cameras: Iterable[str] = ()) -> list[Result]:
        """What was shown lately, oldest first; of these cameras only, if any are named."""
        with self._lock:
            kept = list(self._kept)
        wanted = set(cameras)
        return [r for r in kept if r.info.camera in wanted] if wanted else kept

    def timeline(self, camera: str, age: int, closed: int) -> tuple[Timeline, list[Point]]:
        """The timeline of a camera, and its points since a viewer who has seen `closed` points of this `age`."""
        with self._lock:
            lane = self._lanes.get(camera)
            timeline = lane.timeline if lane else Timeline()
            return timeline, timeline.since(age, closed)

    def events(self, camera: str, told: int) -> tuple[int, list[Event]]:
        """How many events a camera has had, and those since a viewer who has seen `told` of them."""
        with self._lock:
            lane = self._lanes.get(camera)
            if lane is None:  # it has gone meanwhile
                return told, []
            lacking = lane.told - told
            return lane.told, list(lane.events)[-lacking:] if lacking > 0 else []

    def status(self) -> RunStatus:
        """How the run does, with all cameras in order."""
        now = self._clock()
        with self._lock:
            cameras = [self._status(lane, now) for lane in self._in_order()]
            recent = [latency for lane in self._lanes.values() for latency in _recent(lane, now)]
            report = self._report
            stats = report.stats if report else None
            idle = not recent and stats is not None
            return RunStatus(
                state="ended" if self.ended else "running",
                notice=self.notice,
                labels=list(self._labels),
                fps=round(sum(camera.fps for camera in cameras), 1),
                latency_ms=(
                    Latency(p50=_ms(stats.percentile(0.5)), p99=_ms(stats.percentile(0.99)))
                    if idle and stats is not None
                    else _latency(recent)
                ),
                lag_seconds=round(report.lag, 3) if report else 0.0,
                frames=sum(camera.frames for camera in cameras),
                dropped=sum(camera.dropped for camera in cameras),
                viewers=self._watchers,
                kept=_kept(report),
                editable=self._editable,
                cameras=cameras,
            )

    def _status(self, lane: Lane, now: float) -> CameraStatus:
        recent = _recent(lane, now)
        info = lane.result.info if lane.result else None
        since = min(RECENT, now - lane.recent[0][0]) if recent else 0.0
        wall = time.time()
        signal = _signal(lane, now, wall)
        return CameraStatus(
            name=lane.name,
            display_name=info.called if info else lane.name,
            source=info.source if info else signal.source,
            mode=info.mode if info else None,
            state=signal.state,
            reason=signal.said(wall),
            since=round(signal.since, 3),
            retry_s=signal.retry_s(wall),
            age_seconds=round(now - lane.shown_at, 2) if lane.result else None,
            width=info.width if info else 0,
            height=info.height if info else 0,
            fps=round((len(recent) - 1) / since, 1) if since > 0.2 else 0.0,
            latency_ms=_latency(recent),
            frames=lane.frames,
            errors=lane.errors,
            dropped=sum(lane.dropped.values()) + lane.missing,
            reasons={**lane.dropped, **({"missing": lane.missing} if lane.missing else {})},
            faces=len(lane.result.shown) if lane.result else 0,
            ignore=[polygon_text(polygon) for polygon in info.settings.ignore] if info else [],
            zones={name: polygon_text(polygon) for name, polygon in info.settings.zones} if info else {},
            posters=[
                Poster(track=offer.track, seconds=round(offer.seconds, 1), area=polygon_text(offer.area))
                for offer in lane.offers
            ],
            notice=lane.result.notice("") if lane.result else "",
        )


def _kept(report: Report | None) -> KeptStatus | None:
    """What is kept of the results; of the file that goes next its name, not where it lies."""
    if report is None or report.kept is None:
        return None
    told = report.kept.as_dict()
    return KeptStatus.model_validate(told | {"next": PurePath(told["next"]).name})


def _recall(lane: Lane, histories: Histories) -> None:
    """Go on where an earlier process stopped, if one was there."""
    history = histories.find(lane.name)
    if history is None or lane.number:
        return
    lane.frames, lane.errors, lane.missing = history.frames, history.errors, history.missing
    lane.dropped = dict(history.dropped)
    lane.timeline.restore(history)


def _mode(lane: Lane) -> Mode | None:
    return lane.result.info.mode if lane.result else None


def _signal(lane: Lane, now: float, wall: float) -> Signal:
    """How a camera does: what its producer tells, and, where that tells of no trouble, what is seen here."""
    told = lane.signal
    source = told.source if told else ""
    if lane.ended:
        return Signal("ended", None, lane.ended_at, source)
    if told is not None and told.state not in ("live", "ended"):
        return told
    if lane.result is None:
        return Signal("waiting", "no result yet", told.since if told else lane.begun, source)
    silent = now - lane.heard_at
    since = wall - silent
    if silent <= max(QUIET, 3 * lane.gap):
        return Signal("live", None, told.since if told else lane.begun, source)
    if lane.result.info.mode == "live":
        return Signal("lost", "no pictures come", since, source)
    return Signal("paused", "nothing new", since, source)


def _recent(lane: Lane, now: float) -> list[float]:
    """Latencies of the frames of the last seconds."""
    return [latency for at, latency in lane.recent if now - at <= RECENT]


def _latency(latencies: Sequence[float]) -> Latency:
    if not latencies:
        return Latency(p50=None, p99=None)
    ordered = sorted(latencies)
    return Latency(p50=_ms(ordered[len(ordered) // 2]), p99=_ms(ordered[len(ordered) * 99 // 100]))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
