"""Gives the faces of one camera stable ids from frame to frame.

Boxes are matched greedily by their overlap with where each track should be by now (constant velocity, as in SORT,
Bewley et al. 2016), enlarged first, so that a face may move by most of its size between two frames (as in C-BIoU,
Yang et al. 2023). All times are media time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from emotion_stream.shared.messages.types import MAX_SIDE, Box

MIN_OVERLAP = 0.3
ENLARGED = 0.25
"""How much boxes are enlarged on each side before their overlap is measured, as a fraction of the side."""
MAX_MISS = 1.0
"""Seconds for which a confirmed face may be out of sight and keep its id."""
COAST = 0.3
"""Seconds for which a face out of sight is thought to go on moving."""
FOLLOW = 0.6
"""Share of the way to a newly found box that a track's own place goes: the detector's boxes tremble."""
VELOCITY_HALF_LIFE = 0.2


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A track is confirmed once it was found in `hits` of its last `window` frames, and stays so."""

    hits: int
    window: int


@dataclass(slots=True)
class Track:
    """One face over time: centre and size in pixels, velocity in pixels a second.

    `recent` has a bit for each of the last frames, set where the face was found; `seen` is when it last was.
    """

    id: int
    x: float
    y: float
    width: float
    height: float
    seen: float
    vx: float = 0.0
    vy: float = 0.0
    recent: int = 0
    confirmed: bool = False

    def at(self, time: float) -> Box:
        """Where the face should be at a time."""
        ahead = min(max(time - self.seen, 0.0), COAST)
        x = self.x + self.vx * ahead - self.width / 2
        y = self.y + self.vy * ahead - self.height / 2
        size = max(1, round(self.width)), max(1, round(self.height))
        return Box(_bounded(x), _bounded(y), *size)

    def found(self, box: Box, time: float) -> None:
        """Go to where the face was found."""
        passed = time - self.seen
        ahead = min(max(passed, 0.0), COAST)
        dx = box.x + box.width / 2 - (self.x + self.vx * ahead)
        dy = box.y + box.height / 2 - (self.y + self.vy * ahead)
        self.x += self.vx * ahead + FOLLOW * dx
        self.y += self.vy * ahead + FOLLOW * dy
        self.width += FOLLOW * (box.width - self.width)
        self.height += FOLLOW * (box.height - self.height)
        if passed > 0:
            share = FOLLOW * (1 - 0.5 ** (passed / VELOCITY_HALF_LIFE)) / passed
            self.vx += share * dx
            self.vy += share * dy
        self.seen = time


class Tracker:
    """The tracks of one camera. `next_id` is the next new track's."""

    def __init__(self, confirmation: Confirmation, next_id: int = 1) -> None:
        self.next_id = next_id
        self.tracks: list[Track] = []
        self._confirmation = confirmation

    def update(
        self, boxes: Sequence[Box], time: float, confirmation: Confirmation | None = None, memory: float = MAX_MISS
    ) -> list[Track]:
        """The track of each box, in the order of `boxes`. Ids count up and are never used again.

        `time` is seconds in the medium; where it jumps back (a loop), all tracks end. `confirmation` is what it
        takes at this frame's rate, if less than usual; `memory`, how many seconds a face may be out of sight.
        """
        needed = confirmation or self._confirmation
        self.tracks = [t for t in self.tracks if 0 <= time - t.seen <= memory]
        matched = self._match(boxes, time)
        for track in self.tracks:
            track.recent = track.recent << 1 & (1 << self._confirmation.window) - 1
        found = [self._found(matched.get(i), box, time, needed) for i, box in enumerate(boxes)]
        self.tracks = [t for t in self.tracks if t.confirmed or t.recent]
        return found

    @property
    def unseen(self) -> list[Track]:
        """The tracks that the last update did not find."""
        return [track for track in self.tracks if not track.recent & 1]

    def _match(self, boxes: Sequence[Box], time: float) -> dict[int, Track]:
        """The track of each box that has one, by the box's place: confirmed tracks choose first."""
        places = [(track, track.at(time)) for track in self.tracks]
        pairs = sorted(
            (
                (not track.confirmed, -overlap, track.id, i, track)
                for i, box in enumerate(boxes)
                for track, place in places
                if (overlap := iou(box, place, ENLARGED)) >= MIN_OVERLAP
            ),
            key=lambda pair: pair[:4],
        )
        matched: dict[int, Track] = {}
        taken: set[int] = set()
        for _, _, _, i, track in pairs:
            if i not in matched and track.id not in taken:
                matched[i] = track
                taken.add(track.id)
        return matched

    def _found(self, track: Track | None, box: Box, time: float, needed: Confirmation) -> Track:
        if track is None:
            centre = box.x + box.width / 2, box.y + box.height / 2
            track = Track(self.next_id, *centre, box.width, box.height, time)
            self.next_id += 1
            self.tracks.append(track)
        else:
            track.found(box, time)
        track.recent |= 1
        recent = track.recent & (1 << needed.window) - 1
        track.confirmed |= recent.bit_count() >= needed.hits
        return track


def iou(a: Box, b: Box, enlarged: float = 0.0) -> float:
    """Intersection over union of two boxes, 0 to 1, each side moved out by this share of the box's side. Pure."""
    width = _common(a.x, a.width, b.x, b.width, enlarged)
    height = _common(a.y, a.height, b.y, b.height, enlarged)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    grown = (1 + 2 * enlarged) ** 2
    return shared / (grown * (a.width * a.height + b.width * b.height) - shared)


def _common(a: int, a_length: int, b: int, b_length: int, enlarged: float) -> float:
    """The length that two stretches share, each moved out at both ends by this share of its length."""
    end = min(a + a_length * (1 + enlarged), b + b_length * (1 + enlarged))
    return end - max(a - a_length * enlarged, b - b_length * enlarged)


def _bounded(value: float) -> int:
    return round(min(max(value, -MAX_SIDE), MAX_SIDE))
