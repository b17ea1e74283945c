"""The show: what becomes of a frame when its time comes. All outputs get it, its faces are followed and counted.

The loop (`loop.py`) says which frame is next. It stores what is known here, and the process after this one goes on
with it.
"""

import contextlib
import logging
from collections.abc import Collection, Iterable, Sequence

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.types import LEFT_OUT, Emotions
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.streams.progress import Progress
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.broken import picture_of
from emotion_stream.sink.clock import Clock
from emotion_stream.sink.drawing.privacy import hide
from emotion_stream.sink.events.cameras import camera_events
from emotion_stream.sink.events.event import EndListener, Event, Listener, Sender
from emotion_stream.sink.events.watch import Watcher
from emotion_stream.sink.order import Released
from emotion_stream.sink.results.hearing import Ears
from emotion_stream.sink.results.history import Histories
from emotion_stream.sink.results.leaving import Part, forget, present
from emotion_stream.sink.results.monitor import Monitor, Remembering, Report, behind, kept
from emotion_stream.sink.results.output import Buffering, Output, Result
from emotion_stream.sink.results.stats import Stats
from emotion_stream.sink.roll import Roll
from emotion_stream.sink.tracking.follow import Follower
from emotion_stream.sink.veil import Veiled

log = logging.getLogger(__name__)

_EVENTS = "|events"
"""Behind a camera's name, which has no such character: the key of what its watcher knows."""


