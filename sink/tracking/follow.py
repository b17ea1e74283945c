"""Follows the faces of every camera: numbers them, confirms them, averages what they show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack

from emotion_stream.shared.errors import DecodeError, UsageError
from emotion_stream.shared.messages.types import MAX_SCENE_BYTES, MAX_SIDE, Emotions, Prediction
from emotion_stream.sink.results.output import Face
from emotion_stream.sink.results.pose import is_turned
from emotion_stream.sink.tracking.cuts import Scene
from emotion_stream.sink.tracking.rate import Pace, Rhythm, pace
from emotion_stream.sink.tracking.smoothing import FLOOR, Average, Run, Smoother
from emotion_stream.sink.tracking.tracks import Confirmation, Track, Tracker

MOST_FRAMES = 60
"""Frames that `--confirm` may look back at."""
_VERSION = 3
_MOST_ITEMS = 4096
_LARGEST = 2**MOST_FRAMES
"""No number of a track or an average is larger."""
_LEAST, _MOST = math.log(FLOOR) - 0.01, 0.01
"""Between these lies every mean of logarithms of probabilities, rounding included."""
_TRACK = len(Track.__dataclass_fields__)
_SMOOTHER = len(Smoother.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Following:
    """How faces are followed.

    Attributes:
        confirmation: what it takes until a face is shown.
        half_life: seconds of media time after which a frame counts half; 0: nothing is averaged.
        uncertain_below: probability below which a label is uncertain; None: none is.
        ask_model: take that from the model instead.
    """

    confirmation: Confirmation
    half_life: float
    uncertain_below: float | None = None
    ask_model: bool = False

    def threshold(self, message: Emotions) -> float | None:
        """The probability below which the labels of this frame are uncertain; None: none is."""
        return message.uncertain_below if self.ask_model else self.uncertain_below


def following(confirm: str, smoothing: float, uncertain: str) -> Following:
    """What the settings of these names mean.

    Raises:
        UsageError: one of them is wrong.
    """
    hits, slash, window = confirm.partition("/")
    if not (slash and hits.isdecimal() and window.isdecimal() and 1 <= int(hits) <= int(window) <= MOST_FRAMES):
        raise UsageError(
            f"--confirm {confirm!r}: name K/N, K of N frames, such as 3/5; N is {MOST_FRAMES} at most"
        )
    confirmation = Confirmation(int(hits), int(window))
    if uncertain in ("auto", "off"):
        return Following(confirmation, smoothing, None, uncertain == "auto")
    try:
        below = float(uncertain)
    except ValueError:
        below = math.nan
    if not 0 <= below <= 1:
        raise UsageError(f"--uncertain {uncertain!r}: name auto, off, or a probability from 0 to 1, such as 0.4")
    return Following(confirmation, smoothing, below)


@dataclass(slots=True)
class _Lane:
    """One camera."""

    epoch: str
    tracker: Tracker
    smoothers: dict[int, Smoother] = field(default_factory=dict)
    rhythm: Rhythm = field(default_factory=Rhythm)
    scene: Scene = field(default_factory=Scene)

    def forget(self) -> None:
        """End all tracks."""
        self.tracker.tracks.clear()
        self.smoothers.clear()

    def carried(self, time: float) -> tuple[tuple[Face, ...], tuple[Face, ...]]:
        """The faces found in the last frame that was searched, and those missed in it, as they should be now."""
        faces = [(track, _remembered(track, self.smoothers[track.id], time)) for track in self.tracker.tracks]
        found = tuple(face for track, face in faces if track.recent & 1)
        return found, tuple(face for track, face in faces if not track.recent & 1)


class Followed(NamedTuple):
    """The faces of a frame in the order of its message, those missed in it (see `Result.unseen`), whether a new
    scene begins with it (`Result.cut`), and whether it stands for itself (`Result.apart`)."""

    faces: tuple[Face, ...] = ()
    unseen: tuple[Face, ...] = ()
    cut: bool = False
    apart: bool = False


class Follower:
    """The faces of all cameras of a sink, frame by frame, in order."""

    def __init__(self, rules: Following) -> None:
        self._rules = rules
        self._lanes: dict[str, _Lane] = {}

    def follow(self, message: Emotions) -> Followed:
        """The faces of a frame and what became of those before.

        A cut ends all tracks: nobody after it is known from before. Stills stand alone, as do the frames of a
        medium that is too slow to follow anybody in: their faces are confirmed at once. A frame that could not be
        processed tells nothing. In a frame that was not searched, the faces of the last one that was are where
        they should be by now.
        """
        info = message.info
        lane = self._lane(info.camera, info.epoch)
        tracker = lane.tracker
        if message.outcome.status != "ok":
            return Followed()
        if not info.analyzed:
            cut = lane.scene.ends(info)
            if cut:
                lane.forget()
            return Followed(*lane.carried(info.media_time), cut)
        below = self._rules.threshold(message)
        here = pace(self._rules.confirmation, lane.rhythm.next(info.media_time, info.interval), info.length)
        cut = not info.still and lane.scene.ends(info)
        if cut:
            lane.forget()
        if info.still or here.apart:
            first = tracker.next_id
            tracker.tracks.clear()
            tracker.next_id += len(message.faces)
            faces = tuple(Face.alone(first + n, found, below) for n, found in enumerate(message.faces))
            return Followed(faces, cut=cut, apart=True)
        boxes = [found.box for found in message.faces]
        tracks = tracker.update(boxes, info.media_time, here.confirmation, here.memory)
        faces = tuple(
            self._face(lane, track, found, info.media_time, below, here)
            for track, found in zip(tracks, message.faces, strict=True)
        )
        lane.smoothers = {track.id: lane.smoothers[track.id] for track in tracker.tracks}
        unseen = tuple(_remembered(track, lane.smoothers[track.id], info.media_time) for track in tracker.unseen)
        return Followed(faces, unseen, cut)

    def _lane(self, camera: str, epoch: str) -> _Lane:
        lane = self._lanes.get(camera)
        if lane is None or lane.epoch != epoch:
            next_id = lane.tracker.next_id if lane else 1
            lane = self._lanes[camera] = _Lane(epoch, Tracker(self._rules.confirmation, next_id))
        return lane

    def _face(
        self, lane: _Lane, track: Track, found: Prediction, time: float, below: float | None, here: Pace
    ) -> Face:
        raw = found.probabilities
        smoother = lane.smoothers.setdefault(track.id, Smoother())
        averaged = smoother.update(raw, time, self._rules.half_life, here.hold)
        doubtful = smoother.doubt(averaged[smoother.label], below)
        uncertain = doubtful or (below is not None and is_turned(found.landmarks))
        return Face(
            track.id,
            found.box,
            found.weight,
            averaged,
            raw,
            smoother.label,
            track.confirmed,
            uncertain,
            landmarks=found.landmarks,
        )

    def forget(self, camera: str) -> None:
        """This camera is gone."""
        self._lanes.pop(camera, None)

    # --- what a successor needs ------------------------------------------------------------------------------

    def state(self, camera: str) -> bytes:
        """All that is known of a camera's faces, a few hundred bytes for each: a follower that resumes with it
        answers exactly as this one would."""
        lane = self._lanes.get(camera)
        if lane is None:
            return b""
        tracks = [[_values(t), _smoother_values(lane.smoothers[t.id])] for t in lane.tracker.tracks]
        head = [_VERSION, lane.epoch, lane.tracker.next_id]
        packed: bytes = msgpack.packb([*head, tracks, _values(lane.rhythm), _values(lane.scene)])
        return packed

    def resume(self, camera: str, state: bytes) -> None:
        """Continue with what `state` gave.

        Raises:
            DecodeError: it is something else.
        """
        if not state:
            return
        try:
            version, *rest = msgpack.unpackb(state, max_array_len=_MOST_ITEMS, max_ext_len=0)
            if version != _VERSION:
                raise DecodeError(f"the state of tracks is not of version {_VERSION}")
            epoch, next_id, rows, (last, recent), (look, time) = rest
            (first,) = _finite([next_id], 1)
            lane = _Lane(str(epoch), Tracker(self._rules.confirmation, int(first)))
            _finite([last, *recent], 1 + len(recent))
            lane.rhythm = Rhythm(float(last), [float(passed) for passed in recent])
            if not isinstance(look, bytes) or len(look) > MAX_SCENE_BYTES:
                raise ValueError("no thumbnail")
            lane.scene = Scene(look, *_finite([time], 1))
            for values, sums in rows:
                track = _track(values)
                lane.tracker.tracks.append(track)
                lane.smoothers[track.id] = _smoother(sums)
        except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as e:
            raise DecodeError(f"not the state of tracks: {type(e).__name__}") from e
        self._lanes[camera] = lane


def _values(of: object) -> list[Any]:
    """The fields of a dataclass, in their order, as they are: `dataclasses.astuple` copies all that is in them,
    which took a tenth of the sink's time."""
    return [getattr(of, name) for name in of.__dataclass_fields__]  # type: ignore[attr-defined]


