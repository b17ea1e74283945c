"""Searching a video frame by frame: near known faces, where something moved, and by turns everywhere."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from emotion_stream.detector_worker import motion
from emotion_stream.detector_worker.boxes import overlap, rescale
from emotion_stream.detector_worker.contract import Gray
from emotion_stream.detector_worker.haar import schedule
from emotion_stream.detector_worker.haar.cascade import (
    LARGE,
    MEDIUM,
    MIDDLE,
    QUICK,
    SMALL,
    THOROUGH,
    Face,
    FaceFinder,
    Near,
    Sizes,
    suppress,
)
from emotion_stream.detector_worker.haar.memory import Known, Memory
from emotion_stream.shared.messages import scene
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.types import Box, FrameInfo
from emotion_stream.shared.settings.options import DetectorOptions

REACH = 1.6
"""Side of the square searched for a known face, in sides of its box."""
SPEED = 2.0
"""By how much that square grows for each second since the face was seen: about as fast as people walk."""
WIDEST = 3.0
"""The largest it gets, in sides of the box."""
LOST = 1.0
"""Seconds of the medium after which a face that was not found again is forgotten."""
EAGER = 3
"""Misses after which a face is searched only in every second frame."""
GAP = 1.0
"""Seconds of the medium between two frames above which nothing can be predicted."""
SLOW = 0.38
"""Seconds between the frames of a medium from which on each of them is scanned as a whole: there is time for it,
and people come and go between two of them."""
WAYS = (QUICK, MIDDLE, THOROUGH)
"""How a known face is searched, one after the other; one that was missed before, by the last only."""
MOST_DOUBTS = 2
"""Times in a row that a known face may fail a closer look: after that it is not believed any more."""
MOTION_EVERY = 0.15
"""Seconds of the medium between two searches of what moved: meanwhile its parts grow together."""
MOTION_SHARE = 0.2
"""What such searches may cost for each second of the medium, in scans of the whole picture."""
AT_ONCE = 0.15
"""What they may cost in one frame; the rest comes with the next ones. With less, small faces are cut too often."""
RESERVE = 0.2
"""Credit that is kept for areas that were not searched within the last second, so that a curtain in the wind does
not use it all up."""
SAME = 0.3
"""Overlap from which on a box that was found is taken for a known face."""
CALM = 1.0
"""Seconds without a cut after which the next one has its scene searched as a whole."""
MOST_TODO = 64
"""Areas that wait to be searched."""
MOST_MOVED = 0.7
"""Fraction of the picture from which on searching what moved means searching everything."""


class Searcher:
    """Finds faces in the frames of videos. Remembers nothing itself: what is known of a camera comes and goes with
    each frame."""

    def __init__(self, finder: FaceFinder, options: DetectorOptions, crop_side: float) -> None:
        """`crop_side`: pixels of a face from which on it need not be seen at full resolution."""
        self._finder = finder
        self._options = options
        self._finest = max(crop_side, THOROUGH.side)

    def scan(self, jpeg: GrayJpeg) -> list[Face]:
        """All faces of a picture, in pixels of the picture, the surest first.

        Raises:
            JpegError: it cannot be decoded.
        """
        gray = self._for_scan(jpeg)
        return _in_frame(self._finder.find(gray), gray, jpeg)

    def search(self, jpeg: GrayJpeg, info: FrameInfo, memory: Memory | None) -> tuple[list[Face], Memory]:
        """The faces of a frame, in pixels of the frame, the surest first, and what to remember.

        Raises:
            JpegError: the frame cannot be decoded.
        """
        if memory is None and info.mode == "live" and info.interval < SLOW:
            return self._bit_by_bit(jpeg, info)
        if memory is None or not _helps(memory, jpeg, info):
            return self._everywhere(jpeg, info)
        hides = self._finder.ignored.hides
        if any(hides(face.box, jpeg.width, jpeg.height) for face in memory.faces):  # it was not so a moment ago
            kept = tuple(f for f in memory.faces if not hides(f.box, jpeg.width, jpeg.height))
            memory = replace(memory, faces=kept)
        return self._in_places(jpeg, info, memory)

    def detail(self, jpeg: GrayJpeg, info: FrameInfo, memory: Memory | None) -> float:
        """How many times smaller the frame's picture may be where `search` begins with this memory. Pure."""
        if memory is None or not _helps(memory, jpeg, info):
            return 1 / self._scale(jpeg)
        return self._detail(jpeg, memory, self._turns(info, memory)[1])

    def _detail(self, jpeg: GrayJpeg, memory: Memory, turns: Sequence[schedule.Turn]) -> float:
        if memory.todo or turns:
            return 1 / self._scale(jpeg)  # it is needed anyway: better than to decode twice
        longer = max(jpeg.width, jpeg.height)
        smallest = min((min(f.box.width, f.box.height) for f in memory.faces), default=longer)
        return min(smallest / self._finest, jpeg.for_thumbnail)

    def _everywhere(self, jpeg: GrayJpeg, info: FrameInfo) -> tuple[list[Face], Memory]:
        """Scan the whole picture, knowing nothing."""
        faces = self.scan(jpeg)  # first, at the size that has been decoded ahead
        return self._settled(info, self._first(jpeg, info), faces, ())

    def _bit_by_bit(self, jpeg: GrayJpeg, info: FrameInfo) -> tuple[list[Face], Memory]:
        """Begin to search the whole picture, knowing nothing, and go on with it in the next frames. Live cameras
        begin at once, and what is new of one must not keep the others waiting."""
        self._for_scan(jpeg)  # first, as it has been decoded ahead
        memory = replace(self._first(jpeg, info), whole=self._long_ago(info))
        if not scene.flat(memory.look):  # else it begins with what can be seen first
            memory = self._anew(jpeg, memory, memory.look)
        found, memory = self._do(jpeg, memory, ())
        return self._settled(info, memory, found, ())

    def _first(self, jpeg: GrayJpeg, info: FrameInfo) -> Memory:
        """What to remember of a first frame, but for its faces."""
        cells = jpeg.thumbnail()
        return Memory(
            info.epoch,
            info.seq,
            info.media_time,
            jpeg.width,
            jpeg.height,
            info.seq,
            # A film that fades in, and a camera that has just been switched on, show nothing at first.
            self._long_ago(info) if scene.flat(cells) else info.seq,
            (),
            cells,
            (),
            (),
            1.0,
            info.media_time,
            cells,
        )

    def _anew(self, jpeg: GrayJpeg, memory: Memory, now: scene.Thumbnail) -> Memory:
        """Plan to look everywhere, whatever has been searched before and what it has cost."""
        fresh = replace(memory, searched=(), credit=1.0)
        planned = self._where_moved(jpeg, fresh, now, np.ones_like(now, np.bool_))
        return replace(planned, credit=memory.credit)

    def _in_places(self, jpeg: GrayJpeg, info: FrameInfo, memory: Memory) -> tuple[list[Face], Memory]:
        """Look for known faces where they were, and for new ones where it is their turn or something moved."""
        is_turn, turns = self._turns(info, memory)
        gray = jpeg.reduced(self._detail(jpeg, memory, turns))
        now = jpeg.thumbnail()
        cut = scene.cut(now, memory.look, info.media_time - memory.media_time)
        # The new scene is searched as a whole, a part in each frame, whatever motion has cost before; but flicker
        # and noise, which are one cut after another, are not.
        anew = cut and abs(info.media_time - memory.cut) >= CALM
        doubt = any(turn.sizes is None for turn in turns)
        faces, kept = self._near(gray, jpeg, info, memory.faces, doubt)
        for turn in turns:
            faces += self._by_turns(jpeg, turn, faces)

        people = [*(face.box for face in memory.faces), *(box for box, _ in faces)]
        covered = motion.cells_of(people, jpeg.width, jpeg.height, now.shape)
        before = np.where(covered, now, memory.thumbnail)
        earned = MOTION_SHARE * max(0.0, info.media_time - memory.media_time)
        after = replace(
            memory,
            seq=info.seq,
            media_time=info.media_time,
            scanned=info.seq if is_turn else memory.scanned,
            thumbnail=before,
            look=memory.look if scene.flat(now) else now,
            searched=tuple(s for s in memory.searched if abs(info.media_time - s[0]) < 1),
            credit=min(1.0, memory.credit + earned),
            cut=info.media_time if cut else memory.cut,
            whole=self._long_ago(info) if cut else memory.whole,  # what was searched is not shown any more
        )
        if anew:
            after = replace(self._anew(jpeg, after, now), whole=info.seq)
        if not turns:
            if not after.todo and all(abs(info.media_time - at) >= MOTION_EVERY for at, _ in after.searched):
                after = self._where_moved(jpeg, after, now, scene.moved(now, before))
            found, after = self._do(jpeg, after, faces)
            faces += found
        return self._settled(info, after, faces, kept)

    def _turns(self, info: FrameInfo, memory: Memory) -> tuple[bool, Sequence[schedule.Turn]]:
        """Whether parts of the scan of everything fall on this frame, and those of them that are searched."""
        every = self._options.scan_every
        fallen = schedule.due(info, memory.scanned, every)
        return bool(fallen), schedule.worth(fallen, info.seq, memory.whole, every)

    def _long_ago(self, info: FrameInfo) -> int:
        """A seq for `Memory.whole`: all turns are taken again."""
        return info.seq - self._options.scan_every

    def _by_turns(self, jpeg: GrayJpeg, turn: schedule.Turn, known: Sequence[Face]) -> list[Face]:
        """The faces that a part of the scan of everything finds."""
        if turn.sizes is None:
            return []
        whole = Box(0, 0, jpeg.width, jpeg.height)
        margin = round(self._finder.widest(turn.sizes) / self._scale(jpeg))
        return self._find(jpeg, schedule.split(whole, turn.parts, margin)[turn.part], turn.sizes, known)

    def _where_moved(self, jpeg: GrayJpeg, memory: Memory, now: scene.Thumbnail, moved: scene.Mask) -> Memory:
        """Plan where to look for new faces because something moved, as far as the budget allows."""
        if self._finder.ignored:
            moved = moved & ~self._finder.ignored.cells(moved.shape)
        cells, searched, credit = memory.thumbnail.copy(), list(memory.searched), memory.credit
        todo: list[tuple[Sizes, Box]] = []
        columns = now.shape[1]
        whole = Box(0, 0, columns, now.shape[0])
        margin = math.ceil(self._finder.widest(SMALL) / self._scale(jpeg) / jpeg.width * columns)
        for area in (whole,) if np.count_nonzero(moved) > MOST_MOVED * moved.size else motion.areas(moved):
            # Faces of all sizes first; where it goes on moving, larger ones and small ones in turns.
            before = sum(overlap(area, other) > SAME for _, other in memory.searched)
            share = area.width * area.height / moved.size
            wanted = [(sizes, area) for sizes in (LARGE, MEDIUM) if before % 2 == 1 or not before]
            if before % 2 == 0:
                parts = math.ceil(share * SMALL.cost / AT_ONCE)
                wanted += [(SMALL, part) for part in schedule.split(area, parts, margin)]
            cost = share * sum(sizes.cost for sizes in {sizes for sizes, _ in wanted})
            if cost <= credit - RESERVE * (before > 0):
                credit -= cost
                todo += wanted
                cells[_slices(area)] = now[_slices(area)]
                searched.append((memory.media_time, area))
        return replace(
            memory, thumbnail=cells, searched=tuple(searched), credit=credit, todo=tuple(todo[:MOST_TODO])
        )

    def _do(self, jpeg: GrayJpeg, memory: Memory, known: Sequence[Face]) -> tuple[list[Face], Memory]:
        """Search the next of the areas that are to be searched, as many as one frame may take."""
        faces: list[Face] = []
        shape, spent = memory.thumbnail.shape, 0.0
        todo = list(memory.todo)
        while todo:
            sizes, area = todo[0]
            spent += area.width * area.height / memory.thumbnail.size * sizes.cost
            if spent > AT_ONCE and len(todo) < len(memory.todo):
                break
            part = motion.in_pixels(area, shape, jpeg.width, jpeg.height)
            faces += self._find(jpeg, part, sizes, [*known, *faces])
            del todo[0]
        return faces, replace(memory, todo=tuple(todo))

    def _settled(
        self, info: FrameInfo, memory: Memory, faces: Iterable[Face], kept: Iterable[Known]
    ) -> tuple[list[Face], Memory]:
        """Each face once, and a memory with these and with known faces that are none of them."""
        found = suppress(tuple(faces))[: self._options.max_faces]
        doubts = {face.box: face.doubts for face in kept}
        known = [Known(box, info.media_time, 0, doubts.get(box, 0)) for box, _ in found]
        missed = [face for face in kept if face.misses and not _among(face.box, found)]
        return found, replace(memory, faces=(*known, *missed)[: self._options.max_faces])

    def _near(
        self, gray: Gray, jpeg: GrayJpeg, info: FrameInfo, known: Iterable[Known], doubt: bool
    ) -> tuple[list[Face], list[Known]]:
        """Search near known faces. Returns the faces found, in pixels of the frame, and the known faces: with new
        boxes where they were found, without those that have been lost for long. With `doubt`, look closely and
        drop a known face that has often failed that look."""
        faces: list[Face] = []
        kept: list[Known] = []
        for face in known:
            gone = abs(info.media_time - face.seen)
            reach = min(WIDEST, REACH + SPEED * gone)
            found = self._look(gray, jpeg, face, reach, (self._finder.sure,)) if doubt else []
            doubts = 0 if found else face.doubts + doubt
            if doubts > MOST_DOUBTS:
                continue
            if not found and (face.misses <= EAGER or info.seq % 2 == 0):
                found = self._look(gray, jpeg, face, reach, WAYS[-1:] if face.misses else WAYS)
            faces += found
            kept += [Known(box, info.media_time, 0, doubts) for box, _ in found]
            if not found and gone <= LOST:
                kept.append(replace(face, misses=face.misses + 1, doubts=doubts))
        return faces, kept

    def _look(self, gray: Gray, jpeg: GrayJpeg, face: Known, reach: float, ways: Iterable[Near]) -> list[Face]:
        """The face near its last place, by the first way that finds it."""
        scale = gray.shape[1] / jpeg.width
        box = rescale(face.box, scale, scale, gray.shape[1], gray.shape[0])
        for how in ways:
            found = self._finder.find_near(gray, box, reach, how)
            if found:
                return _in_frame(found, gray, jpeg)
        return []

    def _scale(self, jpeg: GrayJpeg) -> float:
        """Pixels of a scan for one of the frame."""
        return min(1.0, self._options.scan_width / jpeg.width) if self._options.scan_width else 1.0

    def _for_scan(self, jpeg: GrayJpeg) -> Gray:
        """The frame at a resolution that suffices to scan it."""
        return jpeg.reduced(1 / self._scale(jpeg))

    def _find(self, jpeg: GrayJpeg, area: Box, sizes: Sizes, known: Sequence[Face]) -> list[Face]:
        """Faces of some sizes in an area, all in pixels of the frame; see `FaceFinder.find_sizes`."""
        gray = self._for_scan(jpeg)
        height, width = gray.shape
        scale = width / jpeg.width
        part = rescale(area, scale, scale, width, height)
        there = [(rescale(box, scale, scale, width, height), weight) for box, weight in known]
        return _in_frame(self._finder.find_sizes(sizes, gray, part, self._scale(jpeg) / scale, there), gray, jpeg)


def _helps(memory: Memory, jpeg: GrayJpeg, info: FrameInfo) -> bool:
    """Whether the memory is of this very medium, and of about this time, and frames follow each other quickly."""
    same = (memory.epoch, memory.width, memory.height) == (info.epoch, jpeg.width, jpeg.height)
    fits = memory.thumbnail.shape == scene.shape(jpeg.width, jpeg.height)
    close = info.interval < SLOW and abs(info.media_time - memory.media_time) <= GAP
    return same and fits and close


def _in_frame(faces: Iterable[Face], gray: Gray, jpeg: GrayJpeg) -> list[Face]:
    """Faces found in `gray`, with their boxes in pixels of the frame."""
    height, width = gray.shape
    if (width, height) == (jpeg.width, jpeg.height):
        return list(faces)
    x, y = jpeg.width / width, jpeg.height / height
    return [(rescale(box, x, y, jpeg.width, jpeg.height), weight) for box, weight in faces]


def _among(box: Box, faces: Iterable[Face]) -> bool:
    return any(overlap(box, other) > SAME for other, _ in faces)


def _slices(area: Box) -> tuple[slice, slice]:
    return slice(area.y, area.y + area.height), slice(area.x, area.x + area.width)
