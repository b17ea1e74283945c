"""One connection to the streams of one shard, its leases, and what workers say of themselves.

The classes of this room are put together in `shard.Streams`. Every method is one round trip unless it says
otherwise. Errors of the connection pass through as `redis.exceptions.RedisError`; after one, it is unknown whether
the command ran, so callers read what is pending instead of repeating it.
"""

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ResponseError

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.streams import scripts
from emotion_stream.shared.streams.keys import Keys

if TYPE_CHECKING:
    import redis


class LeaseLost(EmotionError):
    """Somebody else now holds the name of this camera or sink."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a stream as a consumer gets it. `deliveries` counts the times it was handed out before."""

    id: str
    fields: Mapping[bytes, bytes]
    deliveries: int = 0


def id_seconds(stream_id: str) -> float:
    """The server's clock at the moment a stream id was made, in seconds."""
    return int(stream_id.split("-", 1)[0]) / 1000


_OF_RUN = " of run "
_PASS = re.compile(r"@[0-9]{1,9}\Z")


def holding(name: str, run: str) -> str:
    """What a lease says of the process `name` that writes the lossless run `run`."""
    return f"{name}{_OF_RUN}{run}"


def run_of(epoch: str) -> str:
    """The run that a lossless epoch belongs to: a camera that is put back makes a further pass, `run@1`. Pure."""
    return _PASS.sub("", epoch)


class Access:
    """The client of one shard, and its leases. One thread at a time may use it."""

    def __init__(self, client: "redis.Redis", keys: Keys) -> None:
        self.client = client
        self.keys = keys
        self._call = client.register_script(scripts.CALL)
        self._lease = client.register_script(scripts.LEASE)
        self._release = client.register_script(scripts.RELEASE)

    def close(self) -> None:
        """Hang up."""
        self.client.close()

    def write(self, command: str, key: str, *arguments: Any) -> None:
        """Run a command on `key` even when memory is full."""
        whole = arguments if command == "XGROUP" else (key, *arguments)
        self._call([key], [command, *whole])

    def lease(self, name: str, token: str, ttl: float) -> bool:
        """Take or renew the lease `name` for `ttl` seconds. False: somebody else has it."""
        return bool(self._lease([self.keys.lease(name)], [token, int(ttl * 1000)]))

    def release(self, name: str, token: str) -> None:
        """Give the lease back, if it is ours."""
        self._release([self.keys.lease(name)], [token])

    def producing(self, cameras: Collection[str]) -> tuple[str, dict[str, str]]:
        """In which mode frames are written now (empty: by nobody); and those of these cameras that somebody has,
        each with its run as `holding` tells it (empty: not told)."""
        names = sorted(cameras)
        pipeline = self.client.pipeline(transaction=False)
        for name in ("mode", *(f"camera:{camera}" for camera in names)):
            pipeline.get(self.keys.lease(name))
        mode, *holders = [token and token.decode(errors="replace") for token in pipeline.execute()]
        runs = zip(names, holders, strict=True)
        return mode or "", {name: token.partition(_OF_RUN)[2] for name, token in runs if token is not None}

    def length(self, stream: str) -> int:
        """Entries in a stream."""
        return int(self.client.xlen(stream))

    def memory(self) -> tuple[int, int]:
        """Bytes that the server's data take, and may take (0: no limit)."""
        info = self.client.info("memory")
        return int(info["used_memory"]), int(info["maxmemory"])

    def clock_offset(self) -> float:
        """Seconds to add to this machine's clock to get the server's."""
        seconds, micros = self.client.time()
        return seconds + micros / 1e6 - time.time()

    def memory_limit(self) -> int:
        """Bytes of data that the server may hold; 0 where it has no limit or does not say."""
        try:
            return self.memory()[1]
        except ResponseError:
            return 0

    def announce(self, worker: str, description: bytes) -> None:
        """Write what a worker says of itself, for the runner and for the curious."""
        self.write("HSET", self.keys.workers, worker, description)

    def withdraw(self, worker: str) -> None:
        """Remove a worker from the list of workers."""
        self.client.hdel(self.keys.workers, worker)

    def workers(self) -> dict[str, bytes]:
        """What each worker last said of itself, by name. Unchecked bytes."""
        found = cast(dict[bytes, bytes], self.client.hgetall(self.keys.workers))
        return {name.decode(errors="replace"): text for name, text in found.items()}
