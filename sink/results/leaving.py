"""Cameras that their producers have let go for good: a sink forgets them when it has shown what they sent."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.types import FrameInfo
from emotion_stream.shared.streams.progress import Progress
from emotion_stream.shared.streams.shard import Streams


@runtime_checkable
class Leaving(Protocol):
    """An output that holds something for each camera."""

    def let_go(self, camera: str) -> None:
        """This camera is gone: finish its files, and show it no more. It may come back."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A camera that was let go after `count` frames of its last epoch."""

    camera: str
    epoch: str
    count: int

    def missing(self, position: tuple[str, int] | None) -> int:
        """How many of its frames never came; `position`: epoch and seq behind the last one that was shown."""
        return max(0, self.count - position[1]) if position and position[0] == self.epoch else 0


class Departures:
    """Remembers whose departure was taken note of. A camera that comes back has another epoch."""

    def __init__(self) -> None:
        self._gone: dict[str, str] = {}

    def new(self, left: Mapping[str, tuple[str, int]], under_way: Collection[str]) -> list[Departure]:
        """Those that are to be forgotten now: not while frames of them are still `under_way` to the outputs."""
        found = [
            Departure(camera, epoch, count)
            for camera, (epoch, count) in left.items()
            if self._gone.get(camera) != epoch and camera not in under_way
        ]
        self._gone |= {departure.camera: departure.epoch for departure in found}
        return found

    def has(self, info: FrameInfo) -> bool:
        """Whether this frame comes after the departure of its camera: too late."""
        return self._gone.get(info.camera) == info.epoch


def present(streams: Streams, progress: Progress, heard: Collection[str]) -> dict[str, Signal]:
    """How the cameras do that are there: those that were `heard` of by results, and those that somebody has. A
    server remembers others, of producers that have ended."""
    silent = progress.signals.keys() - set(heard)
    there = streams.producing(silent)[1].keys() if silent else silent
    return {camera: told for camera, told in progress.signals.items() if camera in heard or camera in there}
