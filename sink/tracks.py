"""Gives the faces of one camera stable ids from frame to frame."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.messages import Box

MIN_IOU = 0.3
MAX_MISS = 0.5
"""Seconds of media time for which a face may be out of sight and keep its id."""


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a.width * a.height + b.width * b.height - shared)


@dataclass(slots=True)
class _Track:
    id: int
    box: Box
    seen: float


class Tracker:
    """The tracks of one camera, by greedy overlap with the boxes of the last frames."""

    def __init__(self, min_iou: float = MIN_IOU, max_miss: float = MAX_MISS) -> None:
        self._min_iou = min_iou
        self._max_miss = max_miss
        self._tracks: list[_Track] = []
        self._next_id = 1

    def update(self, boxes: Sequence[Box], media_time: float) -> list[int]:
        """The track id of each box, in the order of `boxes`. Ids count from 1 and are never used again.

        `media_time` is seconds in the medium; where it jumps back (a loop, a new epoch), all tracks end.
        """
        self._tracks = [t for t in self._tracks if 0 <= media_time - t.seen <= self._max_miss]
        pairs = sorted(
            (
                (overlap, i, track)
                for i, box in enumerate(boxes)
                for track in self._tracks
                if (overlap := iou(box, track.box)) >= self._min_iou
            ),
            key=lambda pair: (-pair[0], pair[2].id, pair[1]),
        )
        matched: dict[int, _Track] = {}
        taken: set[int] = set()
        for _, i, track in pairs:
            if i not in matched and track.id not in taken:
                matched[i] = track
                taken.add(track.id)
        return [self._assign(matched.get(i), box, media_time) for i, box in enumerate(boxes)]

    def _assign(self, track: _Track | None, box: Box, media_time: float) -> int:
        if track is None:
            track = _Track(self._next_id, box, media_time)
            self._next_id += 1
            self._tracks.append(track)
        track.box, track.seen = box, media_time
        return track.id
