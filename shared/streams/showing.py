"""What sinks have shown, and the pictures that they fetch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ResponseError

from emotion_stream.shared.messages.types import Fields
from emotion_stream.shared.streams import scripts
from emotion_stream.shared.streams.access import Access, Entry, LeaseLost
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.progress import Progress

if TYPE_CHECKING:
    import redis

SOUNDS = 256
"""Entries of `sound` that are read at once."""
DEAD_DAYS = 7
"""After a run on somebody else's server, its dead letters are kept for so long."""


class Showing(Access):
    """The sink's part of `Streams`, and the end of a run."""

    def __init__(self, client: "redis.Redis", keys: Keys) -> None:
        super().__init__(client, keys)
        self._shown = client.register_script(scripts.SHOWN)
        self._rewind = client.register_script(scripts.REWIND)

    def register_sink(self, sink: str) -> None:
        """From now on lossless producers wait for this sink."""
        self.write("HSET", self.keys.progress, f"sink|{sink}", "1")

    def join_sinks(self, sink: str) -> None:
        """Register a new sink, after its group was made. If other sinks are at work, it begins where the slowest
        of them is: what all of them have shown is deleted, and would never come."""
        progress = self.progress()
        if sink in progress.sinks:
            return
        fields = [f"sink|{sink}", "1"]
        for camera, (epoch, _) in progress.appended.items():
            seq = min((progress.shown.get((other, camera, epoch), 0) for other in progress.sinks), default=0)
            if seq:
                fields += [f"done|{sink}|{camera}", f"{epoch} {seq}"]
        self.write("HSET", self.keys.progress, *fields)

    def fetch_jpegs(self, ids: Sequence[str]) -> list[bytes | None]:
        """The JPEGs of frames by their stream ids; None where the frame is gone."""
        if not ids:
            return []
        pipeline = self.client.pipeline(transaction=False)
        for i in ids:
            pipeline.xrange(self.keys.frames, i, i, count=1)
        replies = cast(list[list[tuple[bytes, Fields]]], pipeline.execute())
        return [reply[0][1].get(b"j") if reply else None for reply in replies]

    def read_sound(self, after: str) -> list[Entry]:
        """The sound that came after the stream id `after`, without waiting for any."""
        reply = cast(list[Any] | dict[Any, Any], self.client.xread({self.keys.sound: after}, count=SOUNDS))
        found = reply.items() if isinstance(reply, dict) else reply
        return [Entry(i.decode(), fields) for _, entries in found for i, fields in entries]

    def shown(
        self,
        sink: str,
        token: str,
        ids: Iterable[str],
        positions: Mapping[str, tuple[str, int]],
        stats: bytes,
        tracks: Mapping[str, bytes] | None = None,
        arrived: Mapping[str, tuple[str, int, int]] | None = None,
    ) -> None:
        """Acknowledge what a sink has shown, with its next position (epoch, seq) per camera, its statistics, and
        the state of its tracks per camera; `arrived`: the position behind the newest frame that it has got,
        and how many of those that it has got had been dropped.

        Raises:
            LeaseLost: another process than `token` is the active sink now.
        """
        pairs: list[Any] = []
        for camera, (epoch, seq) in positions.items():
            pairs += [f"done|{sink}|{camera}", f"{epoch} {seq}"]
        for camera, (epoch, seq, dropped) in (arrived or {}).items():
            pairs += [f"out|{camera}", f"{epoch} {dropped} {seq}"]
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

    def rewind(self, camera: str, epoch: str) -> None:
        """Frames of this run that were on their way are thrown away: should it be taken up again, its producer
        begins with the first one that a sink has not shown."""
        progress = self.progress()
        shown = min((progress.shown.get((sink, camera, epoch), 0) for sink in progress.sinks), default=0)
        self._rewind([self.keys.progress], [camera, epoch, shown])

    def tracks(self, sink: str) -> dict[str, bytes]:
        """The state of a sink's tracks by camera, as it was stored with what was shown last."""
        table = cast(dict[bytes, bytes], self.client.hgetall(self.keys.tracks))
        begin = f"{sink}|"
        named = {key.decode(errors="replace"): state for key, state in table.items()}
        return {key.removeprefix(begin): state for key, state in named.items() if key.startswith(begin)}

    def drop_tracks(self, sink: str, names: Sequence[str]) -> None:
        """Delete the state of these tracks: their camera was let go."""
        self.write("HDEL", self.keys.tracks, *(f"{sink}|{name}" for name in names))

    def keep_history(self, sink: str, written: Mapping[str, bytes], gone: Sequence[str]) -> None:
        """Keep pieces of a sink's history, by `camera|piece`, and delete others."""
        if written:
            pairs = [part for name, data in written.items() for part in (f"{sink}|{name}", data)]
            self.write("HSET", self.keys.history, *pairs)
        if gone:
            self.write("HDEL", self.keys.history, *(f"{sink}|{name}" for name in gone))

    def history(self, sink: str) -> dict[str, dict[str, bytes]]:
        """What is kept of a sink's history: camera to its pieces."""
        found: dict[str, dict[str, bytes]] = {}
        table = cast(dict[bytes, bytes], self.client.hgetall(self.keys.history))
        for key, data in table.items():
            name, _, rest = key.decode(errors="replace").partition("|")
            camera, _, piece = rest.partition("|")
            if name == sink:
                found.setdefault(camera, {})[piece] = data
        return found

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
            k.history,
            k.workers,
            k.hints,
            k.sound,
            k.lease("mode"),
            *flights,
        )
        self.client.expire(k.dead, DEAD_DAYS * 86_400)
