"""The worker loop: moves messages from one stream to the next through a stage. The one loop that knows Redis.

Per turn: what this worker left unfinished (after every start and reconnect), what dead workers left (on a
timer), else a batch of new messages. Redelivered messages are processed alone, so that one that kills workers
takes no other with it; after `max_deliveries` it is set aside.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from redis.exceptions import RedisError

from emotion_stream.shared.errors import DecodeError, NewerSchema, UsageError
from emotion_stream.shared.messages.codec import salvage
from emotion_stream.shared.messages.types import Message, Outcome
from emotion_stream.shared.process.metrics import Metrics
from emotion_stream.shared.process.service import Service, open_streams
from emotion_stream.shared.process.stage import HintedStage, Hints, Stage
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.cli import Values
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.settings.options import CommonOptions, LinkOptions
from emotion_stream.shared.streams.access import Entry, id_seconds
from emotion_stream.shared.streams.groups import Done
from emotion_stream.shared.streams.hints import Hint, stale
from emotion_stream.shared.streams.shard import LIVE_RESULTS, Streams

log = logging.getLogger(__name__)

BLOCK = 1.0
"""Seconds to wait for new messages; well below the connection's socket timeout."""
CATCH_UP = 256
"""Messages read at once by a worker that is behind."""

MOMENT = 1.0
"""Seconds for which a backlog of live messages is tolerated. A burst is worked off; a backlog that lasts is only
delay (as in Nichols and Jacobson, Controlling Delay, 2012)."""

LOSSLESS_GATHERS = 16
"""How many times longer a worker waits for lossless messages than for live ones. There is no hurry, and large
batches cost less per message."""

MOST_LEFT = 1_000
"""Messages that one worker leaves to newer ones at a time."""

In = TypeVar("In", bound=Message)
Out = TypeVar("Out", bound=Message)


