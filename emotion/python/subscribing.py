"""How another program takes part in a pipeline that runs: `subscribe`."""

import itertools
import logging
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from redis.exceptions import RedisError, ResponseError

from emotion_stream.emotion.python.results import RULES
from emotion_stream.shared.errors import DecodeError, EmotionError, UsageError
from emotion_stream.shared.log import first_line, redact_url
from emotion_stream.shared.messages.codec import decode_emotions
from emotion_stream.shared.messages.types import CAMERA_NAME
from emotion_stream.shared.streams.access import Entry
from emotion_stream.shared.streams.connection import FIRST_WAIT, LONGEST_WAIT, connect, wait_until_up
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.clock import Clock
from emotion_stream.sink.order import Released, Reorder
from emotion_stream.sink.results.output import Result, as_json
from emotion_stream.sink.tracking.follow import Follower

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that the server has to answer at the start."""
LEASE_SECONDS = 10.0
"""How long a name is held for a program that has not come back for the next result."""
BATCH = 64
BLOCK, BLOCK_HOLDING = 0.5, 0.05
"""Seconds to wait for new results, and while some are held back for a missing one."""
MOST_RUNS = 10


def subscribe(
    redis_url: str = "redis://localhost:6379/0",
    namespace: str = "emotion",
    *,
    name: str,
    password_file: str | None = None,
    hold_back: float = 1.0,
    idle: float | None = None,
    keep: bool = True,
    shard: int = 0,
    shards: int = 1,
    cluster: bool = False,
) -> Iterator[dict[str, Any]]:
    """The results of a pipeline that runs, as its JSON lines have them: in order per camera, followed, averaged.

    It begins with what comes from this call on. `name` is the caller's own place: who comes back with the same
    name goes on where it stopped, up to 20,000 results back. Nobody waits for a subscriber: one that is slower
    than the pipeline for long loses the oldest results. Every subscriber numbers the faces by itself.

    A server that goes away is waited for. Where `emotion run` writes to a server of somebody's, its run is found
    by the beginning of its namespace, and the results end with it.

    Args:
        redis_url: redis://, rediss:// or unix://.
        namespace: the pipeline's `--namespace`.
        name: 1 to 64 letters, digits, '_', '.' or '-'.
        password_file: file with the password.
        hold_back: seconds to wait for a missing frame before later ones are given.
        idle: seconds without a result after which it ends; None: never.
        keep: whether the place is kept when the caller leaves.
        shard, shards, cluster: as the flags of these names.

    Raises:
        EmotionError: the server cannot be reached, several runs fit, or another program has this name.
        UsageError: an argument is wrong.
    """
    if not CAMERA_NAME.fullmatch(name):
        raise UsageError(f"name={name!r}: use letters, digits, '_', '.' and '-', 64 at the most")
    if not 0 <= shard < shards:
        raise UsageError(f"shard={shard}: it goes from 0 to {shards - 1}")
    keys = Keys(namespace, shard, shards)
    streams = Streams(connect(redis_url, password_file, keys.slot if cluster else None), keys)
    wait_until_up(streams.client, redis_url, PATIENCE, lambda: False)
    streams.keys = _pipeline(streams, keys)
    reader = _Reader(streams, name, hold_back, ends=streams.keys != keys)
    reader.join()
    return _results(reader, idle, keep)


def _pipeline(streams: Streams, keys: Keys) -> Keys:
    """The keys of the pipeline itself, or of the only run whose namespace begins so.

    Raises:
        EmotionError: there are several.
    """
    if streams.client.exists(keys.emotions, keys.workers):
        return keys
    end = keys.workers.removeprefix(keys.namespace)
    found = streams.client.scan_iter(match=f"{keys.namespace}-*{end}", count=1000)
    runs = [key.decode().removesuffix(end) for key in itertools.islice(found, MOST_RUNS)]
    if len(runs) > 1:
        raise EmotionError(f"several runs fit: name one of them as namespace: {', '.join(sorted(runs))}")
    return replace(keys, namespace=runs[0]) if runs else keys


class _Reader:
    """One subscriber: its place, and what it holds back until it is in order."""

    def __init__(self, streams: Streams, name: str, hold_back: float, *, ends: bool) -> None:
        self._streams = streams
        self._name = name
        self._ends = ends
        self._token = secrets.token_hex(8)
        self._order = Reorder(hold_back)
        self._follower = Follower(RULES)
        self._clock = Clock()
        self._group = ""
        self._after = "0"
        self._used: list[str] = []

    def join(self) -> None:
        """
        Raises:
            EmotionError: another program has this name.
        """
        deadline = time.monotonic() + LEASE_SECONDS + 1
        while not self._hold():
            if time.monotonic() > deadline:
                raise EmotionError(f"another program reads as {self._name!r}: choose another name")
            time.sleep(0.2)
        self._group = self._streams.join_reader(self._streams.keys.emotions, self._name)

    def read(self) -> list[Released]:
        """What has come into order; waits a little. Acknowledges what was given before.

        Raises:
            EmotionError: another program has taken the name.
            EOFError: the run is over.
            RedisError: the server is away.
        """
        streams, stream = self._streams, self._streams.keys.emotions
        if not self._hold():
            raise EmotionError(f"another program reads as {self._name!r} now")
        self.acknowledge()
        try:
            if self._after:
                entries = streams.read_own(stream, self._group, "reader", self._after, BATCH)
                self._after = entries[-1].id if entries else ""
            else:
                block = BLOCK_HOLDING if self._order.holding else BLOCK
                entries = streams.read_new(stream, self._group, "reader", BATCH, block)
        except ResponseError as e:
            if "NOGROUP" not in str(e):
                raise
            if self._ends:
                raise EOFError from None
            self._group = streams.join_reader(stream, self._name)  # the server has lost its memory
            return []
        for entry in entries:
            self._take(entry)
        return self._order.release(time.monotonic())

    def line(self, item: Released) -> dict[str, Any] | None:
        """One result in the form of a JSON line; None for a gap, or a frame that was left out on purpose."""
        self._used.extend(item.ids)
        message = item.message
        if message is None or message.outcome.status == "dropped":
            return None
        faces, unseen, cut, apart = self._follower.follow(message)
        latency = self._clock.age(message.info.captured_at)
        return as_json(Result(message.info, message.outcome, message.labels, faces, latency, unseen, cut, apart))

    def acknowledge(self) -> None:
        """What was given need not be given again."""
        if self._used:
            self._streams.client.xack(self._streams.keys.emotions, self._group, *self._used)
            self._used.clear()

    def again(self) -> None:
        """After the connection was lost: what is pending is read once more."""
        self._after = "0"

    def leave(self, keep: bool) -> None:
        """Give the name back, and the place unless it is kept."""
        try:
            self.acknowledge()
            if not keep:
                self._streams.leave_reader(self._streams.keys.emotions, self._name)
            self._streams.release(self._lease, self._token)
        except RedisError as e:
            log.debug("the place %r could not be left: %s", self._name, e)
        finally:
            self._streams.client.close()

    @property
    def _lease(self) -> str:
        return f"reader:{self._name}"

    def _hold(self) -> bool:
        return self._streams.lease(self._lease, self._token, LEASE_SECONDS)

    def _take(self, entry: Entry) -> None:
        try:
            message = decode_emotions(entry.fields, entry.id)
        except DecodeError as e:
            if entry.fields:  # else it was trimmed since it was handed out
                log.warning("entry %s is not a result: %s", entry.id, e)
            self._used.append(entry.id)
            return
        # A gap is passed over also where the pipeline itself would wait: the frames before may be gone for us.
        passing = replace(message, info=replace(message.info, mode="live"))
        self._order.add(passing, entry.id, time.monotonic())


def _results(reader: _Reader, idle: float | None, keep: bool) -> Iterator[dict[str, Any]]:
    wait, away = FIRST_WAIT, False
    last = time.monotonic()
    try:
        while True:
            try:
                items = reader.read()
                wait, away = FIRST_WAIT, False
            except EOFError:
                return
            except RedisError as e:
                if not away:
                    log.warning("Redis: %s: trying again", redact_url(first_line(e)))
                away, items = True, []
                reader.again()
                time.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)
            for item in items:
                line = reader.line(item)
                if line is not None:
                    yield line
                    last = time.monotonic()
            if idle is not None and time.monotonic() - last > idle:
                return
    finally:
        reader.leave(keep)
