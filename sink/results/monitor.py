"""Outputs that people watch while it runs: they are also told how the pipeline does."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from redis.exceptions import ResponseError

from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.types import FrameInfo
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.results.history import Histories
from emotion_stream.sink.results.kept import Kept
from emotion_stream.sink.results.output import Output
from emotion_stream.sink.results.stats import Stats


@dataclass(frozen=True, slots=True)
class Report:
    """How the pipeline does, about once a second.

    Attributes:
        stats: counts since the start of the run; the sink goes on counting in it.
        lag: seconds that the stages are behind what is captured.
        ended: cameras whose source has ended and all of whose frames are shown.
        signals: how each camera does, as its producer tells it.
        kept: what is kept of the results; None: they are not kept in order.
    """

    stats: Stats
    lag: float
    ended: Collection[str]
    signals: Mapping[str, Signal] = field(default_factory=dict)
    kept: Kept | None = None


def behind(streams: Streams, hops: Iterable[tuple[str, str]]) -> float:
    """Seconds that groups are behind, one after the other; `hops`: stream and group. A stream that does not exist
    counts nothing."""
    seconds = 0.0
    for stream, group in hops:
        with suppress(ResponseError):
            seconds += streams.lag(stream, group).seconds
    return seconds


@runtime_checkable
class Remembering(Protocol):
    """An output that can show what has been since the run began."""

    def remember(self, histories: Histories) -> None:
        """Called once, after it was opened; the sink goes on writing there."""


@runtime_checkable
class Keeping(Protocol):
    """An output that keeps the files of the others in order."""

    def look(self) -> None:
        """Remove what has to go. Takes a fraction of a second."""

    def kept(self) -> Kept:
        """What there is now."""


def kept(outputs: Iterable[object]) -> Kept | None:
    """Let everything go that has to. Returns what there is then; None: nothing is kept in order."""
    told = None
    for output in outputs:
        if isinstance(output, Keeping):
            output.look()
            told = output.kept()
    return told


@runtime_checkable
class Monitor(Output, Protocol):
    """An output that is watched. Its methods are called by one thread."""

    def wants_image(self, info: FrameInfo) -> bool:
        """Whether the picture of this frame is worth fetching; asked once per frame, instead of `needs_image`."""

    def lost(self, camera: str, reason: str, count: int) -> None:
        """Frames of a camera that will never be shown: dropped for a reason, or `missing`."""

    def report(self, report: Report) -> None:
        """Take note of how the pipeline does."""
