"""Holds frames back until faces that enter have been found, and follows each back to where it came from.

A detector finds a face some frames after it entered. With `--blur-faces` those frames are shown only when it is
known where the face was in them: from where it was found first, its pixels are looked for in the frame before, and
so on, until it was known already, the scene was cut, or the picture ended.

Whether faces are hidden comes with each frame, because it may be so for one camera only.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from emotion_stream.shared.messages.jpeg import GrayJpeg, JpegError
from emotion_stream.shared.messages.types import Box, FrameInfo
from emotion_stream.sink.order import Released
from emotion_stream.sink.tracking.cuts import Scene
from emotion_stream.sink.tracking.tracks import iou

Gray = npt.NDArray[np.uint8]

LOOK_SECONDS, LOOK_FRAMES = 1.2, 80
"""Lossless: a frame is held until both of the medium have come after it (`benchmarks/video/veil.py`)."""
MOST_FRAMES = 96
"""Frames held of a camera at the most: a lossless producer has 128 on their way."""
IDLE = 5.0
"""Seconds without any news of a lossless camera after which what is held is shown: its producer may be waiting."""
WIDEST = 960
"""Pixels: wider frames are followed at a half, a quarter or an eighth."""
REACH = 0.6
"""How far a face may go between two frames, as a share of its side."""
ALIKE = 0.5
"""Correlation from which on a place shows the same face; below, it is taken to have gone on as before."""
SEEN = 0.25
"""Share of a face's side that must be in the picture for it to be looked for; with less, it goes on as before."""
EDGE = 0.4
"""Share of a face beside an edge that is left out when it is looked for."""
GROWN, GROWTH = 0.25, 0.015
"""By how much a box that is followed is larger than the face, and grows with each frame; shares of its side."""
SAME = 0.45
"""Overlap from which on a box that is known is of the same face, and not of one beside it."""
MEMORY = 1.0
"""Seconds of the medium for which a face that is missed is followed by its pixels."""
LEAST = 4
"""Pixels that there must be at least."""


@dataclass(slots=True, eq=False)
class _Held:
    """A frame that waits. `hidden` grows while later frames come."""

    item: Released
    arrived: float
    jpeg: bytes | None = None
    gray: Gray | None = None
    scale: float = 1.0
    hidden: list[Box] = field(default_factory=list)
    cut: bool = False

    @property
    def time(self) -> float:
        assert self.item.message is not None
        return self.item.message.info.media_time


@dataclass(slots=True)
class _Missed:
    """A face that was found a moment ago: where its pixels were last seen, where it should be, and since when."""

    sharp: _Held
    at: Box
    place: Box
    since: float
    dx: int = 0
    dy: int = 0


@dataclass(slots=True)
class _Lane:
    epoch: str
    missed: list[_Missed] = field(default_factory=list)
    held: deque[_Held] = field(default_factory=deque)
    scene: Scene = field(default_factory=Scene)
    over: bool = False


@dataclass(frozen=True, slots=True)
class Veiled:
    """What is known of a frame when it is shown: its picture, and where else faces are to be hidden. `bare`: none
    are, also not those that were found in it."""

    jpeg: bytes | None = None
    boxes: tuple[Box, ...] = ()
    bare: bool = False


