"""Where the sink and the viewers meet: the newest of every camera.

The sink's thread writes here and never waits for a viewer; viewers read here, each at its own pace, and find the
newest there is. So nothing queues up for a slow one, and it costs nobody anything.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath

from emotion_stream.shared.messages.types import FrameInfo
from emotion_stream.sink.events.event import Event
from emotion_stream.sink.results.history import Histories
from emotion_stream.sink.results.monitor import Report
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.tracking.posters import Posters
from emotion_stream.sink.web.lane import Lane, latency
from emotion_stream.sink.web.model import KeptStatus, Latency, RunStatus
from emotion_stream.sink.web.timeline import Point, Timeline

WATCHED_GAP = 0.03
UNWATCHED_GAP = 1.0
"""Seconds between two pictures of a camera, while somebody looks and while nobody does."""
LINGER = 5.0
"""Seconds for which a single request for a picture counts as looking."""
KEPT_FRAMES = 20_000
KEPT_FACES = 60_000
"""Results kept for download at the most."""


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
        offers = self._posters.see(result, image) if self._posters else None
        with self._lock:
            lane = self._lane(result.info.camera)
            lane.offers = lane.offers if offers is None else offers
            lane.show(result, image, now)
            if result.labels:
                self._labels = result.labels
            self._keep(result)
        self.changed()

    def lost(self, camera: str, reason: str, count: int) -> None:
        """Count frames that will never be shown."""
        with self._lock:
            self._lane(camera).lost(reason, count, self._clock())

    def remember(self, histories: Histories) -> None:
        """Go on where an earlier process stopped: with its counters and the last minutes of its timelines."""
        with self._lock:
            self.histories = histories
            for lane in self._lanes.values():
                lane.recall(histories)
        self.changed()

    def tell(self, event: Event) -> None:
        """Keep an event for the viewers."""
        with self._lock:
            self._lane(event.camera).tell(event)
        self.changed()

    def report(self, report: Report) -> None:
        """Take note of how the pipeline does."""
        with self._lock:
            self._report = report
            for name, signal in report.signals.items():
                lane = self._lane(name)
                lane.place = lane.place if signal.place is None else signal.place
            for name, lane in self._lanes.items():
                lane.at_end(name in report.ended)
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
            return bool(lanes) and all(lane.ended and lane.mode == "lossless" for lane in lanes)

    def leave(self) -> None:
        """This process ends, and the run goes on: viewers should come again."""
        self.left = True
        self.changed()

    def end(self) -> None:
        """Nothing more will come."""
        with self._lock:
            for lane in self._lanes.values():
                lane.at_end(True)
                lane.timeline.end()
            self.ended = True
        self.changed()

    def _lane(self, camera: str) -> Lane:
        if camera not in self._lanes:
            self._lanes[camera] = Lane(camera)
            self._lanes[camera].recall(self.histories)
        return self._lanes[camera]

    def _in_order(self) -> list[Lane]:
        return sorted(
            self._lanes.values(), key=lambda lane: (math.inf if lane.place is None else lane.place, lane.name)
        )

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
            cameras = [lane.status(now) for lane in self._in_order()]
            recent = [seconds for lane in self._lanes.values() for seconds in lane.latencies(now)]
            report = self._report
            whole = report.stats if report and not recent else None
            return RunStatus(
                state="ended" if self.ended else "running",
                notice=self.notice,
                labels=list(self._labels),
                fps=round(sum(camera.fps for camera in cameras), 1),
                latency_ms=Latency.of(whole.percentile(0.5), whole.percentile(0.99)) if whole else latency(recent),
                lag_seconds=round(report.lag, 3) if report else 0.0,
                frames=sum(camera.frames for camera in cameras),
                dropped=sum(camera.dropped for camera in cameras),
                viewers=self._watchers,
                editable=self._editable,
                kept=_kept(report),
                cameras=cameras,
            )


def _kept(report: Report | None) -> KeptStatus | None:
    """What is kept of the results; of the file that goes next its name, not where it lies."""
    if report is None or report.kept is None:
        return None
    told = report.kept.as_dict()
    return KeptStatus.model_validate(told | {"next": PurePath(told["next"]).name})
