"""The sound of cameras on its way to outputs: each gets it with the frames that it belongs to."""

import logging
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from redis.exceptions import RedisError

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.sound import Piece, Sound, decode_sound
from emotion_stream.shared.messages.types import FrameInfo
from emotion_stream.shared.streams.access import Entry
from emotion_stream.sink.results.output import Output

log = logging.getLogger(__name__)

LOOK_EVERY = 0.1
"""Seconds between two looks at what has come."""
HELD = 3000
"""Pieces of a camera that wait for their frames, at the most: about a minute."""
EPOCHS = 4
"""Starts of a camera's producer whose frames are waited for, at the most."""


@runtime_checkable
class Hearing(Protocol):
    """An output that wants the sound of cameras."""

    def hear(self, sound: Sound) -> None:
        """Take in sound that belongs to frames up to the one that was written last."""


class Streams(Protocol):
    """What is needed of `shared.streams.Streams`."""

    def read_sound(self, after: str) -> list[Entry]:
        """The sound that came after a stream id, without waiting."""
        ...


class Ears:
    """Reads the sound of a shard's cameras, where an output wants it, and hands it over frame by frame."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._after = "0"
        self._due = 0.0
        self._held: dict[str, dict[str, deque[tuple[bytes, Piece]]]] = defaultdict(dict)

    def hand_on(self, info: FrameInfo, outputs: Sequence[Output]) -> None:
        """Give outputs the sound up to this frame, which they have written."""
        if info.mode != "live":
            return
        hearing = [output for output in outputs if isinstance(output, Hearing)]
        if not hearing:
            return
        self._look()
        epochs = self._held.get(info.camera)
        if not epochs or info.epoch not in epochs:
            return
        while next(iter(epochs)) != info.epoch:
            del epochs[next(iter(epochs))]  # nothing comes of an earlier start any more
        held, pieces = epochs[info.epoch], list[Piece]()
        while held and held[0][1].time <= info.media_time:
            track, piece = held.popleft()
            pieces.append(piece)
            if not held or held[0][0] != track or held[0][1].time > info.media_time:
                for output in hearing:
                    output.hear(Sound(info.camera, info.epoch, track, tuple(pieces)))
                pieces.clear()

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + LOOK_EVERY
        try:
            entries = self._streams.read_sound(self._after)
        except RedisError as e:
            log.debug("no sound: %s", e)  # what comes next on this connection tells
            return
        for entry in entries:
            self._after = entry.id
            try:
                sound = decode_sound(entry.fields)
            except DecodeError as e:
                log.debug("sound: entry %s is not a message (%s)", entry.id, e)
                continue
            epochs = self._held[sound.camera]
            if sound.epoch not in epochs:
                epochs[sound.epoch] = deque(maxlen=HELD)
                if len(epochs) > EPOCHS:
                    del epochs[next(iter(epochs))]
            epochs[sound.epoch].extend((sound.track, piece) for piece in sound.pieces)