class Veil:
    """The frames of all cameras of a sink that are held back."""

    def __init__(self, blur: bool = True, delay: float = 0.0) -> None:
        """For cameras that say nothing else: whether their faces are hidden, and for how many seconds live frames
        are held back then."""
        self._blur = blur
        self._delay = delay
        self._lanes: dict[str, _Lane] = {}
        self._known: dict[str, Veiled] = {}

    @property
    def holding(self) -> bool:
        """Whether anything waits."""
        return any(lane.held for lane in self._lanes.values())

    def cameras(self) -> set[str]:
        """Those of which something waits."""
        return {camera for camera, lane in self._lanes.items() if lane.held}

    def hides(self, item: Released) -> bool:
        """Whether faces are hidden in this frame."""
        return item.message is not None and self._hides(item.message.info)

    def _hides(self, info: FrameInfo) -> bool:
        own = info.settings.blur_faces
        return self._blur if own is None else own

    def forget(self, camera: str) -> None:
        """This camera is gone, and nothing of it is held back any more."""
        self._lanes.pop(camera, None)

    def take(self, released: Iterable[Released], jpegs: Mapping[str, bytes | None], now: float) -> None:
        """Take in what came into order, with the pictures by frame id, as far as they are wanted."""
        for item in released:
            lane = self._lanes.setdefault(item.camera, _Lane(item.epoch))
            held = _Held(item, now)
            if item.message is None:
                pass
            elif not self._hides(item.message.info):
                lane.missed.clear()
            elif item.message.outcome.status == "ok":
                info = item.message.info
                held.jpeg = jpegs.get(item.message.frame_id)
                held.cut = info.still or item.epoch != lane.epoch or lane.scene.ends(info)
                held.hidden = [face.box for face in item.message.faces]
                if held.jpeg is not None and not info.still:
                    held.gray, held.scale = _gray(held.jpeg, info.width)
                found = list(held.hidden)
                if held.cut:
                    lane.missed.clear()
                else:
                    earlier = [h for h in lane.held if h.item.message is not None]
                    for box in found:
                        _follow_back(held, box, earlier)
                    _follow_on(lane, held, found)
                lane.missed += [_Missed(held, box, box, info.media_time) for box in found]
            lane.epoch, lane.over = item.epoch, False
            lane.held.append(held)

    def end(self, counts: Mapping[str, tuple[str, int]]) -> None:
        """Cameras that have ended, with their epoch and how many frames there are in all: after the last one,
        nothing more is waited for."""
        for camera, (epoch, count) in counts.items():
            lane = self._lanes.get(camera)
            last = next((h.item.message for h in reversed(lane.held) if h.item.message), None) if lane else None
            if lane and last is not None and last.info.epoch == epoch and last.info.seq + 1 >= count:
                lane.over = True

    def due(self, now: float, *, all_of_them: bool = False) -> list[Released]:
        """What may be shown now, in order per camera."""
        out = []
        for lane in self._lanes.values():
            while lane.held and (all_of_them or lane.over or self._is_due(lane, now)):
                held = lane.held.popleft()
                if held.item.message is not None and self.hides(held.item):
                    self._known[held.item.message.frame_id] = Veiled(held.jpeg, tuple(held.hidden))
                out.append(held.item)
        return out

    def lift(self, frame_id: str) -> Veiled:
        """What is known of a frame that is due; once."""
        return self._known.pop(frame_id, Veiled())

    def _is_due(self, lane: _Lane, now: float) -> bool:
        first = lane.held[0]
        message = first.item.message
        if message is None or message.outcome.status != "ok" or message.info.still:
            return True
        if not self._hides(message.info):
            return True
        if any(later.cut for later in list(lane.held)[1:]):
            return True  # who comes after a cut was not there before it
        if message.info.mode == "live":
            own = message.info.settings.blur_delay
            return now - first.arrived >= (self._delay if own is None else own)
        last = next(h for h in reversed(lane.held) if h.item.message is not None)
        enough = last.time - first.time >= LOOK_SECONDS and len(lane.held) > LOOK_FRAMES
        return enough or len(lane.held) > MOST_FRAMES or now - lane.held[-1].arrived > IDLE


def _follow_back(found: _Held, box: Box, earlier: Sequence[_Held]) -> None:
    """Hide in the frames before what was found first in this one, along the way that it came."""
    sharp, at = found, box  # where its pixels were last seen
    place = box
    dx = dy = 0
    for step, held in enumerate(reversed(earlier), 1):
        if any(iou(place, known) >= SAME for known in held.hidden):
            return
        ahead = Box(place.x - dx, place.y - dy, place.width, place.height)
        seen = _find(sharp, at, held, ahead)
        if seen is not None:
            dx, dy = place.x - seen.x, place.y - seen.y
            sharp, at = held, seen
        place = seen or ahead
        width, height = _size(held)
        if not (-place.width < place.x < width and -place.height < place.y < height):
            return  # it came from outside of the picture
        held.hidden.append(_grown(place, GROWN + GROWTH * step))
        if held.cut:
            return


