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

from shared.messages import FrameInfo
from sink.monitor import Report
from sink.output import Image, Result
from sink.web.model import CameraStatus, Latency, RunStatus, State
from sink.web.timeline import Point, Timeline

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
    ended: bool = False


class Hub:
    """The newest results and pictures of all cameras. `cameras` are shown before their first frame comes."""

    def __init__(self, cameras: Sequence[str] = (), notice: str = "", clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._lanes = {name: Lane(name) for name in cameras}
        self._kept: deque[Result] = deque()
        self._kept_faces = 0
        self._report: Report | None = None
        self.notice = notice
        self._watchers = 0
        self._asked_at = -math.inf
        self._labels: tuple[str, ...] = ()
        self.ended = False
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
        with self._lock:
            lane = self._lane(result.info.camera)
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

    def report(self, report: Report) -> None:
        """Take note of how the pipeline does."""
        with self._lock:
            self._report = report
            for name, lane in self._lanes.items():
                lane.ended = name in report.ended
        self.changed()

    def end(self) -> None:
        """Nothing more will come."""
        with self._lock:
            for lane in self._lanes.values():
                lane.ended = True
                lane.timeline.end()
            self.ended = True
        self.changed()

    def _lane(self, camera: str) -> Lane:
        return self._lanes.setdefault(camera, Lane(camera))

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
        """All cameras by name, as `find` gives them."""
        with self._lock:
            return sorted(self._lanes.values(), key=lambda lane: lane.name)

    def results(self, cameras: Iterable[str] = ()) -> list[Result]:
        """What was shown lately, oldest first; of these cameras only, if any are named."""
        with self._lock:
            kept = list(self._kept)
        wanted = set(cameras)
        return [r for r in kept if r.info.camera in wanted] if wanted else kept

    def timeline(self, camera: str, age: int, closed: int) -> tuple[Timeline, list[Point]]:
        """The timeline of a camera, and its points since a viewer who has seen `closed` points of this `age`."""
        with self._lock:
            timeline = self._lanes[camera].timeline
            return timeline, timeline.since(age, closed)

    def status(self) -> RunStatus:
        """How the run does, with all cameras by name."""
        now = self._clock()
        with self._lock:
            cameras = [self._status(lane, now) for lane in sorted(self._lanes.values(), key=lambda x: x.name)]
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
                cameras=cameras,
            )

    def _status(self, lane: Lane, now: float) -> CameraStatus:
        recent = _recent(lane, now)
        info = lane.result.info if lane.result else None
        since = min(RECENT, now - lane.recent[0][0]) if recent else 0.0
        return CameraStatus(
            name=lane.name,
            source=info.source if info else "",
            mode=info.mode if info else None,
            state=_state(lane, now),
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
        )


def _state(lane: Lane, now: float) -> State:
    if lane.ended:
        return "ended"
    if lane.result is None:
        return "waiting"
    if now - lane.heard_at <= max(QUIET, 3 * lane.gap):
        return "live"
    return "no signal" if lane.result.info.mode == "live" else "waiting"


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
