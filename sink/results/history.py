"""What each camera has shown since the run began: counts and mean probabilities, coarser with age. No pictures.

It is kept in Redis in pieces, of which only those that change are written, so that it survives the sink.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.bounds import real, whole
from emotion_stream.sink.results.output import Result

TIERS = ((1, 600), (10, 900), (60, 900), (600, 480))
"""Seconds that a point sums up, and points kept: seconds of ten minutes, ten of 2.5 hours, minutes of 15 hours,
ten of three days. When the last are all taken, each begins to sum up twice as long."""
LARGEST = 256 * 1024
"""Bytes that all of a camera take at the most."""
PIECE = 64
"""Points of a piece."""
MOST_LABELS = 8
MOST_REASONS = 32
MOST_POINTS = 2000
"""Points of an answer."""
_LATEST, _COUNT = 1 << 40, 1 << 53
Fields = dict[str, bytes]


@dataclass(slots=True)
class Point:
    """What happened in one stretch of time.

    Attributes:
        frames, errors, lost: frames shown, of these unreadable ones, and frames that were not shown.
        faces: confirmed faces in them, a face in each frame counted anew.
        most: faces in one frame at the most.
        sums: of each label, the sum of its probability over these faces.
        said: of each label, how many faces it was said of; last, how many were uncertain.
    """

    frames: int = 0
    errors: int = 0
    lost: int = 0
    faces: int = 0
    most: int = 0
    sums: list[float] = field(default_factory=list)
    said: list[int] = field(default_factory=list)

    def join(self, other: "Point") -> None:
        """Add what another stretch holds."""
        for name in ("frames", "errors", "lost", "faces"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.most = max(self.most, other.most)
        self.sums = _added(self.sums, other.sums)
        self.said = _added(self.said, other.said)

    def means(self) -> list[float] | None:
        """The mean probability of each label; None where nobody was seen."""
        return [round(total / self.faces, 3) for total in self.sums] if self.faces and self.sums else None

    def packed(self, index: int) -> list[Any]:
        """As a row of a piece: means in 255ths are as fine as anybody can see."""
        means = bytes(min(255, round(255 * total / self.faces)) for total in self.sums) if self.faces else b""
        return [index, self.frames, self.errors, self.lost, self.faces, self.most, means, self.said]


@dataclass(slots=True)
class _Tier:
    step: int
    kept: int
    points: dict[int, Point] = field(default_factory=dict)

    def at(self, time: float) -> tuple[int, Point]:
        index = int(time // self.step)
        return index, self.points.setdefault(index, Point())


class History:
    """One camera's. `axis` is the clock's time of a live camera, the medium's of a file; it begins anew where the
    axis changes or a file is played again."""

    def __init__(self) -> None:
        self.axis = "clock"
        self.labels: tuple[str, ...] = ()
        self.frames = self.errors = self.missing = 0
        self.dropped: dict[str, int] = {}
        self._last = 0.0
        self._tiers = [_Tier(*tier) for tier in TIERS]
        self._changed: set[str] = set()
        self._gone: set[str] = set()

    def add(self, result: Result) -> None:
        """Take in a frame that was shown."""
        live = result.info.mode == "live"
        axis, time = ("clock", result.info.captured_at) if live else ("medium", result.info.media_time)
        if axis != self.axis or (not live and time < self._last - 1) or not 0 <= time < _LATEST:
            self._begin_anew(axis)
            time = min(max(time, 0.0), _LATEST - 1.0)
        self.labels = result.labels[:MOST_LABELS] or self.labels
        self._last = time
        shown, failed = result.shown, result.outcome.status != "ok"
        self.frames += 1
        self.errors += failed
        own = Point(1, int(failed), 0, len(shown), len(shown))
        for face in shown:
            own.sums = _added(own.sums, face.probabilities[:MOST_LABELS])
            said = [0] * (len(self.labels) + 1)
            said[len(self.labels) if face.uncertain else min(face.label, len(self.labels))] = 1
            own.said = _added(own.said, said)
        self._put(time, own)

    def lost(self, reason: str, count: int) -> None:
        """Take note of frames that will never be shown."""
        if reason == "missing":
            self.missing += count
        elif reason in self.dropped or len(self.dropped) < MOST_REASONS:
            self.dropped[reason] = self.dropped.get(reason, 0) + count
        self._put(self._last, Point(lost=count))

    def between(self, start: float, end: float, most: int) -> tuple[int, list[tuple[float, Point]]]:
        """The points from `start` to `end` on the axis, `most` at the most, as fine as they still are: the seconds
        that each sums up, and when it begins."""
        tiers = [t for t in self._tiers if t.points and min(t.points) * t.step <= max(start, self.first)]
        tier = next((t for t in tiers if (end - start) / t.step <= most), None) or self._tiers[-1]
        until = self._last + 1 if end >= self._last else end
        inside = sorted(i for i in tier.points if start - tier.step < i * tier.step < until)
        by = max(1, -(-(inside[-1] - inside[0] + 1) // most)) if inside else 1
        joined: dict[int, Point] = {}
        for index in inside:
            joined.setdefault(index // by, Point()).join(tier.points[index])
        return tier.step * by, [(float(index * by * tier.step), point) for index, point in joined.items()]

    @property
    def first(self) -> float:
        """When it begins."""
        last = self._tiers[-1]
        return float(min(last.points) * last.step) if last.points else 0.0

    @property
    def last(self) -> float:
        """When the newest frame was."""
        return self._last

    # --- kept in Redis -----------------------------------------------------------------------------------

    def changes(self) -> tuple[Fields, set[str]]:
        """The pieces that have changed since the last call, by name, and the names of those that are gone."""
        written = {name: self._piece(name) for name in self._changed}
        gone, self._gone, self._changed = self._gone - self._changed, set(), set()
        if written:
            head = [self.axis, self.labels, self._last, self.frames, self.errors, self.missing, self.dropped]
            written["head"] = msgpack.packb(head)
        return written, gone

    def pieces(self) -> set[str]:
        """The names of all pieces that may be kept."""
        return {"head", *self._gone, *(_name(tier.step, index) for tier in self._tiers for index in tier.points)}

    @staticmethod
    def restored(pieces: Mapping[str, bytes]) -> "History":
        """From all pieces that are kept.

        Raises:
            DecodeError: they are something else.
        """
        history = History()
        try:
            axis, labels, last, *counts, dropped = _unpack(pieces["head"])
            history.axis = axis if axis == "medium" else "clock"
            history.labels = tuple(str(label)[:64] for label in labels[:MOST_LABELS])
            history._last = real(last, "last", 0, _LATEST)
            history.frames, history.errors, history.missing = (whole(n, "a count", 0, _COUNT) for n in counts)
            history.dropped = {
                str(name)[:64]: whole(n, "a count", 0, _COUNT) for name, n in list(dropped.items())[:MOST_REASONS]
            }
            for name, data in pieces.items():
                if name != "head":
                    history._read(int(name.partition(".")[0]), _unpack(data))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            raise DecodeError(f"not the history of a camera: {type(e).__name__}") from e
        return history

    def _read(self, step: int, rows: Sequence[Any]) -> None:
        tier = next((t for t in self._tiers[:-1] if t.step == step), self._tiers[-1])
        if tier is self._tiers[-1]:
            if step < tier.step or step % tier.step:
                raise ValueError("no such step")
            if step > tier.step:  # it had to become coarser; what is left of the finer one is out of date
                tier.step, tier.points = step, {}
        if not isinstance(rows, list):
            raise ValueError("no rows")
        for index, frames, errors, lost, faces, most, means, said in rows:
            shown, failed, gone, seen, at_once = (
                whole(n, "a count", 0, _COUNT) for n in (frames, errors, lost, faces, most)
            )
            names = [whole(n, "a count", 0, _COUNT) for n in said[: MOST_LABELS + 1]]
            sums = [seen * share / 255 for share in bytes(means)[:MOST_LABELS]]
            place = whole(index, "a place", 0, _LATEST)
            tier.points[place] = Point(shown, failed, gone, seen, at_once, sums, names)
        self._forget_old(tier)

    def _put(self, time: float, own: Point) -> None:
        for tier in self._tiers:
            index, point = tier.at(time)
            point.join(own)
            self._changed.add(_name(tier.step, index))
            self._forget_old(tier)

    def _forget_old(self, tier: _Tier) -> None:
        """Let go of what this tier has no room for; the last one becomes coarser instead."""
        if len(tier.points) <= tier.kept:
            return
        if tier is self._tiers[-1]:
            self._gone |= {_name(tier.step, index) for index in tier.points}
            points, tier.step, tier.points = tier.points, tier.step * 2, {}
            for index, point in points.items():
                tier.points.setdefault(index // 2, Point()).join(point)
            self._changed = {name for name in self._changed if name not in self._gone}
            self._changed |= {_name(tier.step, index) for index in tier.points}
            return
        for index in sorted(tier.points)[: len(tier.points) - tier.kept]:
            del tier.points[index]
            name = _name(tier.step, index)
            if not any(_name(tier.step, i) == name for i in tier.points):
                self._gone.add(name)
                self._changed.discard(name)

    def _piece(self, name: str) -> bytes:
        step, _, number = name.partition(".")
        tier = next(t for t in self._tiers if t.step == int(step))
        first = int(number) * PIECE
        rows = [tier.points[i].packed(i) for i in range(first, first + PIECE) if i in tier.points]
        packed: bytes = msgpack.packb(rows)
        return packed

    def _begin_anew(self, axis: str) -> None:
        self._gone |= {_name(tier.step, index) for tier in self._tiers for index in tier.points}
        self._changed.clear()
        self.axis, self._last = axis, 0.0
        self._tiers = [_Tier(*tier) for tier in TIERS]


class Histories:
    """Those of all cameras of a sink. Its thread writes, any other may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, History] = {}
        self._gone: list[str] = []

    def add(self, result: Result) -> None:
        """Take in a frame that was shown."""
        with self._lock:
            self._of.setdefault(result.info.camera, History()).add(result)

    def lost(self, camera: str, reason: str, count: int) -> None:
        """Take note of frames of a camera that will never be shown."""
        with self._lock:
            self._of.setdefault(camera, History()).lost(reason, count)

    def restore(self, camera: str, pieces: Mapping[str, bytes]) -> None:
        """Go on with what is kept.

        Raises:
            DecodeError: it is something else.
        """
        history = History.restored(pieces)
        with self._lock:
            self._of[camera] = history

    def forget(self, camera: str) -> None:
        """This camera is gone."""
        with self._lock:
            history = self._of.pop(camera, None)
            if history is not None:
                self._gone += [f"{camera}|{name}" for name in history.pieces()]

    def changes(self) -> tuple[Fields, list[str]]:
        """Fields `camera|piece` to write, and to delete."""
        written: Fields = {}
        with self._lock:
            gone, self._gone = self._gone, []
            for camera, history in self._of.items():
                pieces, old = history.changes()
                written |= {f"{camera}|{name}": data for name, data in pieces.items()}
                gone += [f"{camera}|{name}" for name in old]
        return written, [name for name in gone if name not in written]

    def find(self, camera: str) -> History | None:
        """A camera's, for the thread that writes."""
        return self._of.get(camera)

    def told(self, camera: str, start: float | None, end: float | None, most: int) -> dict[str, Any] | None:
        """A camera's history from `start` to `end`, ready for JSON; None where nothing is known of it."""
        with self._lock:
            history = self._of.get(camera)
            if history is None:
                return None
            first = history.first if start is None else start
            last = history.last if end is None else end
            step, points = history.between(first, max(first, last), most)
            return {
                "camera": camera,
                "axis": history.axis,
                "labels": list(history.labels),
                "start": history.first,
                "end": history.last,
                "step": step,
                "points": [_told(time, point) for time, point in points],
                "frames": history.frames,
                "errors": history.errors,
                "dropped": history.dropped,
                "missing": history.missing,
            }


def _told(time: float, point: Point) -> dict[str, Any]:
    return {
        "time": time,
        "frames": point.frames,
        "errors": point.errors,
        "lost": point.lost,
        "faces": point.faces,
        "most": point.most,
        "means": point.means(),
        "said": point.said,
    }


def _name(step: int, index: int) -> str:
    return f"{step}.{index // PIECE}"


def _added(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    if len(a) != len(b):  # another model, or none yet
        return list(b or a)
    return [x + y for x, y in zip(a, b, strict=True)]


def _unpack(data: bytes) -> Any:
    try:
        return msgpack.unpackb(data, max_array_len=4096, max_map_len=MOST_REASONS, max_ext_len=0)
    except msgpack.exceptions.UnpackException as e:
        raise ValueError("no MessagePack") from e
