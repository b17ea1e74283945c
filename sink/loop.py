"""The sink's loop: reads results, restores their order, shows them everywhere, and only then acknowledges.

A sink name is a consumer group with one active process under a lease; a second process waits as standby. What
the process before it read but did not show is still pending under the same consumer name and is read first.
"""

import contextlib
import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from redis.exceptions import ResponseError

from shared.codec import decode_emotions, encode_emotions, salvage
from shared.errors import DecodeError
from shared.jpeg import JpegError, decode_jpeg
from shared.messages import Emotions, Outcome
from shared.service import Service
from shared.streams import Done, Entry, LeaseLost, Streams
from shared.watchdog import Watchdog
from sink.follow import Follower
from sink.monitor import Monitor, Report
from sink.order import Released, Reorder
from sink.output import Buffering, Image, Output, Result
from sink.privacy import hide
from sink.stats import Stats

log = logging.getLogger(__name__)

LEASE_SECONDS = 5.0
BATCH = 64
"""Messages read at once."""
AT_ONCE = 16
"""Frames shown between two acknowledgements at the most: they are held in memory, with their pictures."""
BLOCK = 0.5
BLOCK_HOLDING = 0.05
"""Seconds to wait for new messages, and while live frames are held back for a missing one."""


class Sink:
    """Shows the results of one shard on all outputs of one sink name."""

    def __init__(
        self,
        service: Service,
        streams: Streams,
        name: str,
        open_outputs: Callable[[], Sequence[Output]],
        hold_back: float,
        watchdog: Watchdog,
        follower: Follower,
        blur: bool = False,
    ) -> None:
        """`open_outputs` is called once, by the active process: a standby must not touch what another writes.

        With `blur`, no output ever gets pixels of a face that was found or followed.
        """
        self._service = service
        self._streams = streams
        self._name = name
        self._open_outputs = open_outputs
        self._outputs: Sequence[Output] = ()
        self._monitors: Sequence[Monitor] = ()
        self._watchdog = watchdog
        self._order = Reorder(hold_back)
        self._hold_back = hold_back
        self._follower = follower
        self._blur = blur
        self._stats = Stats()
        self._unshown: deque[Released] = deque()
        self._shown: list[Released] = []
        self._positions: dict[str, tuple[str, int]] = {}
        self._duplicates = 0
        self._restored = False
        self._held_until = 0.0
        self._metrics = service.metrics

    def run(self) -> None:
        """Show results until the service is stopped.

        Raises:
            EmotionError: an output is gone for good.
        """
        try:
            self._service.keep_connected(self._connected)
        except LeaseLost:
            for output in self._outputs:
                if isinstance(output, Buffering):
                    output.forget()
            raise
        finally:
            with contextlib.ExitStack() as closing:  # all are closed, also behind one whose disk is full
                for output in self._outputs:
                    closing.callback(output.close)

    def _connected(self) -> None:
        streams = self._streams
        if not self._wait_for_lease():
            return
        streams.ensure_group(streams.keys.emotions, self._name)
        if self._restored:
            streams.register_sink(self._name)
        else:
            streams.join_sinks(self._name)
        self._restore()
        self._remind()
        self._service.is_ready(streams)
        after = "0"
        while not self._service.stopping:
            if self._service.tick(streams):
                self._housekeeping()
            if after:
                entries = streams.read_own(streams.keys.emotions, self._name, self._name, after, BATCH)
                after = entries[-1].id if entries else ""
            else:
                block = BLOCK_HOLDING if self._order.holding else BLOCK
                entries = streams.read_new(streams.keys.emotions, self._name, self._name, BATCH, block)
            self._take(entries)
            self._show()
        self._show(math.inf)  # told to stop: live frames wait for nobody any more
        self._report()
        streams.release(f"sink:{self._name}", self._service.worker)

    def _wait_for_lease(self) -> bool:
        """False: told to stop while waiting."""
        waiting = False
        while not self._lease():
            if not waiting:
                log.info("another process is the active sink %r: standing by", self._name)
            waiting = True
            self._service.tick(self._streams)
            if self._service.stop.wait(0.5):
                return False
        return True

    def _check_alone(self) -> None:
        """After the lease, or the connection, was lost for a while.

        Raises:
            LeaseLost: another process has shown something meanwhile, so that what this one remembers is out of
                date: it has to start anew.
        """
        for (sink, camera, epoch), seq in self._streams.progress().shown.items():
            told = self._positions.get(camera)
            if sink == self._name and (told is None or told[0] != epoch or seq > told[1]):
                raise LeaseLost(f"sink {self._name!r} was taken over by another process for a while")

    def _restore(self) -> None:
        """Once per process: open the outputs and continue where the process before this one stopped."""
        if self._restored:
            self._check_alone()
            return
        self._outputs = self._open_outputs()
        self._monitors = [output for output in self._outputs if isinstance(output, Monitor)]
        self._restored = True
        progress = self._streams.progress()
        for (sink, camera, epoch), seq in progress.shown.items():
            if sink == self._name:
                self._order.resume(camera, epoch, seq)
                self._positions[camera] = (epoch, seq)
        if self._name in progress.stats:
            try:
                self._stats = Stats.from_bytes(progress.stats[self._name])
            except DecodeError as e:
                log.warning("the statistics so far are lost: %s", e)
        for camera, state in self._streams.tracks(self._name).items():
            try:
                self._follower.resume(camera, state)
            except DecodeError as e:
                log.warning("camera %s: %s: faces get new numbers", camera, e)

    def _remind(self) -> None:
        """Say again how far this process is: a server that took over, or was flushed, may have forgotten, and a
        producer would wait for frames that come only once."""
        if self._positions:
            self._streams.shown(self._name, self._service.worker, [], self._positions, self._stats.to_bytes())

    def _lease(self) -> bool:
        asked = time.monotonic()
        held = self._streams.lease(f"sink:{self._name}", self._service.worker, LEASE_SECONDS)
        if held:
            self._held_until = asked + LEASE_SECONDS
        return held

    def _check_lease(self) -> None:
        """Before anything is written: this process may have stood still for so long that another has taken over.

        Raises:
            LeaseLost: it has.
        """
        if time.monotonic() > self._held_until:
            self._renew()

    def _renew(self) -> None:
        lapsed = time.monotonic() > self._held_until
        if not self._lease():
            raise LeaseLost(f"sink {self._name!r} has been taken over by another process")
        if lapsed:
            self._check_alone()

    def _housekeeping(self) -> None:
        self._renew()
        emotions = self._streams.keys.emotions
        self._streams.trim_used(emotions)
        self._service.observe_lag(self._streams, emotions, self._name)
        self._report()

    def _report(self) -> None:
        """Tell the outputs that people watch how it goes."""
        if not self._monitors:
            return
        streams, keys = self._streams, self._streams.keys
        hops = (keys.frames, "detector"), (keys.faces, "classifier"), (keys.emotions, self._name)
        progress = streams.progress()
        report = Report(
            self._stats,
            sum(self._behind(stream, group) for stream, group in hops),
            frozenset(camera for camera in progress.ended if progress.all_shown([camera], ended=True)),
        )
        for monitor in self._monitors:
            monitor.report(report)

    def _behind(self, stream: str, group: str) -> float:
        """Seconds that a group is behind; 0 while the stream does not exist."""
        try:
            return self._streams.lag(stream, group).seconds
        except ResponseError:
            return 0.0

    def _lost(self, camera: str, reason: str, count: int = 1) -> None:
        for monitor in self._monitors:
            monitor.lost(camera, reason, count)

    def _take(self, entries: Sequence[Entry]) -> None:
        now = time.monotonic()
        garbage = []
        for entry in entries:
            if not entry.fields:  # trimmed since it was read
                garbage.append(Done(entry.id))
                continue
            try:
                self._order.add(decode_emotions(entry.fields, entry.id), entry.id, now)
            except DecodeError as e:
                log.warning("emotions: entry %s is not a message (%s): set aside", entry.id, e)
                self._metrics.decode_errors.inc()
                self._metrics.dead_letters.inc()
                garbage.append(_set_aside(entry, f"not a message: {e}"))
        if garbage:
            keys = self._streams.keys
            self._streams.hop(keys.emotions, self._name, keys.emotions, garbage)

    def _show(self, now: float | None = None) -> None:
        """Show what is in order now, a few frames at a time.

        What is released but not shown, and shown but not acknowledged, is kept over a lost connection.
        """
        self._unshown.extend(self._order.release(time.monotonic() if now is None else now))
        while self._unshown or self._shown:
            with self._watchdog.guard("showing results"):
                self._show_some()
            if self._unshown and self._service.tick(self._streams):
                self._housekeeping()

    def _show_some(self) -> None:
        """Show some frames on all outputs, then acknowledge them with positions and statistics in one step."""
        jpegs = self._fetch(itertools.islice(self._unshown, AT_ONCE))
        while self._unshown and len(self._shown) < AT_ONCE:
            self._check_lease()
            item = self._unshown.popleft()
            self._show_one(item, jpegs)
            self._shown.append(item)
        self._check_lease()
        for output in self._outputs:
            output.flush()
        self._metrics.duplicates.inc(self._order.duplicates - self._duplicates)
        self._stats.duplicates += self._order.duplicates - self._duplicates
        self._duplicates = self._order.duplicates
        positions: dict[str, tuple[str, int]] = {}
        for item in self._shown:
            if item.message is not None:
                positions[item.camera] = (item.epoch, item.message.info.seq + 1)
        ids = [i for item in self._shown for i in item.ids]
        self._positions |= positions
        tracks = {camera: self._follower.state(camera) for camera in positions}
        self._streams.shown(self._name, self._service.worker, ids, positions, self._stats.to_bytes(), tracks)
        self._shown.clear()

    def _show_one(self, item: Released, jpegs: dict[str, bytes | None]) -> None:
        self._stats.missing += item.missing
        self._metrics.missing.inc(item.missing)
        if item.missing:
            self._lost(item.camera, "missing", item.missing)
        if item.message is None:
            return
        outcome = item.message.outcome
        if outcome.status == "dropped":
            self._stats.drop(outcome.reason or "unknown")
            self._metrics.dropped(outcome.reason or "unknown").inc()
            self._lost(item.camera, outcome.reason or "unknown")
        else:
            self._write(item.message, jpegs.get(item.message.frame_id))

    def _fetch(self, released: Iterable[Released]) -> dict[str, bytes | None]:
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

    def _write(self, message: Emotions, jpeg: bytes | None) -> None:
        info = message.info
        faces, unseen = self._follower.follow(message)
        latency = max(0.0, time.time() - info.captured_at)
        result = Result(info, message.outcome, message.labels, faces, latency, unseen)
        image = _decode(jpeg) if jpeg else None
        if image is not None and self._blur:
            image = hide(image, result)
        for output in self._outputs:
            output.write(result, image if output.needs_image else None)
        self._stats.show(result)
        self._metrics.frames.inc()
        self._metrics.faces.inc(len(result.shown))
        self._metrics.latency.observe(latency)


def _set_aside(entry: Entry, reason: str) -> Done:
    """A dead letter, and, if its place in the order is known, an error that takes it: appended to the stream that
    it came from, in the same step, so that it cannot get lost between the two."""
    placed = salvage(entry.fields, entry.id)
    if placed is None:
        return Done(entry.id, dead=reason)
    error = Emotions(placed.info, placed.frame_id, (), (), Outcome.error(reason))
    return Done(entry.id, encode_emotions(error)[b"m"], reason)


def _decode(jpeg: bytes) -> Image | None:
    try:
        return decode_jpeg(jpeg, color=True)
    except JpegError as e:  # nobody has sent us this frame through a detector
        log.warning("a picture cannot be shown: %s", e)
        return None
