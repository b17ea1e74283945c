"""When a film's picture is searched as a whole: a part at a time, so that no frame waits for long. Pure functions.

A cycle of `scan_every` frames looks everywhere. Large faces need a coarse search only, a fraction of the cost, so
that one comes between any two parts of the fine one, which goes through the picture strip by strip.
"""

import zlib
from collections.abc import Sequence

from shared.messages import Box, FrameInfo

STRIPS = 3
"""Parts of the fine search."""
TURNS = 2 * STRIPS
"""Searches in a cycle: turn 0, 2, .. looks for large faces everywhere, turn 1, 3, .. for small ones in a strip."""
SLACK = 15
"""Frames that a turn may be overdue: another detector may be at it."""


def due(info: FrameInfo, scanned: int, every: int) -> Sequence[int]:
    """The turns, 0 to TURNS - 1, that come with this frame; cameras begin at different frames.

    When the last frame with a turn, `scanned`, is too long ago, because the frame whose turn it was is lost, a
    turn comes at once.
    """
    now = info.seq + zlib.crc32(info.camera.encode())
    place = now % every
    turns = range(place * TURNS // every, (place + 1) * TURNS // every)
    if not turns and info.seq - scanned >= every // TURNS + SLACK:
        return (place * TURNS // every,)
    return turns


def is_coarse(turn: int) -> bool:
    """Whether this turn is about large faces, in the whole picture."""
    return turn % 2 == 0


def strip(turn: int, width: int, height: int, margin: int) -> Box:
    """Where a fine turn looks, in a picture of `width` x `height` pixels. Strips lie across the longer side and
    overlap by `margin` pixels, so that a face of that size lies wholly in one of them."""
    part, longer = turn // 2, max(width, height)
    start = max(0, part * longer // STRIPS - margin // 2)
    stop = min(longer, (part + 1) * longer // STRIPS + (margin + 1) // 2)
    if width >= height:
        return Box(start, 0, stop - start, height)
    return Box(0, start, width, stop - start)