class Show:
    """The outputs of one sink name, and what was shown on them.

    Attributes:
        stats: counts since the start of the run.
        histories: what each camera has shown since then.
        clock: to be looked at often, because it sees when the machine's is set.
    """

    def __init__(
        self, service: Service, streams: Streams, name: str, follower: Follower, watcher: Watcher | None = None
    ) -> None:
        self.stats = Stats()
        self.histories = Histories()
        self.clock = Clock()
        self._streams = streams
        self._name = name
        self._metrics = service.metrics
        self._follower = follower
        self._watcher = watcher or Watcher()
        self._ears = Ears(streams)
        self._roll = Roll()
        service.check = self._roll.check
        self._outputs: Sequence[Output] = ()
        self._monitors: Sequence[Monitor] = ()
        self._listeners: Sequence[Listener] = ()

    # --- from the beginning to the end -------------------------------------------------------------------

    def open(self, outputs: Sequence[Output]) -> None:
        """Show on these from now on."""
        self._outputs = outputs
        self._monitors = [output for output in outputs if isinstance(output, Monitor)]
        self._listeners = [output for output in outputs if isinstance(output, Listener)]

    def resume(self, progress: Progress) -> None:
        """Continue where the process before this one stopped."""
        if self._name in progress.stats:
            try:
                self.stats = Stats.from_bytes(progress.stats[self._name])
            except DecodeError as e:
                log.warning("the statistics so far are lost: %s", e)
        for camera, pieces in self._streams.history(self._name).items():
            try:
                self.histories.restore(camera, pieces)
            except DecodeError as e:
                log.warning("camera %s: %s: its history begins anew", camera, e)
        for output in self._outputs:
            if isinstance(output, Remembering):
                output.remember(self.histories)
        for key, state in self._streams.tracks(self._name).items():
            camera = key.removesuffix(_EVENTS)
            try:
                if key == camera:
                    self._follower.resume(camera, state)
                else:
                    self._watcher.resume(camera, state)
            except DecodeError as e:
                log.warning("camera %s: %s: faces get new numbers, or appear anew", camera, e)

    def tracks(self, cameras: Iterable[str]) -> dict[str, bytes]:
        """Who is there, as `resume` reads it."""
        return {camera: self._follower.state(camera) for camera in cameras} | self.watched(cameras)

    def drop_tracks(self, camera: str) -> None:
        """Nobody resumes this camera: it was let go."""
        self._streams.drop_tracks(self._name, [camera, camera + _EVENTS])

    def watched(self, cameras: Iterable[str]) -> dict[str, bytes]:
        """What was told of whom, as `resume` reads it."""
        return {camera + _EVENTS: self._watcher.state(camera) for camera in cameras}

    def flush(self) -> None:
        """Make everything written so far survive the death of this process."""
        for output in self._outputs:
            output.flush()

    def forget(self) -> None:
        """Discard what was not flushed: another process has taken over, and writes it."""
        for output in self._outputs:
            if isinstance(output, Buffering):
                output.forget()

    def close(self) -> None:
        """Finish all files and windows.

        Raises:
            EmotionError: an output could not finish its file.
        """
        for output in self._outputs:
            if isinstance(output, Sender):
                output.finish()
        with contextlib.ExitStack() as closing:  # all are closed, also behind one whose disk is full
            for output in self._outputs:
                closing.callback(output.close)

    # --- frame by frame ----------------------------------------------------------------------------------

    def fetch(self, released: Iterable[Released]) -> dict[str, bytes | None]:
        """The JPEGs of the frames to show, by frame id, where any output wants the picture."""
        stored = any(output.needs_image for output in self._outputs if output not in self._monitors)
        ids = [
            message.frame_id
            for item in released
            if (message := item.message)
            and message.outcome.status == "ok"
            and (any([m.wants_image(message.info) for m in self._monitors]) or stored)  # noqa: C419  ask each
        ]
        return dict(zip(ids, self._streams.fetch_jpegs(ids), strict=True))

    def next(self, item: Released, veiled: Veiled) -> None:
        """Show the next frame everywhere, or count what there is in its place.

        Raises:
            EmotionError: an output is gone for good.
        """
        message = item.message
        if message is not None:
            self._roll.seen(item.camera, message.info.interval, message.info.mode == "live")
        if item.missing:
            self._missed(item.missing)
            self._lost(item.camera, "missing", item.missing)
        if item.left_out:
            self._dropped(item.camera, LEFT_OUT, item.left_out)
        if message is None:
            return
        if message.outcome.status == "dropped":
            self._dropped(item.camera, message.outcome.reason or "unknown")
        else:
            self._write(message, veiled)

    def tell(self, events: Iterable[Event]) -> None:
        """Tell these to all that listen."""
        for event in events:
            self.stats.tell(event.kind)
            self._metrics.events(event.kind).inc()
            for listener in self._listeners:
                listener.tell(event)

    def _write(self, message: Emotions, veiled: Veiled) -> None:
        info = message.info
        faces, unseen, cut, apart = self._follower.follow(message)
        latency = self.clock.age(info.captured_at)
        result = Result(info, message.outcome, message.labels, faces, latency, unseen, cut, apart)
        image = picture_of(veiled.jpeg) if veiled.jpeg else None
        if image is not None and not veiled.bare:
            image = hide(image, result, veiled.boxes)
        for output in self._outputs:
            output.write(result, image if output.needs_image else None)
        self._ears.hand_on(info, self._outputs)
        self.histories.add(result)
        self.tell(self._watcher.see(result, self.clock.wall()))
        self.stats.show(result, self.clock.wall(), self.clock.taken())
        self._metrics.frames.inc()
        self._metrics.faces.inc(len(result.shown))
        self._metrics.latency.observe(latency)

    def _missed(self, count: int) -> None:
        self.stats.missing += count
        self._metrics.missing.inc(count)

    def _dropped(self, camera: str, reason: str, count: int = 1) -> None:
        self.stats.drop(reason, count)
        self._metrics.dropped(reason).inc(count)
        self._lost(camera, reason, count)

    def _lost(self, camera: str, reason: str, count: int) -> None:
        for monitor in self._monitors:
            monitor.lost(camera, reason, count)
        self.histories.lost(camera, reason, count)

    # --- about once a second -----------------------------------------------------------------------------

    def news(self, progress: Progress, over: Collection[str]) -> list[Event]:
        """What is new of the cameras. `over`: those at their end, all of whose frames are shown."""
        self._roll.ended = progress.ended.keys()
        now = self.clock.wall()
        events = camera_events(self._watcher, progress.signals, self._roll.states(), over, now)
        for output in self._outputs:
            if isinstance(output, EndListener):
                for camera in over:
                    output.ended(camera)
        return events

    def let_go(self, camera: str, missing: int, parts: Iterable[Part]) -> None:
        """Forget a camera, whoever was there, and its `missing` frames, which never came. `parts`: what else keeps
        something of it."""
        self.tell(self._watcher.ended(camera, self.clock.wall()))
        self._missed(missing)
        own = self._follower, self._watcher, self.histories, self._roll
        forget(camera, (*parts, *own), self._outputs)

    def report(self, progress: Progress, heard: Collection[str]) -> None:
        """Have the results kept in order, and tell the outputs that people watch how it goes. `heard`: cameras of
        which results have come."""
        streams, keys = self._streams, self._streams.keys
        if (told := kept(self._outputs)) is not None:
            self.stats.kept = told
            self._metrics.kept(**told.figures(self.clock.wall()))
        if not self._monitors:
            return
        hops = (keys.frames, "detector"), (keys.faces, "classifier"), (keys.emotions, self._name)
        report = Report(
            self.stats,
            behind(streams, hops),
            frozenset(camera for camera in progress.ended if progress.all_shown([camera], ended=True)),
            present(streams, progress, heard),
            self.stats.kept,
        )
        for monitor in self._monitors:
            monitor.report(report)
