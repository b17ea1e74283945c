"""The sink's loop: reads results, restores their order, has them shown, and only then acknowledges.

A sink name is a consumer group with one active process under a lease; a second process waits as standby. What
the process before it read but did not show is still pending under the same consumer name and is read first.
"""

import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.codec import decode_emotions
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.streams.access import Entry, LeaseLost
from emotion_stream.shared.streams.groups import Done
from emotion_stream.shared.streams.progress import Progress
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.broken import set_aside
from emotion_stream.sink.events.watch import Watcher
from emotion_stream.sink.leftovers import Arrival, Leftovers
from emotion_stream.sink.order import Released, Reorder
from emotion_stream.sink.results.leaving import Departure, Departures
from emotion_stream.sink.results.output import Output
from emotion_stream.sink.show import Show
from emotion_stream.sink.tracking.follow import Follower
from emotion_stream.sink.turn import Turn
from emotion_stream.sink.veil import Veil, Veiled

log = logging.getLogger(__name__)

BATCH = 64
"""Messages read at once."""
AT_ONCE = 16
"""Frames shown between two acknowledgements at the most: they are held in memory, with their pictures."""
KEEP_EVERY = 2.0
"""Seconds between two times that the history is kept in Redis."""
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
        own_run: bool = True,
        blur_delay: float = 0.0,
        watcher: Watcher | None = None,
    ) -> None:
        """`open_outputs` is called once, by the active process: a standby must not touch what another writes.

        Without `own_run` the server may hold results of an earlier run, which are left out.

        With `blur`, no output ever gets pixels of a face that was found or followed. Lossless frames are held back
        until faces that enter have been found; live ones for `blur_delay` seconds. What comes with a frame wins.
        """
        self._service = service
        self._streams = streams
        self._name = name
        self._open_outputs = open_outputs
        self._watchdog = watchdog
        self._order = Reorder(hold_back)
        self._veil = Veil(blur, blur_delay)
        self._show = Show(service, streams, name, follower, watcher)
        self._next_keep = 0.0
        self._unshown: deque[Released] = deque()
        self._shown: list[Released] = []
        self._arrived: dict[str, tuple[str, int, int]] = {}
        self._positions: dict[str, tuple[str, int]] = {}
        self._duplicates = 0
        self._restored = False
        self._turn = Turn(streams, service, name, self._check_alone)
        self._own_run = own_run
        self._leftovers: Leftovers | None = None
        self._departures = Departures()
        self._metrics = service.metrics

    def run(self) -> None:
        """Show results until the service is stopped.

        Raises:
            EmotionError: an output is gone for good.
        """
        try:
            self._service.keep_connected(self._connected)
        except LeaseLost:
            self._show.forget()
            raise
        finally:
            self._show.close()

    def _connected(self) -> None:
        streams = self._streams
        if not self._turn.wait():
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
                holding = self._order.holding or self._veil.holding
                block = BLOCK_HOLDING if holding else BLOCK
                entries = streams.read_new(streams.keys.emotions, self._name, self._name, BATCH, block)
                if not entries and self._veil.holding:
                    self._veil.end(streams.progress().ended)
            self._take(entries)
            self._show_all()
        self._show_all(math.inf)  # told to stop: live frames wait for nobody any more
        self._report()
        self._keep_history()
        self._turn.give_back()

    def _check_alone(self) -> None:
        """Check that no other process has shown anything while the lease, or the connection, was lost.

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
            if self._leftovers is not None:
                self._leftovers.forget()
            return
        if not self._own_run:
            self._leftovers = Leftovers(self._streams)
        self._show.open(self._open_outputs())
        self._restored = True
        progress = self._streams.progress()
        for (sink, camera, epoch), seq in progress.shown.items():
            if sink == self._name:
                self._order.resume(camera, epoch, seq)
                self._positions[camera] = (epoch, seq)
        self._show.resume(progress)

    def _remind(self) -> None:
        """Publish again how far this process is. A server that took over, or was flushed, may have forgotten it,
        and a producer would wait for frames that come only once."""
        if self._positions:
            self._store(self._positions)

    def _store(
        self,
        positions: Mapping[str, tuple[str, int]],
        ids: Iterable[str] = (),
        tracks: Mapping[str, bytes] | None = None,
        arrived: Mapping[str, tuple[str, int, int]] | None = None,
    ) -> None:
        """Acknowledge `ids`, and store in the same step what the process after this one goes on with."""
        stats = self._show.stats.to_bytes()
        self._streams.shown(self._name, self._service.worker, ids, positions, stats, tracks, arrived)

    def _housekeeping(self) -> None:
        self._turn.renew()
        emotions = self._streams.keys.emotions
        self._streams.trim_used(emotions)
        self._service.observe_lag(self._streams, emotions, self._name)
        self._report()
        if time.monotonic() >= self._next_keep:
            self._keep_history()

    def _keep_history(self) -> None:
        """What a process that is killed has not kept is at most KEEP_EVERY old."""
        self._next_keep = time.monotonic() + KEEP_EVERY
        self._streams.keep_history(self._name, *self._show.histories.changes())

    def _report(self) -> None:
        """Tell of cameras that are lost, back or at their end, and the outputs that people watch how it goes."""
        progress = self._streams.progress()
        self._tell_of_cameras(progress)
        under_way = {item.camera for item in (*self._unshown, *self._shown)}
        under_way |= self._veil.cameras() | self._order.cameras()
        for departure in self._departures.new(progress.left, under_way):
            self._let_go(departure)
        self._show.report(progress, self._arrived)

    def _let_go(self, departure: Departure) -> None:
        """Forget a camera, its frames that never came, and whoever was there."""
        camera, missing = departure.camera, departure.missing(self._positions.get(departure.camera))
        self._turn.check()
        self._arrived.pop(camera, None)
        self._show.let_go(camera, missing, (self._order, self._veil))
        if missing:  # a process after this one does not count them again
            self._positions[camera] = departure.epoch, departure.count
            self._store(self._positions)
        self._show.drop_tracks(camera)

    def _tell_of_cameras(self, progress: Progress) -> None:
        over = [
            camera
            for camera, (epoch, _) in progress.ended.items()
            if self._positions.get(camera, ("", 0))[0] == epoch and progress.all_shown([camera], ended=True)
        ]
        if events := self._show.news(progress, over):
            self._turn.check()
            self._show.tell(events)
            self._show.flush()
            self._store(self._positions, tracks=self._show.watched(over))

    def _take(self, entries: Sequence[Entry]) -> None:
        now = time.monotonic()
        garbage, arrivals = [], []
        for entry in entries:
            if not entry.fields:  # trimmed since it was read
                garbage.append(Done(entry.id))
                continue
            try:
                arrival = Arrival(entry.id, decode_emotions(entry.fields, entry.id))
            except DecodeError as e:
                log.warning("emotions: entry %s is not a message (%s): set aside", entry.id, e)
                self._metrics.decode_errors.inc()
                self._metrics.dead_letters.inc()
                garbage.append(set_aside(entry, f"not a message: {e}"))
            else:
                if self._departures.has(arrival.message.info):
                    garbage.append(Done(entry.id))
                else:
                    arrivals.append(arrival)
        if self._leftovers is not None:
            arrivals, ended = self._leftovers.sift(arrivals)
            garbage += [Done(arrival.id) for arrival in ended]
        for arrival in arrivals:
            self._order.add(arrival.message, arrival.id, now)
        if garbage:
            keys = self._streams.keys
            self._streams.hop(keys.emotions, self._name, keys.emotions, garbage)

    def _show_all(self, now: float | None = None) -> None:
        """Show what is in order now, a few frames at a time.

        What is released but not shown, and shown but not acknowledged, is kept over a lost connection.
        """
        self._show.clock.look()
        self._unshown.extend(self._ready(time.monotonic() if now is None else now))
        while self._unshown or self._shown:
            with self._watchdog.guard("showing results"):
                self._show_some()
            if self._unshown and self._service.tick(self._streams):
                self._housekeeping()

    def _ready(self, now: float) -> list[Released]:
        """What is in order, and, where faces are hidden, has been held back for long enough."""
        released = self._order.release(now)
        if not self._veil.holding and not any(map(self._veil.hides, released)):
            return released
        for n in range(0, len(released), AT_ONCE):
            few = released[n : n + AT_ONCE]
            self._veil.take(few, self._show.fetch(filter(self._veil.hides, few)), time.monotonic())
        return self._veil.due(time.monotonic(), all_of_them=now == math.inf)

    def _show_some(self) -> None:
        """Show some frames on all outputs, then acknowledge them with positions and statistics in one step."""
        jpegs = self._show.fetch(itertools.filterfalse(self._veil.hides, itertools.islice(self._unshown, AT_ONCE)))
        while self._unshown and len(self._shown) < AT_ONCE:
            self._turn.check()
            item = self._unshown.popleft()
            self._show.next(item, self._veiled(item, jpegs))
            self._shown.append(item)
        self._turn.check()
        self._show.flush()
        self._metrics.duplicates.inc(self._order.duplicates - self._duplicates)
        self._show.stats.duplicates += self._order.duplicates - self._duplicates
        self._duplicates = self._order.duplicates
        positions: dict[str, tuple[str, int]] = {}
        for item in self._shown:
            if item.message is not None:
                positions[item.camera] = (item.epoch, item.message.info.seq + 1)
        ids = [i for item in self._shown for i in item.ids]
        self._positions |= positions
        tracks = self._show.tracks(positions)
        arrived = dict(self._order.arrived.items() - self._arrived.items())
        self._store(positions, ids, tracks, arrived)
        self._arrived |= arrived
        self._shown.clear()

    def _veiled(self, item: Released, jpegs: Mapping[str, bytes | None]) -> Veiled:
        """The picture of a frame, with what is to be hidden in it."""
        if item.message is None:
            return Veiled()
        frame_id = item.message.frame_id
        return self._veil.lift(frame_id) if self._veil.hides(item) else Veiled(jpegs.get(frame_id), bare=True)