def _smoother_values(smoother: Smoother) -> list[Any]:
    average, *plain, run, earlier = _values(smoother)
    runs = ([*_values(each)[:-1], _values(each.average)] for each in (run, earlier))
    return [_values(average), *plain, *runs]


def _remembered(track: Track, smoother: Smoother, time: float) -> Face:
    averaged = smoother.average.probabilities()
    about = track.confirmed, smoother.uncertain, time - track.seen
    return Face(track.id, track.at(time), 0.0, averaged, averaged, smoother.label, *about)


def _track(values: Sequence[Any]) -> Track:
    number, x, y, width, height, seen, vx, vy, recent, confirmed = _finite(values, _TRACK)
    if max(abs(x), abs(y)) > 2 * MAX_SIDE or not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ValueError("a face outside of any picture")
    return Track(int(number), x, y, width, height, seen, vx, vy, int(recent), bool(confirmed))


def _smoother(values: Sequence[Any]) -> Smoother:
    average, *rest, run, earlier = values
    time, label, uncertain, rival, since = _finite(rest, _SMOOTHER - 3)
    found = _average(average)
    count = len(found.sums)
    if not (0 <= label < count and -1 <= rival < count):
        raise ValueError("no such label")
    runs = _run(run, count), _run(earlier, count)
    return Smoother(found, time, int(label), bool(uncertain), int(rival), since, *runs)


def _run(values: Sequence[Any], count: int) -> Run:
    *rest, average = values
    label, since, frames = _finite(rest, 3)
    run = Run(int(label), since, int(frames), _average(average))
    if len(run.average.sums) != count or not -1 <= label < count:
        raise ValueError("no such label")
    return run


def _average(values: Sequence[Any]) -> Average:
    sums, weight = values
    _finite([weight, *sums], 1 + len(sums))
    if not weight > 0 or not sums or not all(_LEAST <= s / weight <= _MOST for s in sums):
        raise ValueError("no average of logarithms of probabilities")
    return Average([float(s) for s in sums], float(weight))


def _finite(values: Sequence[Any], count: int) -> Sequence[Any]:
    if len(values) != count or not all(isinstance(v, (int, float)) and abs(v) <= _LARGEST for v in values):
        raise ValueError("not numbers of a sensible size")
    return values