def _follow_on(lane: _Lane, held: _Held, found: Sequence[Box]) -> None:
    """Hide in this frame what was found a moment ago and is missed now, where its pixels are."""
    width, height = _size(held)
    left: list[_Missed] = []
    for face in lane.missed:
        ahead = Box(face.place.x + face.dx, face.place.y + face.dy, face.place.width, face.place.height)
        known = next((box for box in found if iou(ahead, box) >= SAME), None)
        if known is not None or held.time - face.since > MEMORY:
            continue
        seen = _find(face.sharp, face.at, held, ahead)
        if seen is not None:
            face.dx, face.dy = seen.x - face.place.x, seen.y - face.place.y
            face.sharp, face.at = held, seen
        face.place = seen or ahead
        if -face.place.width < face.place.x < width and -face.place.height < face.place.y < height:
            held.hidden.append(_grown(face.place, GROWN))
            left.append(face)
    lane.missed = left


def _find(here: _Held, place: Box, there: _Held, about: Box) -> Box | None:
    """Where the pixels of `place` in one frame are in another, near `about`; None where nothing is alike."""
    if here.gray is None or there.gray is None or here.gray.shape != there.gray.shape:
        return None
    scale = here.scale
    left, top, right, bottom = _inside(place, scale, here.gray.shape)
    least = max(LEAST, SEEN * place.width * scale)
    if right - left < least or bottom - top < least:
        return None
    # Beside an edge, its part farther inside: the rest may be out of the other picture.
    rows, columns = here.gray.shape
    across, down = round(EDGE * (right - left)), round(EDGE * (bottom - top))
    left, right = left + across * (left <= across), right - across * (right >= columns - across)
    top, bottom = top + down * (top <= down), bottom - down * (bottom >= rows - down)
    patch = here.gray[top:bottom, left:right]
    if int(patch.max()) - int(patch.min()) < 8:
        return None
    reach = max(REACH * max(place.width, place.height) * scale, 8.0)
    off_x, off_y = left - place.x * scale, top - place.y * scale
    x, y = about.x * scale + off_x, about.y * scale + off_y
    height, width = there.gray.shape
    x0, y0 = max(0, int(x - reach)), max(0, int(y - reach))
    x1 = min(width, int(x + reach) + patch.shape[1] + 1)
    y1 = min(height, int(y + reach) + patch.shape[0] + 1)
    if x1 - x0 < patch.shape[1] or y1 - y0 < patch.shape[0]:
        return None
    scores = cv2.matchTemplate(there.gray[y0:y1, x0:x1], patch, cv2.TM_CCOEFF_NORMED)
    _, best, _, (at_x, at_y) = cv2.minMaxLoc(scores)
    if best < ALIKE:
        return None
    moved_x, moved_y = x0 + at_x - left, y0 + at_y - top
    return Box(round(place.x + moved_x / scale), round(place.y + moved_y / scale), place.width, place.height)


def _inside(box: Box, scale: float, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The part of a box that lies in the picture: left, top, right, bottom in its pixels."""
    height, width = shape[:2]
    left, top = max(0, round(box.x * scale)), max(0, round(box.y * scale))
    right = min(width, round((box.x + box.width) * scale))
    bottom = min(height, round((box.y + box.height) * scale))
    return left, top, right, bottom


def _size(held: _Held) -> tuple[int, int]:
    assert held.item.message is not None
    info = held.item.message.info
    return info.width, info.height


def _grown(box: Box, share: float) -> Box:
    x, y = round(box.width * share), round(box.height * share)
    return Box(box.x - x, box.y - y, box.width + 2 * x, box.height + 2 * y)


def _gray(jpeg: bytes, width: int) -> tuple[Gray | None, float]:
    """The frame in gray, small enough to be searched quickly, and by what it was scaled."""
    try:
        gray = GrayJpeg(jpeg).reduced(max(1.0, width / WIDEST))
    except JpegError:
        return None, 1.0
    return gray, gray.shape[1] / max(1, width)
