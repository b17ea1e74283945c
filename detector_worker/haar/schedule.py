"""When which part of a video's picture is scanned, so that no frame waits for a full scan. Pure functions.

A cycle of `scan_every` frames looks everywhere: three times for larger faces, for which a coarse and cheap search
is enough, and once for small ones, strip by strip. In the cycle after a search of everything small ones are left
out, so one that was missed then may wait for two cycles. No turn takes more than about an eighth of a full scan.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from emotion_stream.detector_worker.haar.cascade import LARGE, MEDIUM, SMALL, Sizes
from emotion_stream.shared.messages.types import Box, FrameInfo

SLACK = 15
"""Frames that a turn may be overdue: another detector may be at it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A search for faces of some `sizes` in strip `part` of `parts`; None: a closer look at known faces."""

    sizes: Sizes | None
    part: int = 0
    parts: int = 1


def _third(number: int) -> tuple[Turn, ...]:
    one, two = (Turn(SMALL, 2 * number + n, 6) for n in (0, 1))
    return Turn(LARGE), one, Turn(MEDIUM), two, Turn(None)


TURNS = (*_third(0), *_third(1), *_third(2))
"""A cycle."""


def due(info: FrameInfo, scanned: int, every: int) -> Sequence[Turn]:
    """The turns that fall on this frame; cameras begin at different frames.

    When the last frame with a turn, `scanned`, is too long ago, because the frame whose turn it was is lost, a
    turn comes at once.
    """
    count = len(TURNS)
    place = (info.seq + zlib.crc32(info.camera.encode())) % every
    first = place * count // every
    turns = TURNS[first : (place + 1) * count // every]
    if not turns and info.seq - scanned >= every // count + SLACK:
        return TURNS[first : first + 1]
    return turns


def worth(turns: Sequence[Turn], seq: int, whole: int, every: int) -> Sequence[Turn]:
    """Those of the turns that fall on the frame `seq` which are to be taken. In the cycle after the frame `whole`,
    from which on everything was searched at once, small faces are left out: they cost most."""
    if abs(seq - whole) < every:
        return tuple(turn for turn in turns if turn.sizes is not SMALL)
    return turns


def split(area: Box, parts: int, margin: int) -> Sequence[Box]:
    """`area` in strips across its longer side. They overlap by `margin`, so that a face of that size lies wholly
    in one of them."""
    longer = max(area.width, area.height)
    strips = []
    for part in range(parts):
        start = max(0, part * longer // parts - margin // 2)
        length = min(longer, (part + 1) * longer // parts + (margin + 1) // 2) - start
        if area.width >= area.height:
            strips.append(Box(area.x + start, area.y, length, area.height))
        else:
            strips.append(Box(area.x, area.y + start, area.width, length))
    return strips
