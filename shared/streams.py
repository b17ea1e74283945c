"""The only place with stream commands and scripts.

Every method is one round trip. Errors of the connection pass through as `redis.exceptions.RedisError`; after
one, it is unknown whether the command ran, so callers read what is pending instead of repeating it.
"""

import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ResponseError

from shared import hints, scripts
from shared.codec import encode_frame
from shared.errors import EmotionError
from shared.hints import HINT_SECONDS, Hint
from shared.keys import Keys
from shared.messages import Fields, Frame
from shared.progress import Progress

if TYPE_CHECKING:
    import redis

DEAD_LENGTH = 1_000
"""Dead letters kept; older ones go."""
DEAD_BYTES = 1 << 20
"""Dead letters keep their original fields up to this size."""
DEAD_TOTAL = 64 << 20
"""Of dead letters as large as the newest one, so many bytes are kept."""
DEAD_DAYS = 7
"""After a run on somebody else's server, its dead letters are kept for so long."""
LIVE_RESULTS = 20_000
"""Live mode: small messages kept in `faces` and `emotions` when nobody reads them."""


_NUMBER = re.compile("[0-9]{1,15}")
_FLOWN = re.compile(r"(.*) ([0-9]{1,15}) ([0-9]{1,20}-[0-9]{1,20}) ([0-9]{1,15})", re.DOTALL)


class LeaseLost(EmotionError):
    """Somebody else now holds the name of this camera or sink."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a stream as a consumer gets it. `deliveries` counts the times it was handed out before."""

    id: str
    fields: Mapping[bytes, bytes]
    deliveries: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker made of one entry: the next stream's `payload` (empty: none) and, when the entry is set
    aside as a dead letter, why."""

    id: str
    payload: bytes = b""
    dead: str = ""
    deliveries: int = 0


@dataclass(frozen=True, slots=True)
class Flown:
    """A lossless frame on its way: what identifies it, its stream id, and the bytes of its JPEG."""

    epoch: str
    seq: int
    id: str
    size: int

    def __str__(self) -> str:
        """As it stands in the list of those on their way."""
        return f"{self.epoch} {self.seq} {self.id} {self.size}"

    @staticmethod
    def parse(text: str) -> "Flown | None":
        """None for what is no such entry."""
        match = _FLOWN.fullmatch(text)
        return Flown(match[1], int(match[2]), match[3], int(match[4])) if match else None


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a consumer group is behind: entries never delivered plus unacknowledged ones (None where the
    server cannot tell), and seconds between the newest entry and the newest delivered one."""

    entries: int | None
    seconds: float


def id_seconds(stream_id: str) -> float:
    """The server's clock at the moment a stream id was made, in seconds."""
    return int(stream_id.split("-", 1)[0]) / 1000