@dataclass(frozen=True, slots=True)
class Route(Generic[In, Out]):
    """Where a stage reads and writes, and how its messages look on the wire."""

    group: str
    source: str
    target: str
    decode: Callable[[Mapping[bytes, bytes], str], In]
    encode: Callable[[Out], bytes]
    observe: Callable[[Metrics, Sequence[Out]], None]


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of a worker: batch size in messages, times in seconds. `gather` is how long to wait for more messages
    when the first ones were there at once; with an idle worker nobody waits."""

    batch: int
    claim_after: float
    max_deliveries: int
    max_age: float
    gather: float = 0.0


class Worker(Generic[In, Out]):
    """Runs one stage on one shard until it is told to stop."""

    def __init__(
        self,
        service: Service,
        streams: Streams,
        stage: Stage[In, Out],
        route: Route[In, Out],
        policy: Policy,
        watchdog: Watchdog,
    ) -> None:
        self._service = service
        self._streams = streams
        self._stage = stage
        self._route = route
        self._policy = policy
        self._watchdog = watchdog
        self._metrics = service.metrics
        self._offset = 0.0
        self._next_claim = 0.0
        self._left: dict[str, float] = {}
        self._hinted: HintedStage[In, Out] | None = stage if isinstance(stage, HintedStage) else None
        self._hints: Hints = {}
        self._stale: set[str] = set()
        self._late_since: float | None = None
        self._eager_until = 0.0

    def run(self) -> None:
        """Work until the service is stopped; reconnect for as long as it takes.

        Raises:
            EmotionError: the stage cannot be opened.
        """
        self._stage.open()
        try:
            self._service.keep_connected(self._connected)
            self._streams.leave(self._route.source, self._route.group, self._service.worker)
        except RedisError as e:
            log.warning("left without saying goodbye: %s", e)
        finally:
            self._stage.close()

    def _connected(self) -> None:
        route, streams, worker = self._route, self._streams, self._service.worker
        streams.ensure_group(route.source, route.group)
        self._offset = streams.clock_offset()
        self._service.is_ready(streams)
        own = True
        while not self._service.stopping:
            if self._service.tick(streams):
                self._housekeeping()
            if own:
                entries = streams.recover(route.source, route.group, worker, 1, skip=self._left_to_others())
                own = self._redelivered(entries)
                continue
            if time.monotonic() >= self._next_claim:
                idle = self._policy.claim_after
                skip = self._left_to_others()
                if self._redelivered(streams.recover(route.source, route.group, worker, 1, idle=idle, skip=skip)):
                    continue
                self._next_claim = time.monotonic() + idle / 4
            entries = self._read()
            if self._behind(entries):
                self._catch_up(entries)
            else:
                self._handle(entries)

    def _read(self) -> list[Entry]:
        """Read a batch of new messages, and the hints about their cameras if the stage wants them."""
        route, streams, worker = self._route, self._streams, self._service.worker
        if self._hinted is None:
            return self._gathered()
        entries, hints = streams.read_hinted(route.source, route.group, worker, self._policy.batch, BLOCK)
        if entries:
            old = stale(hints, id_seconds(entries[-1].id))
            self._stale.update(old)
            self._hints = {camera: hint.data for camera, hint in hints.items() if camera not in old}
        return entries

    def _gathered(self) -> list[Entry]:
        """Read a batch of new messages. If fewer were waiting, give others a moment to join them."""
        route, worker, batch, gather = self._route, self._service.worker, self._policy.batch, self._policy.gather
        started = time.monotonic()
        entries = self._streams.read_new(route.source, route.group, worker, batch, BLOCK)
        if 0 < len(entries) < batch and time.monotonic() - started < gather:
            first = self._peek(entries)
            time.sleep(gather * (LOSSLESS_GATHERS if first and first.info.mode == "lossless" else 1))
            entries += self._streams.read_new(route.source, route.group, worker, batch - len(entries), None)
        return entries

    def _housekeeping(self) -> None:
        self._streams.forget_hints(tuple(self._stale))
        self._stale.clear()
        self._offset = self._streams.clock_offset()
        self._streams.trim_used(self._streams.keys.faces)
        self._service.observe_lag(self._streams, self._route.source, self._route.group)

    def _redelivered(self, entries: Sequence[Entry]) -> bool:
        """Process one message that was delivered before; False if there is none. Claiming counts as a delivery, so
        messages are claimed one at a time: those behind a message that kills workers must not be blamed for it."""
        self._metrics.redeliveries.inc(len(entries))
        self._handle(entries)
        return bool(entries)

    def _behind(self, entries: Sequence[Entry]) -> bool:
        """Whether the backlog of live frames is so old that the newest should go first. It is if the oldest frame
        has used up half of its time, or an eighth for longer than `MOMENT`. A worker that was behind lately does
        not get that moment again."""
        first, now, most = self._peek(entries), time.monotonic(), self._policy.max_age
        age = self._age(first) if first is not None and first.info.mode == "live" else 0.0
        if age <= most / 8:
            self._late_since = None
            return False
        if self._late_since is None:
            self._late_since = now
        behind = age > most / 2 or now - self._late_since > MOMENT or now < self._eager_until
        if behind:
            self._eager_until = now + 2 * MOMENT
        return behind

    def _peek(self, entries: Sequence[Entry]) -> In | None:
        """The first message, if there is one that can be read."""
        try:
            return self._route.decode(entries[0].fields, entries[0].id) if entries else None
        except DecodeError:
            return None

    def _catch_up(self, entries: list[Entry]) -> None:
        """Take the whole backlog, and process only the newest frame of each camera, one by one.

        If the oldest came first, every frame would be stale when it reaches the next stage.
        """
        route, worker = self._route, self._service.worker
        while more := self._streams.read_new(route.source, route.group, worker, CATCH_UP, None):
            entries = entries + more
        newest: dict[str, str] = {}
        for entry in entries:
            try:
                newest[route.decode(entry.fields, entry.id).info.camera] = entry.id
            except DecodeError:
                continue
        chosen = set(newest.values())
        self._handle([e for e in entries if e.id not in chosen], superseded=True)
        for entry in entries:
            if entry.id in chosen:
                self._handle([entry], fresh=True)
                self._service.tick(self._streams)

    def _handle(self, entries: Sequence[Entry], *, superseded: bool = False, fresh: bool = False) -> None:
        """Process entries and hop: each yields a result, a dead letter, or both. Live frames that are `superseded`
        are dropped; those that are `fresh` are not dropped as stale."""
        if not entries:
            return
        started = time.perf_counter()
        with self._watchdog.guard(f"a batch of {len(entries)} from {self._route.source}"):
            done: dict[str, Done] = {}
            lossless = False
            work: list[tuple[Entry, In]] = []
            for entry in entries:
                try:
                    message = self._route.decode(entry.fields, entry.id)
                except DecodeError as e:
                    if not self._leave(entry, e):
                        done[entry.id] = self._garbage(entry, e)
                    continue
                lossless = lossless or message.info.mode == "lossless"
                settled = self._settle(entry, message, superseded, fresh)
                if settled is None:
                    work.append((entry, message))
                else:
                    done[entry.id] = settled
            before = dict(self._hints)
            done.update((d.id, d) for d in self._process(work))
        notes = self._notes([message for _, message in work], before)
        self._stale.difference_update(notes)
        self._streams.hop(
            self._route.source,
            self._route.group,
            self._route.target,
            [done[e.id] for e in entries if e.id in done],
            limit=None if lossless else LIVE_RESULTS,  # nothing of a lossless run is trimmed by length
            notes=notes,
        )
        self._metrics.dead_letters.inc(sum(1 for d in done.values() if d.dead))
        self._metrics.frames.inc(len(done))
        self._metrics.batch(len(entries), time.perf_counter() - started)

    def _notes(self, messages: Sequence[In], before: Hints) -> dict[str, Hint]:
        """The hints that the stage has written since `before`, each with the newest of these messages' frames."""
        newest = {message.info.camera: message.frame_id for message in messages}
        return {
            camera: Hint(newest[camera], data)
            for camera, data in self._hints.items()
            if camera in newest and before.get(camera) is not data
        }

    def _garbage(self, entry: Entry, error: DecodeError) -> Done:
        log.warning("%s: entry %s is not a message (%s): set aside", self._route.source, entry.id, error)
        self._metrics.decode_errors.inc()
        reason = f"not a message: {error}"
        placed = salvage(entry.fields, entry.id)
        if placed is None:
            return Done(entry.id, dead=reason, deliveries=entry.deliveries)
        return self._pass_on(entry, placed, Outcome.error(reason), reason)

    def _leave(self, entry: Entry, error: DecodeError) -> bool:
        """Whether to leave a message pending, so that a newer worker can claim it. Not any more once it was
        delivered too often. Meanwhile we do not claim it ourselves, for twice as long as a newer worker waits
        before it claims."""
        if not isinstance(error, NewerSchema) or len(self._left) >= MOST_LEFT:
            return False
        if entry.deliveries >= self._policy.max_deliveries:
            return False
        log.warning("%s: entry %s is left to a newer worker (%s)", self._route.source, entry.id, error)
        self._left[entry.id] = time.monotonic() + 2 * (self._policy.claim_after + BLOCK)
        return True

    def _left_to_others(self) -> Collection[str]:
        now = time.monotonic()
        self._left = {i: until for i, until in self._left.items() if until > now}
        return self._left.keys()

    def _settle(self, entry: Entry, message: In, superseded: bool, fresh: bool) -> Done | None:
        """The result of a message that is settled without processing; None if it is to be processed."""
        if entry.deliveries >= self._policy.max_deliveries:
            reason = f"gave up after {entry.deliveries} deliveries to {self._route.group} workers"
            log.error("frame %d of %s: %s", message.info.seq, message.info.camera, reason)
            return self._pass_on(entry, message, Outcome.error(reason), reason)
        if message.outcome.status != "ok":
            return self._pass_on(entry, message, message.outcome)
        if message.info.mode == "live" and not fresh:
            why = "superseded" if superseded else "stale" if self._age(message) > self._policy.max_age else None
            if why is not None:
                self._metrics.dropped(why).inc()
                return self._pass_on(entry, message, Outcome.dropped(f"{why}_{self._route.group}"))
        return None

    def _age(self, message: Message) -> float:
        """Seconds since the frame was appended, by the server's clock."""
        return time.time() + self._offset - id_seconds(message.frame_id)

    def _pass_on(self, entry: Entry, message: Message, outcome: Outcome, dead: str = "") -> Done:
        result = self._stage.pass_on(message, outcome)
        return Done(entry.id, self._route.encode(result), dead, entry.deliveries)

    def _process(self, work: Sequence[tuple[Entry, In]]) -> list[Done]:
        """What became of each message. A batch that fails is halved until the bad message is found."""
        if not work:
            return []
        try:
            messages = [message for _, message in work]
            if self._hinted is None:
                results = self._stage.process(messages)
            else:
                results = self._hinted.process_hinted(messages, self._hints)
            payloads = [self._route.encode(result) for result in results]
            self._route.observe(self._metrics, results)
            return [Done(e.id, p, deliveries=e.deliveries) for (e, _), p in zip(work, payloads, strict=True)]
        except Exception as e:
            if len(work) == 1:
                ((entry, message),) = work
                log.exception("frame %d of %s cannot be processed", message.info.seq, message.info.camera)
                reason = f"{self._route.group} failed: {type(e).__name__}: {e}"
                return [self._pass_on(entry, message, Outcome.error(reason), reason)]
            middle = len(work) // 2
            return [*self._process(work[:middle]), *self._process(work[middle:])]


def serve(
    name: str,
    stage: Stage[In, Out],
    route: Callable[[Streams], Route[In, Out]],
    values: Values,
    batch: int,
    describe: Callable[[Metrics], None],
    patience: float = 1.0,
    gather: float = 0.0,
) -> None:
    """Run a stage as this process until it is told to stop. `describe` tells the metrics which model is in use.
    Live frames are stale at `patience` times `--max-age`. `gather`: see `Policy`.

    Raises:
        EmotionError: the server cannot be reached at the start, or the stage cannot be opened.
        UsageError: the settings do not fit together.
    """
    link = build(LinkOptions, values)
    if link.watchdog >= link.claim_after:
        raise UsageError(f"--watchdog {link.watchdog:g} must be below --claim-after {link.claim_after:g}")
    service = Service(name, link.slot, build(CommonOptions, values), link.parent)
    service.start()
    describe(service.metrics)
    streams = open_streams(link, service)
    try:
        policy = Policy(batch, link.claim_after, link.max_deliveries, link.max_age * patience, gather)
        Worker(service, streams, stage, route(streams), policy, Watchdog(link.watchdog)).run()
    finally:
        service.close(streams)
