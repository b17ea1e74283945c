"""Names of the keys in Redis. All keys of one shard share a hash tag, so they fall in one slot of a cluster."""

import itertools
from dataclasses import dataclass
from functools import cache

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot


@cache
def shard_tag(shard: int, shards: int) -> str:
    """The hash tag of shard `shard` of `shards`: the first one whose slot lies in that n-th part of the slots."""
    low = shard * REDIS_CLUSTER_HASH_SLOTS // shards
    high = (shard + 1) * REDIS_CLUSTER_HASH_SLOTS // shards
    candidates = (f"{shard}.{n}" for n in itertools.count())
    return next(tag for tag in candidates if low <= key_slot(tag.encode()) < high)


def shard_of(camera: str, shards: int) -> int:
    """The shard that a camera belongs to, from 0."""
    return key_slot(camera.encode()) % shards


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one shard of one namespace."""

    namespace: str
    shard: int = 0
    shards: int = 1

    def name(self, what: str) -> str:
        """The full key of something in this shard."""
        return f"{self.namespace}:{{{shard_tag(self.shard, self.shards)}}}:{what}"

    @property
    def slot(self) -> int:
        """The slot of a cluster that all keys lie in."""
        return int(key_slot(shard_tag(self.shard, self.shards).encode()))

    @property
    def frames(self) -> str:
        """Stream: frames with their JPEGs."""
        return self.name("frames")

    @property
    def faces(self) -> str:
        """Stream: what detectors found."""
        return self.name("faces")

    @property
    def emotions(self) -> str:
        """Stream: what classifiers found."""
        return self.name("emotions")

    @property
    def sound(self) -> str:
        """Stream: the sound of cameras, where it is wanted."""
        return self.name("sound")

    @property
    def dead(self) -> str:
        """Stream: dead letters."""
        return self.name("dead")

    @property
    def progress(self) -> str:
        """Hash: how far producers and sinks are."""
        return self.name("progress")

    @property
    def stats(self) -> str:
        """Hash: the statistics of each sink."""
        return self.name("stats")

    @property
    def hints(self) -> str:
        """Hash: what detectors remember of each camera."""
        return self.name("hints")

    @property
    def tracks(self) -> str:
        """Hash: the tracks of each camera, per sink."""
        return self.name("tracks")

    @property
    def history(self) -> str:
        """Hash of what sinks have shown of each camera: `sink|camera|piece`."""
        return self.name("history")

    @property
    def workers(self) -> str:
        """Hash: what each worker says of itself."""
        return self.name("workers")

    def flight(self, camera: str) -> str:
        """List: a camera's frames under way."""
        return self.name(f"flight:{camera}")

    def lease(self, name: str) -> str:
        """String: who holds a lease."""
        return self.name(f"lease:{name}")
