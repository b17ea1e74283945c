"""What the Haar search notes of a camera from frame to frame: where faces were, and how the rest looked.

A prediction, never the truth: it may be lost, late, or from another detector.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgpack
import numpy as np
from msgpack.exceptions import UnpackException

from emotion_stream.detector_worker.haar.cascade import LARGE, MEDIUM, SMALL, Sizes
from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.scene import Thumbnail
from emotion_stream.shared.messages.types import MAX_SIDE, Box

VERSION = 4
SIZES = (SMALL, MEDIUM, LARGE)
"""As they are numbered in what is stored."""
MOST = 2**63
"""All numbers are below: what is above cannot be packed again."""


@dataclass(frozen=True, slots=True)
class Known:
    """A face seen lately: its last box, when it was there (media time, seconds), in how many frames since it was
    searched in vain, and how many closer looks in a row did not find it (`doubts`)."""

    box: Box
    seen: float
    misses: int = 0
    doubts: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of a camera after the frame `seq` of `epoch`, at `media_time` seconds.

    Attributes:
        width, height: of the frame, pixels.
        scanned: seq of the last frame on which a part of the scan of everything fell.
        whole: seq of the last frame from which on everything was searched at once; a cycle before where that
            frame showed nothing, or another scene has begun since.
        faces: where faces were.
        thumbnail: each cell as it was when it was last searched for new faces.
        searched: areas that were searched a moment ago because they moved: when (media time) and
            where (cells).
        todo: areas (cells) that are to be searched for faces of some sizes, in this order, because they moved.
        look: the last frame as it was.
        credit: how much more may be searched for that reason, as a fraction of the whole picture.
        cut: when (media time) the scene changed last.
    """

    epoch: str
    seq: int
    media_time: float
    width: int
    height: int
    scanned: int
    whole: int
    faces: tuple[Known, ...]
    thumbnail: Thumbnail
    searched: tuple[tuple[float, Box], ...]
    todo: tuple[tuple[Sizes, Box], ...]
    credit: float
    cut: float
    look: Thumbnail

    def to_bytes(self) -> bytes:
        """About 1,200 bytes, and 30 for each face."""
        place = [self.epoch, self.seq, self.media_time, self.width, self.height]
        head = [VERSION, *place, self.scanned, self.whole, self.credit, self.cut]
        faces = [[*_numbers(f.box), f.seen, f.misses, f.doubts] for f in self.faces]
        searched = [[*_numbers(box), at] for at, box in self.searched]
        todo = [[*_numbers(box), SIZES.index(sizes)] for sizes, box in self.todo]
        rows, cells = len(self.thumbnail), self.thumbnail.tobytes()
        look = self.look.tobytes()
        packed: bytes = msgpack.packb([*head, faces, searched, todo, rows, cells, look])
        return packed

    @staticmethod
    def from_bytes(data: bytes) -> "Memory":
        """Read what `to_bytes` wrote.

        Raises:
            DecodeError: it is something else.
        """
        try:
            version, epoch, *numbers, faces, searched, todo, rows, cells, look = msgpack.unpackb(
                data, max_array_len=1024, max_map_len=0, max_ext_len=0
            )
            if version != VERSION or not isinstance(epoch, str):
                raise DecodeError("a detector's memory of another version")
            seq, media_time, width, height, scanned, whole, credit, cut = _finite(numbers)
            known = []
            for x, y, w, h, seen, misses, doubts in map(_finite, faces):
                known.append(Known(_box(x, y, w, h), seen, int(misses), int(doubts)))
            areas = [(at, _box(x, y, w, h)) for x, y, w, h, at in map(_finite, searched)]
            parts = [(SIZES[int(n)], _box(x, y, w, h)) for x, y, w, h, n in map(_finite, todo)]
            thumbnail = np.frombuffer(cells, np.uint8).reshape(rows, -1)
            last = np.frombuffer(look, np.uint8).reshape(thumbnail.shape)
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError, UnpackException) as e:
            raise DecodeError(f"not a detector's memory: {type(e).__name__}") from e
        return Memory(
            epoch,
            int(seq),
            media_time,
            int(width),
            int(height),
            int(scanned),
            int(whole),
            tuple(known),
            thumbnail,
            tuple(areas),
            tuple(parts),
            credit,
            cut,
            last,
        )


def _numbers(box: Box) -> tuple[int, int, int, int]:
    return box.x, box.y, box.width, box.height


def _finite(values: Sequence[float]) -> Sequence[float]:
    if not all(abs(v) < MOST for v in values):  # false for what is not a number, too
        raise ValueError("not a number that can be stored again")
    return values


def _box(x: float, y: float, width: float, height: float) -> Box:
    if not (0 <= x < MAX_SIDE and 0 <= y < MAX_SIDE and 1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError("a box outside of any picture")
    return Box(int(x), int(y), int(width), int(height))
