"""Sees what changes from frame to frame, and tells it once. Pure: no clock of its own, no files, no network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.bounds import real, text, whole
from emotion_stream.shared.messages.types import MAX_SIDE, Box
from emotion_stream.sink.events.event import UNCERTAIN, Event, Moment, Subject, stamp
from emotion_stream.sink.results.output import Face, Result

COUNTS_EVERY = 60.0
"""Seconds of the medium that one `counts` covers."""
_INSTANT = 1e-6
"""Seconds within which two times are the same: sums of intervals are not exact."""
_VERSION = 1
_MOST_ITEMS = 4096
_MOST_TEXT = 128
_LARGEST = 2**53
_LATEST = 1e12
_GONE = frozenset({"lost", "frozen", "ended"})
"""States of a camera that gives no new picture; in the others it does, or is about to."""


@dataclass(slots=True)
class _Person:
    """A face that is followed: when it was first and last found, how it looked then, and what was told of it.

    Attributes:
        told: whether it was told that it has appeared.
        known, known_since: the emotion that was told last, and since when it is so.
        rival, rival_since: another one that is shown now and was not told yet; empty: none.
    """

    first: Moment
    last: Moment
    subject: Subject
    told: bool = False
    known: str = ""
    known_since: float = 0.0
    rival: str = ""
    rival_since: Moment | None = None


@dataclass(slots=True)
class _Count:
    """What was seen since `start`; `zones` has the tracks that were in each zone."""

    start: Moment
    frames: int = 0
    tracks: set[int] = field(default_factory=set)
    emotions: dict[str, int] = field(default_factory=dict)
    zones: dict[str, set[int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Lane:
    """One camera."""

    epoch: str
    newest: Moment
    count: _Count
    people: dict[int, _Person] = field(default_factory=dict)


class Watcher:
    """The events of all cameras of a sink, from its results in their order.

    Faces count from when they are confirmed. A face that is out of sight has left when its track ends. A cut ends
    tracks, too, and is one event for all of them. Pictures of a folder, and frames too far apart to follow anybody
    in, are counted, but nobody appears or leaves in them.
    """

    def __init__(self, hold: float = 1.0, names: Mapping[str, str] | None = None) -> None:
        """
        Args:
            hold: seconds of the medium for which an emotion must be shown until it has changed.
            names: camera to what people call it, where that is not its id.
        """
        self._hold = hold
        self._names = names or {}
        self._called: dict[str, str] = {}
        self._lanes: dict[str, _Lane] = {}
        self._lost: dict[str, tuple[str, float]] = {}

    def name(self, camera: str) -> str:
        """What people call a camera."""
        return self._names.get(camera) or self._called.get(camera, camera)

    def see(self, result: Result, told_at: float) -> list[Event]:
        """What a result changes. `told_at` is wall-clock seconds. A frame that was not read changes nothing."""
        info = result.info
        self._called[info.camera] = info.called
        if result.outcome.status != "ok":
            return []
        now = Moment(info.epoch, info.seq, info.media_time, info.captured_at)
        lane = self._lanes.get(info.camera)
        events: list[Event] = []
        if lane is None:
            lane = self._lanes[info.camera] = _Lane(info.epoch, now, _Count(now))
            if self._lost.get(info.camera, ("", 0))[0] == "ended":
                events += self.camera_state(info.camera, "live", None, told_at)
        elif lane.epoch != info.epoch or now.time < lane.newest.time:
            events += self._cut(info.camera, lane, now, told_at)
            events += self._counted(info.camera, lane, lane.newest, told_at)
            lane = self._lanes[info.camera] = _Lane(info.epoch, now, _Count(now))
        elif now.time - lane.count.start.time >= COUNTS_EVERY - _INSTANT:
            events += self._counted(info.camera, lane, now, told_at)
            lane.count = _Count(now)
        lane.newest = now
        if result.cut:
            events += self._cut(info.camera, lane, now, told_at)
        if not info.analyzed:  # its faces are where they should be by now, and were not looked for
            lane.count.frames += 1
            return events
        events += self._gone(info.camera, lane, result, told_at)
        if not result.apart:
            for face in result.faces:
                events += self._met(info.camera, lane, face, _subject(result, face), now, told_at)
        self._count(lane.count, result)
        return events

    def ended(self, camera: str, told_at: float) -> list[Event]:
        """A source has come to its end: whoever was there has left, and what was counted is told."""
        lane = self._lanes.pop(camera, None)
        if lane is None:
            return []
        people = [p for p in lane.people.values() if p.told]
        left = [self._left(camera, p, "ended", told_at) for p in people]
        return [*left, *self._counted(camera, lane, lane.newest, told_at)]

    def camera_state(self, camera: str, state: str, reason: str | None, when: float) -> list[Event]:
        """A camera is in this state; may be called as often as one likes.

        Args:
            camera: its id.
            state: `lost`, `frozen` and `ended` are told as `camera_lost`, `live` after them as `camera_back`.
            reason: why, in a few words.
            when: since when, wall-clock seconds since 1970.
        """
        if state in _GONE:
            why = reason or state
            if self._lost.get(camera, ("", 0))[0] == why:
                return []
            self._lost[camera] = why, when
            return [Event("camera_lost", camera, self.name(camera), None, when, more={"reason": why})]
        if state == "live" and self._lost.pop(camera, None) is not None:
            return [Event("camera_back", camera, self.name(camera), None, when)]
        return []

    def forget(self, camera: str) -> None:
        """This camera is gone; should it come back, it is a new one."""
        for known in (self._lanes, self._called, self._lost):
            known.pop(camera, None)

    def lost_at(self, camera: str) -> float:
        """Since when a camera is lost; 0 where it is not."""
        return self._lost.get(camera, ("", 0.0))[1]

    # --- parts -----------------------------------------------------------------------------------------------

    def _cut(self, camera: str, lane: _Lane, now: Moment, told_at: float) -> Iterator[Event]:
        tracks = sorted(track for track, person in lane.people.items() if person.told)
        lane.people.clear()
        if tracks:
            yield Event("scene_cut", camera, self.name(camera), now, told_at, more={"tracks": tracks})

    def _gone(self, camera: str, lane: _Lane, result: Result, told_at: float) -> Iterator[Event]:
        if not lane.people:
            return
        present = {face.track for face in result.faces}
        present.update(face.track for face in result.unseen)
        for track in [track for track in lane.people if track not in present]:
            person = lane.people.pop(track)
            if person.told:
                yield self._left(camera, person, "unseen", told_at)

    def _left(self, camera: str, person: _Person, reason: str, told_at: float) -> Event:
        stay = person.last.time - person.first.time
        about = self.name(camera), person.last, told_at, person.subject, stay
        return Event("face_left", camera, *about, {"reason": reason})

    def _met(
        self, camera: str, lane: _Lane, face: Face, subject: Subject, now: Moment, told_at: float
    ) -> Iterator[Event]:
        label = subject.label
        person = lane.people.get(face.track)
        if person is None:
            person = lane.people[face.track] = _Person(now, now, subject)
        person.last, person.subject = now, subject
        if not face.confirmed:
            return
        if not person.told:
            person.told, person.known, person.known_since = True, label, person.first.time
            known_for = now.time - person.first.time
            yield Event("face_appeared", camera, self.name(camera), person.first, told_at, subject, known_for)
            return
        if label in (person.known, UNCERTAIN):
            person.rival, person.rival_since = "", None
            return
        if label != person.rival or person.rival_since is None:
            person.rival, person.rival_since = label, now
        since = person.rival_since
        if now.time - since.time >= self._hold - _INSTANT:
            before, lasted = person.known, since.time - person.known_since
            person.known, person.known_since, person.rival, person.rival_since = label, since.time, "", None
            about = self.name(camera), since, told_at, subject, lasted
            more = {"from": before, "to": label, "since": stamp(since.captured_at)}
            yield Event("emotion_changed", camera, *about, more)

    def _count(self, count: _Count, result: Result) -> None:
        count.frames += 1
        for name, _ in result.info.settings.zones:
            count.zones.setdefault(name, set())
        for face in result.shown:
            label = _label(result, face)
            count.emotions[label] = count.emotions.get(label, 0) + 1
            for tracks in (count.tracks, *(count.zones[name] for name in result.zones(face) or ())):
                if len(tracks) < _MOST_ITEMS:
                    tracks.add(face.track)

    def _counted(self, camera: str, lane: _Lane, end: Moment, told_at: float) -> Iterator[Event]:
        count = lane.count
        if count.frames:
            emotions = dict(sorted(count.emotions.items(), key=lambda item: (-item[1], item[0])))
            more = {"frames": count.frames, "people": len(count.tracks), "emotions": emotions}
            if count.zones:
                more["in_zones"] = {name: len(tracks) for name, tracks in count.zones.items()}
            span = max(0.0, end.time - count.start.time)
            yield Event("counts", camera, self.name(camera), count.start, told_at, None, span, more)

    # --- what a successor needs ------------------------------------------------------------------------------

    def state(self, camera: str) -> bytes:
        """All that is known of a camera: a watcher that resumes with it tells exactly what this one would."""
        lane = self._lanes.get(camera)
        if lane is None:
            return b""
        count = lane.count
        people = [
            [
                *(_packed(p.first), _packed(p.last)),
                *(p.subject.track, *_sides(p.subject.box), p.subject.label, p.subject.probability),
                *(p.told, p.known, p.known_since, p.rival, p.rival_since and _packed(p.rival_since)),
                p.subject.zones,
            ]
            for p in lane.people.values()
        ]
        zones = {name: list(tracks) for name, tracks in count.zones.items()}
        counted = [_packed(count.start), count.frames, list(count.tracks), count.emotions, zones]
        packed: bytes = msgpack.packb([_VERSION, lane.epoch, _packed(lane.newest), counted, people])
        return packed

    def resume(self, camera: str, state: bytes) -> None:
        """Continue with what `state` gave.

        Raises:
            DecodeError: it is something else.
        """
        if not state:
            return
        try:
            told = msgpack.unpackb(state, max_array_len=_MOST_ITEMS, max_map_len=_MOST_ITEMS, max_ext_len=0)
            version, epoch, newest, (start, frames, tracks, emotions, *more), people = told
            if version != _VERSION:
                raise DecodeError(f"the state of events is not of version {_VERSION}")
            epoch = _text(epoch)
            count = _Count(_moment(epoch, start), whole(frames, "frames", 0, _LARGEST))
            count.tracks = {whole(track, "track", 0, _LARGEST) for track in tracks}
            count.emotions = {_text(name): whole(n, "a count", 0, _LARGEST) for name, n in emotions.items()}
            for name, seen in (more[0] if more else {}).items():  # earlier versions knew no zones
                count.zones[_text(name)] = {whole(track, "track", 0, _LARGEST) for track in seen}
            lane = _Lane(epoch, _moment(epoch, newest), count)
            for row in people:
                person = _person(epoch, row)
                lane.people[person.subject.track] = person
        except DecodeError:
            raise
        except (ValueError, TypeError, AttributeError, RecursionError, msgpack.exceptions.UnpackException) as e:
            raise DecodeError(f"not the state of events: {type(e).__name__}") from e
        self._lanes[camera] = lane


def _label(result: Result, face: Face) -> str:
    return UNCERTAIN if face.uncertain else result.labels[face.label]


def _subject(result: Result, face: Face) -> Subject:
    return Subject(face.track, face.box, _label(result, face), face.confidence, result.zones(face))


def _sides(box: Box) -> tuple[int, int, int, int]:
    return box.x, box.y, box.width, box.height


def _packed(moment: Moment) -> list[Any]:
    return [moment.seq, moment.time, moment.captured_at]


def _moment(epoch: str, packed: Any) -> Moment:
    seq, time, captured_at = packed
    return Moment(epoch, whole(seq, "seq", 0, _LARGEST), _number(time), _number(captured_at))


def _person(epoch: str, row: Any) -> _Person:
    first, last, track, x, y, width, height, label, probability, *rest = row
    told, known, since, rival, rival_since, *more = rest
    zones = tuple(map(_text, more[0])) if more and more[0] is not None else None
    box = Box(*(whole(side, "a box", -2 * MAX_SIDE, 2 * MAX_SIDE) for side in (x, y, width, height)))
    subject = Subject(
        whole(track, "track", 0, _LARGEST), box, _text(label), real(probability, "label", 0, 1), zones
    )
    began = None if rival_since is None else _moment(epoch, rival_since)
    times = _moment(epoch, first), _moment(epoch, last)
    return _Person(*times, subject, bool(told), _text(known), _number(since), _text(rival), began)


def _number(value: object) -> float:
    return real(value, "a time", -_LATEST, _LATEST)


def _text(value: object) -> str:
    return text(value, "a name", _MOST_TEXT)
