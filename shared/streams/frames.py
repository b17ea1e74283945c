"""What a producer does with the stream `frames`: append, delete, tell how far it is."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ResponseError

from emotion_stream.shared.messages.codec import encode_frame
from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.sound import Sound, encode_sound
from emotion_stream.shared.messages.types import Frame
from emotion_stream.shared.streams import scripts
from emotion_stream.shared.streams.access import Access, LeaseLost
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.progress import Progress

if TYPE_CHECKING:
    import redis

SOUND_BYTES = 8 * 2**20
"""What the sound of all cameras of a shard may take in Redis: about a minute of ten cameras."""
_NUMBER = re.compile("[0-9]{1,15}")
_OUT = re.compile(r"(.*) ([0-9]{1,15}) ([0-9]{1,15})", re.DOTALL)
_FLOWN = re.compile(r"(.*) ([0-9]{1,15}) ([0-9]{1,20}-[0-9]{1,20}) ([0-9]{1,15})", re.DOTALL)


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


@contextlib.contextmanager
def _lease_of(camera: str) -> Iterator[None]:
    """Turns the answer of a script that this camera's lease belongs to another process into `LeaseLost`."""
    try:
        yield
    except ResponseError as e:
        if "LEASELOST" in str(e):
            raise LeaseLost(f"camera {camera} is now in use by another producer") from e
        raise


class Frames(Access):
    """The producer's part of `Streams`."""

    def __init__(self, client: "redis.Redis", keys: Keys) -> None:
        super().__init__(client, keys)
        self._append = client.register_script(scripts.APPEND)
        self._skip = client.register_script(scripts.SKIP)
        self._land = client.register_script(scripts.LAND)

    def position(self, camera: str, epoch: str) -> int:
        """The seq that comes next for this camera in this epoch; 0 if nothing was appended."""
        return _count(self.client.hget(self.keys.progress, f"at|{camera}"), epoch)

    def append_frame(
        self, frame: Frame, token: str, max_entries: int | None = None, ttl: float = 5.0
    ) -> str | None:
        """Append a frame, store the position, renew the lease `camera:<name>`: all or nothing. Frames that it says
        were left out before it are passed over.

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
        args.append(info.seq - info.left_out)
        k = self.keys
        keys = [k.lease(f"camera:{info.camera}"), k.frames, k.progress, k.flight(info.camera)]
        with _lease_of(info.camera):
            made = self._append(keys, [*args, fields[b"h"], fields[b"j"]])
        return made.decode() if made else None

    def append_sound(self, sound: Sound) -> None:
        """Append sound, and let the oldest go. Unlike a frame it is lost where memory is full."""
        fields = encode_sound(sound)
        most = max(1, SOUND_BYTES // len(fields[b"m"]))
        self.client.xadd(self.keys.sound, cast(Any, fields), maxlen=most, approximate=True)

    def skip_frames(self, camera: str, epoch: str, seq: int, next_seq: int, token: str) -> None:
        """Skip live frames from `seq` to below `next_seq` that could not be appended, so that the sink counts them
        as missing. A repeated call changes nothing.

        Raises:
            LeaseLost, RedisError: as `append_frame`.
        """
        keys = [self.keys.lease(f"camera:{camera}"), self.keys.progress]
        with _lease_of(camera):
            self._skip(keys, [token, camera, epoch, seq, next_seq])

    def arrived(self, camera: str, epoch: str) -> tuple[int, int] | None:
        """How many frames of this epoch have come out of the pipeline: the newest that a sink has got, and those
        before it; and how many a sink has got, ever, that had been dropped. None: no sink has told yet."""
        stored = cast(bytes | None, self.client.hget(self.keys.progress, f"out|{camera}")) or b""
        told = _OUT.fullmatch(stored.decode(errors="replace"))
        return (int(told[3]), int(told[2])) if told and told[1] == epoch else None

    def replicated(self, replicas: int, patience: float = 1.0) -> bool:
        """Whether so many replicas have all that this connection has written, within `patience` seconds."""
        return int(self.client.wait(replicas, int(patience * 1000))) >= replicas

    def finish(self, camera: str, epoch: str, count: int) -> None:
        """Say that the source has ended after `count` frames."""
        self.write("HSET", self.keys.progress, f"end|{camera}", f"{epoch} {count}")

    def standing(self, camera: str) -> tuple[str, bool]:
        """The newest epoch of a camera, empty where there is none; and whether its producer has let the camera go
        since. It may have done so before the first frame of that epoch."""
        at, left = cast(
            list[bytes | None], self.client.hmget(self.keys.progress, [f"at|{camera}", f"left|{camera}"])
        )
        epoch, gone = ((told or b"").decode(errors="replace").rpartition(" ")[0] for told in (at, left))
        return gone or epoch, bool(gone)

    def take_on(self, camera: str, *, anew: bool) -> None:
        """Say that a camera is there (again); `anew`: and has not come to its end."""
        self.write("HSET", self.keys.progress, f"left|{camera}", "", *((f"end|{camera}", "") if anew else ()))

    def let_go(self, camera: str, epoch: str, count: int) -> None:
        """Say that a camera is let go for good after `count` frames: sinks forget it when they have shown them."""
        fields = f"left|{camera}", f"{epoch} {count}", f"end|{camera}", "", f"signal|{camera}", ""
        self.write("HSET", self.keys.progress, *fields)

    def tell_signal(self, camera: str, signal: Signal) -> None:
        """Say how a camera does, for sinks to show."""
        self.write("HSET", self.keys.progress, f"signal|{camera}", signal.to_bytes())

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

    def delete_frames(self, ids: Sequence[str]) -> None:
        """Delete frames that are no longer needed."""
        if ids:
            self.client.xdel(self.keys.frames, *ids)


def _count(value: Any, epoch: str) -> int:
    """What is counted for this epoch; 0 where nothing is, or garbage, as the script that appends sees it."""
    stored, _, count = (value or b"").decode(errors="replace").rpartition(" ")
    return int(count) if stored == epoch and _NUMBER.fullmatch(count) else 0
