"""Consumer groups: read, take over what others left, and the hop from one stream to the next."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ResponseError

from emotion_stream.shared.streams import hints, scripts
from emotion_stream.shared.streams.access import Access, Entry, id_seconds
from emotion_stream.shared.streams.hints import HINT_SECONDS, Hint
from emotion_stream.shared.streams.keys import Keys

if TYPE_CHECKING:
    import redis

DEAD_LENGTH = 1_000
"""Dead letters kept; older ones go."""
DEAD_BYTES = 1 << 20
"""Dead letters keep their original fields up to this size."""
DEAD_TOTAL = 64 << 20
"""Of dead letters as large as the newest one, so many bytes are kept."""


READER = "reader:"
"""Begins the name of a group of another program, which listens and holds up nobody; no sink can be named so."""
READER_ENTRIES = 20_000
"""Entries that are kept for such a program: it may have gone for good."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker made of one entry: the next stream's `payload` (empty: none) and, when the entry is set
    aside as a dead letter, why."""

    id: str
    payload: bytes = b""
    dead: str = ""
    deliveries: int = 0


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a consumer group is behind: entries never delivered plus unacknowledged ones (None where the
    server cannot tell), and seconds between the newest entry and the newest delivered one."""

    entries: int | None
    seconds: float


class Groups(Access):
    """The worker's part of `Streams`."""

    def __init__(self, client: "redis.Redis", keys: Keys) -> None:
        super().__init__(client, keys)
        self._hop = client.register_script(scripts.HOP)
        self._leave = client.register_script(scripts.LEAVE)
        self._trim = client.register_script(scripts.TRIM)

    def ensure_group(self, stream: str, group: str) -> None:
        """Create the consumer group, and the stream, where they are missing; always from the beginning."""
        try:
            self.write("XGROUP", stream, "CREATE", stream, group, "0", "MKSTREAM")
        except ResponseError as e:
            if "BUSYGROUP" not in str(e):
                raise

    def join_reader(self, stream: str, name: str) -> str:
        """The group of another program, made where it is missing: then it begins with what comes from now on."""
        group = READER + name
        try:
            self.write("XGROUP", stream, "CREATE", stream, group, "$", "MKSTREAM")
        except ResponseError as e:
            if "BUSYGROUP" not in str(e):
                raise
        return group

    def leave_reader(self, stream: str, name: str) -> None:
        """Forget the place of another program."""
        self.write("XGROUP", stream, "DESTROY", stream, READER + name)

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
        """Drop entries that every group of the stream has acknowledged; other programs' groups that are more than
        READER_ENTRIES behind are not waited for."""
        self._trim([stream], [READER_ENTRIES])

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


def _entries(reply: Any) -> list[Entry]:
    return [Entry(i.decode(), fields or {}) for _, entries in reply or () for i, fields in entries]
