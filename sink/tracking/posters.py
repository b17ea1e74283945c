"""Faces that may be posters: they have not moved at all for minutes, and their picture never changes."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from emotion_stream.shared.messages import scene
from emotion_stream.shared.messages.areas import Polygon
from emotion_stream.shared.messages.geometry import around
from emotion_stream.shared.messages.scene import Gray
from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.results.output import Image, Result

LOOKS = 60
"""How often a face is looked at until it is taken for a poster, at the least."""
SIDE = 24
"""Pixels of the thumbnail of a face: the noise of a camera is averaged away in it, a glance or a breath is not."""
ALIKE = 0.985
"""Correlation from which on two thumbnails show the same. It does not depend on how light it is."""
SHIFT = 0.12
"""How far the centre of a box may be from where it was, and by how much its side may differ, in sides: detectors
are not sure of a box to the pixel."""
LATELY = 5.0
"""Seconds within which a face must have been found to be offered."""
MOST = 64
"""Faces of a camera that are watched."""
MARGIN = 0.15
"""By how much the area around a poster is larger than the face, in sides: its centre is found a little elsewhere
in each frame."""


class Offer(NamedTuple):
    """A face that may be a poster: its track, for how long it has not changed, seconds, and an area around it."""

    track: int
    seconds: float
    area: Polygon


@dataclass(slots=True)
class _Watched:
    """A place with a face: how it looked when it was first seen there, and when it was seen last, media time."""

    track: int
    box: Box
    look: Gray
    since: float
    seen: float


@dataclass(slots=True)
class _Lane:
    epoch: str
    looked: float = -math.inf
    places: list[_Watched] = field(default_factory=list)


class Posters:
    """Watches the faces of all cameras. A place counts, not a track: a face that is not found for a while, because
    somebody stands before it, is the same afterwards."""

    def __init__(self, after: float) -> None:
        """`after`: seconds of the medium without any change; 0: nothing is ever offered."""
        self._after = after
        self._lanes: dict[str, _Lane] = {}

    def see(self, result: Result, image: Image | None) -> tuple[Offer, ...] | None:
        """Look at a frame, `[height, width, 3]`. Returns what is to be offered now; None where nothing was looked
        at: it is too soon, there is no picture, or nobody was searched in it."""
        info = result.info
        if not self._after or image is None or not info.analyzed or result.outcome.status != "ok":
            return None
        lane = self._lanes.get(info.camera)
        if lane is None or lane.epoch != info.epoch or info.media_time < lane.looked:
            lane = self._lanes[info.camera] = _Lane(info.epoch)
        if result.apart:
            lane.places.clear()
            return ()
        if info.media_time - lane.looked < self._after / LOOKS:
            return None
        lane.looked = info.media_time
        for face in result.shown:
            _look(lane, face.track, face.box, image, info.media_time)
        lane.places = [place for place in lane.places if info.media_time - place.seen <= self._after][:MOST]
        return tuple(
            Offer(place.track, info.media_time - place.since, around(place.box, MARGIN, info.width, info.height))
            for place in lane.places
            if info.media_time - place.since >= self._after and info.media_time - place.seen <= LATELY
        )

    def forget(self, camera: str) -> None:
        """Begin anew with a camera: its picture stands still as a whole."""
        self._lanes.pop(camera, None)


def _look(lane: _Lane, track: int, box: Box, image: Image, now: float) -> None:
    for place in lane.places:
        if _near(place.box, box):
            look = _thumbnail(image, place.box)  # of the same pixels: only what is in them may differ
            if look is None or scene.correlation(look, place.look) < ALIKE:
                break
            place.track, place.seen = track, now
            return
    else:
        place = None
    look = _thumbnail(image, box)
    if place is not None:
        lane.places.remove(place)
    if look is not None:
        lane.places.append(_Watched(track, box, look, now, now))


def _near(a: Box, b: Box) -> bool:
    side = max(a.width, a.height)
    apart = math.hypot(a.x + a.width / 2 - b.x - b.width / 2, a.y + a.height / 2 - b.y - b.height / 2)
    return apart <= SHIFT * side and abs(max(b.width, b.height) - side) <= 2 * SHIFT * side


def _thumbnail(image: Image, box: Box) -> Gray | None:
    """The part of a picture in gray, `[SIDE, SIDE]`; None where it lies outside."""
    part = image[max(0, box.y) : max(0, box.y + box.height), max(0, box.x) : max(0, box.x + box.width)]
    if not part.size:
        return None
    few = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(few, cv2.COLOR_BGR2GRAY), np.uint8)