class Streams:
    """The streams of one shard, over one client. One thread at a time may use it."""

    def __init__(self, client: "redis.Redis", keys: Keys) -> None:
        self.client = client
        self.keys = keys
        self._call = client.register_script(scripts.CALL)
        self._lease = client.register_script(scripts.LEASE)
        self._release = client.register_script(scripts.RELEASE)
        self._append = client.register_script(scripts.APPEND)
        self._land = client.register_script(scripts.LAND)
        self._hop = client.register_script(scripts.HOP)
        self._shown = client.register_script(scripts.SHOWN)
        self._leave = client.register_script(scripts.LEAVE)
        self._trim = client.register_script(scripts.TRIM)
        self._replay = client.register_script(scripts.REPLAY)

    def _write(self, command: str, key: str, *arguments: Any) -> None:
        """Run a command on `key` even when memory is full."""
        whole = arguments if command == "XGROUP" else (key, *arguments)
        self._call([key], [command, *whole])

    # --- leases ------------------------------------------------------------------------------------------

    def lease(self, name: str, token: str, ttl: float) -> bool:
        """Take or renew the lease `name` for `ttl` seconds. False: somebody else has it."""
        return bool(self._lease([self.keys.lease(name)], [token, int(ttl * 1000)]))

    def release(self, name: str, token: str) -> None:
        """Give the lease back, if it is ours."""
        self._release([self.keys.lease(name)], [token])

    # --- producer ----------------------------------------------------------------------------------------

    def position(self, camera: str, epoch: str) -> int:
        """The seq that comes next for this camera in this epoch; 0 if nothing was appended."""
        return _count(self.client.hget(self.keys.progress, f"at|{camera}"), epoch)

    def append_frame(
        self, frame: Frame, token: str, max_entries: int | None = None, ttl: float = 5.0
    ) -> str | None:
        """Append a frame, store the position, renew the lease `camera:<name>`: all or nothing.

        Returns:
            The stream id, or None if a frame with this seq has been appended before.

        Raises:
            LeaseLost: the lease is not held by `token` (any more).
            RedisError: among others when frames before this one are unknown to the server, because it was
                flushed: read `position` again.
        """
        fields = encode_frame(frame)
        info = frame.info
        args: list[Any] = [token, int(ttl * 1000), info.camera, info.epoch, info.seq, max_entries or 0]
        k = self.keys
        keys = [k.lease(f"camera:{info.camera}"), k.frames, k.progress, k.flight(info.camera)]
        try:
            made = self._append(keys, [*args, fields[b"h"], fields[b"j"]])
        except ResponseError as e:
            if "LEASELOST" in str(e):
                raise LeaseLost(f"camera {info.camera} is now in use by another producer") from e
            raise
        return made.decode() if made else None

    def replicated(self, replicas: int, patience: float = 1.0) -> bool:
        """Whether so many replicas have all that this connection has written, within `patience` seconds."""
        return int(self.client.wait(replicas, int(patience * 1000))) >= replicas

    def finish(self, camera: str, epoch: str, count: int) -> None:
        """Say that the source has ended after `count` frames."""
        self._write("HSET", self.keys.progress, f"end|{camera}", f"{epoch} {count}")

    def done(self, camera: str, epoch: str) -> int | None:
        """Frames that every registered sink has shown: all below this seq. None: no sink is registered."""
        # Without the statistics: they are what a producer may not read.
        progress = Progress.parse(cast(dict[bytes, bytes], self.client.hgetall(self.keys.progress)))
        sinks = progress.sinks
        if not sinks:
            return None
        return min(progress.shown.get((sink, camera, epoch), 0) for sink in sinks)

    def flight(self, camera: str) -> list["Flown"]:
        """The lossless frames of a camera that were appended and have not landed, of all epochs, in order."""
        found = cast(list[bytes], self.client.lrange(self.keys.flight(camera), 0, -1))
        return [flown for text in found if (flown := Flown.parse(text.decode(errors="replace")))]

    def land(self, camera: str, frames: Sequence["Flown"]) -> None:
        """Delete lossless frames that are no longer needed."""
        if frames:
            self._land([self.keys.frames, self.keys.flight(camera)], [str(f) for f in frames])

    def memory_limit(self) -> int:
        """Bytes of data that the server may hold; 0 where it has no limit or does not say."""
        try:
            return self.memory()[1]
        except ResponseError:
            return 0

    def delete_frames(self, ids: Sequence[str]) -> None:
        """Delete frames that are no longer needed."""
        if ids:
            self.client.xdel(self.keys.frames, *ids)

    # --- consumer groups ---------------------------------------------------------------------------------

    def ensure_group(self, stream: str, group: str) -> None:
        """Create the consumer group, and the stream, where they are missing; always from the beginning."""
        try:
            self._write("XGROUP", stream, "CREATE", stream, group, "0", "MKSTREAM")
        except ResponseError as e:
            if "BUSYGROUP" not in str(e):
                raise

    def read_new(self, stream: str, group: str, consumer: str, count: int, block: float | None) -> list[Entry]:
        """Entries that nobody got yet; waits up to `block` seconds for the first (None: not at all)."""
        block_ms = None if block is None else max(1, int(block * 1000))
        return self._read(stream, group, consumer, ">", count, block_ms)

    def read_hinted(
        self, stream: str, group: str, consumer: str, count: int, block: float
    ) -> tuple[list[Entry], dict[str, Hint]]:
        """As `read_new`, with the hints about all cameras as they are at that moment, in the same round trip."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.xreadgroup(group, consumer, {stream: ">"}, count=count, block=max(1, int(block * 1000)))
        pipeline.hgetall(self.keys.hints)
        reply, table = cast(Any, pipeline.execute())
        return _entries(reply), hints.parse(table)

    def forget_hints(self, cameras: Sequence[str]) -> None:
        """Delete what was noted of these cameras."""
        if cameras:
            self.client.hdel(self.keys.hints, *cameras)

    def read_own(self, stream: str, group: str, consumer: str, after: str, count: int) -> list[Entry]:
        """Entries that `consumer` got but did not acknowledge, behind the id `after`. Entries that were trimmed
        meanwhile come with no fields."""
        return self._read(stream, group, consumer, after, count, None)

    def _read(
        self, stream: str, group: str, consumer: str, after: str, count: int, block_ms: int | None
    ) -> list[Entry]:
        reply = cast(Any, self.client.xreadgroup(group, consumer, {stream: after}, count=count, block=block_ms))
        return _entries(reply)

    def recover(
        self,
        stream: str,
        group: str,
        consumer: str,
        count: int,
        *,
        idle: float | None = None,
        skip: Collection[str] = (),
    ) -> list[Entry]:
        """Take over entries that were delivered but not acknowledged, each with its count of deliveries so far.

        Without `idle`: what `consumer` itself left behind. With `idle`: what anybody has not acknowledged for
        that many seconds. Ids in `skip` are left alone. Two round trips. Entries that were trimmed meanwhile are
        forgotten by the server.
        """
        idle_ms = None if idle is None else int(idle * 1000)
        pending = cast(
            list[dict[str, Any]],
            self.client.xpending_range(
                stream, group, "-", "+", count + len(skip), consumer if idle is None else None, idle_ms
            ),
        )
        deliveries = {
            p["message_id"]: int(p["times_delivered"]) for p in pending if p["message_id"].decode() not in skip
        }
        deliveries = dict(list(deliveries.items())[:count])
        if not deliveries:
            return []
        claimed = cast(
            list[tuple[bytes, dict[bytes, bytes]]],
            self.client.xclaim(stream, group, consumer, idle_ms or 0, list(deliveries)),
        )
        return [Entry(i.decode(), fields or {}, deliveries[i]) for i, fields in claimed if i is not None]

    def hop(
        self,
        source: str,
        group: str,
        target: str,
        results: Sequence[Done],
        *,
        limit: int | None = None,
        notes: Mapping[str, Hint] | None = None,
    ) -> int:
        """Acknowledge inputs and append their results, each only if its acknowledgement counted.

        `limit` bounds the target stream's length (live mode). `notes` about cameras are stored, each unless there
        is one from a newer frame.

        Returns:
            How many acknowledgements counted.
        """
        args: list[Any] = [group, limit or 0, DEAD_LENGTH, DEAD_BYTES, DEAD_TOTAL]
        args += [int(HINT_SECONDS * 1000), len(notes or ())]
        for camera, hint in (notes or {}).items():
            args += [camera, hint.frame_id, hint.data]
        for r in results:
            args += [r.id, r.payload, r.dead, r.deliveries]
        keys = [source, target, self.keys.dead, self.keys.progress]
        if notes:
            keys.append(self.keys.hints)  # only the stages that have hints may touch it
        return int(self._hop(keys, args))

    def leave(self, stream: str, group: str, consumer: str) -> None:
        """Remove a consumer that will not come back, unless it has entries pending."""
        self._leave([stream], [group, consumer])

    def trim_used(self, stream: str) -> None:
        """Drop entries that every group of the stream has acknowledged."""
        self._trim([stream])

    def lag(self, stream: str, group: str) -> Lag:
        """How far the group is behind on the stream."""
        info = self.client.xinfo_stream(stream)
        for g in self.client.xinfo_groups(stream):
            if g["name"].decode() == group:
                newest = id_seconds(info["last-generated-id"].decode())
                delivered = id_seconds(g["last-delivered-id"].decode())
                # A group that was never read from starts at 0-0: its oldest entry tells how far it is behind.
                if delivered == 0 and info["first-entry"]:
                    delivered = id_seconds(info["first-entry"][0].decode())
                waiting = g.get("lag")
                entries = None if waiting is None else int(waiting) + int(g["pending"])
                return Lag(entries, max(0.0, newest - delivered) if delivered else 0.0)
        return Lag(None, 0.0)

    def length(self, stream: str) -> int:
        return int(self.client.xlen(stream))

    def memory(self) -> tuple[int, int]:
        """Bytes that the server's data take, and may take (0: no limit)."""
        info = self.client.info("memory")
        return int(info["used_memory"]), int(info["maxmemory"])

    def clock_offset(self) -> float:
        """Seconds to add to this machine's clock to get the server's."""
        seconds, micros = self.client.time()
        return seconds + micros / 1e6 - time.time()

    # --- sinks -------------------------------------------------------------------------------------------

    def register_sink(self, sink: str) -> None:
        """From now on lossless producers wait for this sink."""
        self._write("HSET", self.keys.progress, f"sink|{sink}", "1")

    def join_sinks(self, sink: str) -> None:
        """Register a sink that has shown nothing in its life, after its group was made. Among others that are
        under way it begins where the slowest of them is: what all of them have shown is gone, and would be waited
        for in vain."""
        progress = self.progress()
        if sink in progress.sinks:
            return
        fields = [f"sink|{sink}", "1"]
        for camera, (epoch, _) in progress.appended.items():
            seq = min((progress.shown.get((other, camera, epoch), 0) for other in progress.sinks), default=0)
            if seq:
                fields += [f"done|{sink}|{camera}", f"{epoch} {seq}"]
        self._write("HSET", self.keys.progress, *fields)

    def fetch_jpegs(self, ids: Sequence[str]) -> list[bytes | None]:
        """The JPEGs of frames by their stream ids; None where the frame is gone."""
        if not ids:
            return []
        pipeline = self.client.pipeline(transaction=False)
        for i in ids:
            pipeline.xrange(self.keys.frames, i, i, count=1)
        replies = cast(list[list[tuple[bytes, Fields]]], pipeline.execute())
        return [reply[0][1].get(b"j") if reply else None for reply in replies]

    def shown(
        self,
        sink: str,
        token: str,
        ids: Iterable[str],
        positions: Mapping[str, tuple[str, int]],
        stats: bytes,
        tracks: Mapping[str, bytes] | None = None,
    ) -> None:
        """Acknowledge what a sink has shown, with its next position (epoch, seq) per camera, its statistics, and
        the state of its tracks per camera.

        Raises:
            LeaseLost: another process than `token` is the active sink now.
        """
        pairs: list[Any] = []
        for camera, (epoch, seq) in positions.items():
            pairs += [f"done|{sink}|{camera}", f"{epoch} {seq}"]
        count = len(pairs) // 2
        for camera, state in (tracks or {}).items():
            pairs += [f"{sink}|{camera}", state]
        k = self.keys
        keys = [k.emotions, k.progress, k.lease(f"sink:{sink}"), k.stats, k.tracks]
        try:
            self._shown(keys, [sink, token, stats, count, len(pairs) // 2 - count, *pairs, *ids])
        except ResponseError as e:
            if "LEASELOST" in str(e):
                raise LeaseLost(f"sink {sink!r} has been taken over by another process") from e
            raise

    def tracks(self, sink: str) -> dict[str, bytes]:
        """The state of a sink's tracks by camera, as it was stored with what was shown last."""
        table = cast(dict[bytes, bytes], self.client.hgetall(self.keys.tracks))
        begin = f"{sink}|"
        named = {key.decode(errors="replace"): state for key, state in table.items()}
        return {key.removeprefix(begin): state for key, state in named.items() if key.startswith(begin)}

    def progress(self) -> Progress:
        """Everything that producers and sinks have told of their progress."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hgetall(self.keys.progress)
        pipeline.hgetall(self.keys.stats)
        return Progress.parse(*pipeline.execute())

    def forget(self) -> None:
        """Delete everything of this shard but its dead letters; those go after a week."""
        k = self.keys
        flights = [k.flight(camera) for camera in self.progress().appended]
        self.client.delete(
            k.frames,
            k.faces,
            k.emotions,
            k.progress,
            k.stats,
            k.tracks,
            k.workers,
            k.hints,
            k.lease("mode"),
            *flights,
        )
        self.client.expire(k.dead, DEAD_DAYS * 86_400)

    # --- dead letters ------------------------------------------------------------------------------------

    def dead_letters(self) -> Iterator[Entry]:
        """All dead letters, the oldest first; a few at a time, because they may hold pictures."""
        after = "-"
        while page := cast(
            list[tuple[bytes, dict[bytes, bytes]]], self.client.xrange(self.keys.dead, after, "+", count=16)
        ):
            yield from (Entry(i.decode(), fields) for i, fields in page)
            after = f"({page[-1][0].decode()}"

    def dead_letter(self, letter: str) -> Entry | None:
        """One dead letter; None if it is not there."""
        found = cast(
            list[tuple[bytes, dict[bytes, bytes]]], self.client.xrange(self.keys.dead, letter, letter, count=1)
        )
        return Entry(found[0][0].decode(), found[0][1]) if found else None

    def drop_letters(self, letters: Sequence[str]) -> int:
        """Delete dead letters; returns how many there were."""
        return int(self.client.xdel(self.keys.dead, *letters)) if letters else 0

    def replay(self, letter: str, stream: str, fields: Fields) -> str | None:
        """Delete a dead letter and append `fields` to `stream`, in one step.

        Returns:
            The new entry's id; None if the letter was not there any more.
        """
        made = self._replay([self.keys.dead, stream], [letter, *(part for f in fields.items() for part in f)])
        return made.decode() if made else None

    # --- workers -----------------------------------------------------------------------------------------

    def announce(self, worker: str, description: bytes) -> None:
        """Write what a worker says of itself, for the runner and for the curious."""
        self._write("HSET", self.keys.workers, worker, description)

    def withdraw(self, worker: str) -> None:
        self.client.hdel(self.keys.workers, worker)

    def workers(self) -> dict[str, bytes]:
        found = cast(dict[bytes, bytes], self.client.hgetall(self.keys.workers))
        return {name.decode(errors="replace"): text for name, text in found.items()}


def _entries(reply: Any) -> list[Entry]:
    return [Entry(i.decode(), fields or {}) for _, entries in reply or () for i, fields in entries]


def _count(value: Any, epoch: str) -> int:
    """What is counted for this epoch; 0 where nothing is, or garbage, as the script that appends sees it."""
    stored, _, count = (value or b"").decode(errors="replace").rpartition(" ")
    return int(count) if stored == epoch and _NUMBER.fullmatch(count) else 0
