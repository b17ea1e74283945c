"""The worker loop: moves messages from one stream to the next through a stage. The one loop that knows Redis.

Per turn: what this worker left unfinished (after every start and reconnect), what dead workers left (on a
timer), else a batch of new messages. Redelivered messages are processed alone, so that one that kills workers
takes no other with it; after `max_deliveries` it is set aside.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from redis.exceptions import RedisError

from shared.cli import Values
from shared.errors import DecodeError
from shared.messages import Message, Outcome
from shared.metrics import Metrics
from shared.options import CommonOptions, LinkOptions
from shared.service import Service, open_streams
from shared.settings import build
from shared.stage import Stage
from shared.streams import LIVE_RESULTS, Done, Entry, Streams, id_seconds
from shared.watchdog import Watchdog

log = logging.getLogger(__name__)

BLOCK = 1.0
"""Seconds to wait for new messages; well below the connection's socket timeout."""

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
    """Limits of a worker: batch size in messages, times in seconds."""

    batch: int
    claim_after: float
    max_deliveries: int
    max_age: float


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
                entries = streams.recover(route.source, route.group, worker, self._policy.batch)
                own = bool(entries)
                self._one_by_one(entries)
                continue
            if time.monotonic() >= self._next_claim:
                self._next_claim = time.monotonic() + self._policy.claim_after / 4
                idle = self._policy.claim_after
                self._one_by_one(streams.recover(route.source, route.group, worker, self._policy.batch, idle=idle))
            self._handle(streams.read_new(route.source, route.group, worker, self._policy.batch, BLOCK))

    def _housekeeping(self) -> None:
        self._offset = self._streams.clock_offset()
        self._streams.trim_used(self._streams.keys.faces)
        self._service.observe_lag(self._streams, self._route.source, self._route.group)

    def _one_by_one(self, entries: Sequence[Entry]) -> None:
        self._metrics.redeliveries.inc(len(entries))
        for entry in entries:
            self._handle([entry])
            self._service.tick(self._streams)

    def _handle(self, entries: Sequence[Entry]) -> None:
        """Process entries and hop: one result, or one dead letter, or both, for each."""
        if not entries:
            return
        started = time.perf_counter()
        with self._watchdog.guard(f"a batch of {len(entries)} from {self._route.source}"):
            done: dict[str, Done] = {}
            work: list[tuple[Entry, In]] = []
            for entry in entries:
                settled = self._settle(entry)
                if isinstance(settled, Done):
                    done[entry.id] = settled
                else:
                    work.append((entry, settled))
            for (entry, _), (result, dead) in zip(work, self._process([m for _, m in work]), strict=True):
                done[entry.id] = self._result(entry, result, dead)
        # No limit on lossless results: nothing of a lossless run is trimmed by length.
        lossless = any(m.info.mode == "lossless" for _, m in work)
        self._streams.hop(
            self._route.source,
            self._route.group,
            self._route.target,
            [done[e.id] for e in entries],
            limit=None if lossless or not work else LIVE_RESULTS,
        )
        self._metrics.dead_letters.inc(sum(1 for d in done.values() if d.dead))
        self._metrics.frames.inc(len(entries))
        self._metrics.batch(len(entries), time.perf_counter() - started)

    def _settle(self, entry: Entry) -> Done | In:
        """What needs no processing is settled here; otherwise the message to process."""
        try:
            message = self._route.decode(entry.fields, entry.id)
        except DecodeError as e:
            log.warning("%s: entry %s is not a message (%s): set aside", self._route.source, entry.id, e)
            self._metrics.decode_errors.inc()
            return Done(entry.id, dead=f"not a message: {e}", deliveries=entry.deliveries)
        if entry.deliveries >= self._policy.max_deliveries:
            reason = f"gave up after {entry.deliveries} deliveries to {self._route.group} workers"
            log.error("frame %d of %s: %s", message.info.seq, message.info.camera, reason)
            return self._result(entry, self._stage.pass_on(message, Outcome.error(reason)), reason)
        if message.outcome.status != "ok":
            return self._result(entry, self._stage.pass_on(message, message.outcome))
        if message.info.mode == "live" and self._age(message) > self._policy.max_age:
            self._metrics.dropped("stale").inc()
            return self._result(entry, self._stage.pass_on(message, Outcome.dropped(f"stale_{self._route.group}")))
        return message

    def _age(self, message: Message) -> float:
        """Seconds since the frame was appended, by the server's clock."""
        return time.time() + self._offset - id_seconds(message.frame_id)

    def _result(self, entry: Entry, result: Out, dead: str = "") -> Done:
        return Done(entry.id, self._route.encode(result), dead, entry.deliveries)

    def _process(self, batch: Sequence[In]) -> Sequence[tuple[Out, str]]:
        """Results, each with the reason of a dead letter or "". A failing batch is halved down to the bad one."""
        if not batch:
            return []
        try:
            results = self._stage.process(batch)
            self._route.observe(self._metrics, results)
            return [(r, "") for r in results]
        except Exception as e:
            if len(batch) == 1:
                info = batch[0].info
                log.exception("frame %d of %s cannot be processed", info.seq, info.camera)
                reason = f"{self._route.group} failed: {type(e).__name__}: {e}"
                return [(self._stage.pass_on(batch[0], Outcome.error(reason)), reason)]
            middle = len(batch) // 2
            return [*self._process(batch[:middle]), *self._process(batch[middle:])]


def serve(
    name: str,
    stage: Stage[In, Out],
    route: Callable[[Streams], Route[In, Out]],
    values: Values,
    batch: int,
    describe: Callable[[Metrics], None],
) -> None:
    """Run a stage as this process, from settings to the last goodbye. `describe` tells metrics the model in use.

    Raises:
        EmotionError: the server cannot be reached at the start, or the stage cannot be opened.
    """
    link = build(LinkOptions, values)
    service = Service(name, link.slot, build(CommonOptions, values), link.parent)
    service.start()
    describe(service.metrics)
    streams = open_streams(link, service)
    try:
        policy = Policy(batch, link.claim_after, link.max_deliveries, link.max_age)
        Worker(service, streams, stage, route(streams), policy, Watchdog(link.watchdog)).run()
    finally:
        service.close(streams)
