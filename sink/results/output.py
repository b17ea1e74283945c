"""The contract between the sink and its outputs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from emotion_stream.shared.messages.geometry import zones_of
from emotion_stream.shared.messages.types import Box, FrameInfo, Landmarks, Outcome, Prediction
from emotion_stream.sink.results.pose import is_turned, yaw_roll

Image = npt.NDArray[np.uint8]
"""A picture, `[height, width, 3]`, BGR."""


UNCERTAIN = "uncertain"
"""Said in place of a label."""
BRIDGED = 0.3
"""Seconds of the medium for which a face that is not found any more is drawn all the same."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a result.

    Attributes:
        track: the same face keeps this number from frame to frame; unique within a camera.
        box: where it is, pixels of the frame.
        weight: how sure the detector is.
        probabilities: one per label of the result, averaged over the track.
        raw: the same as the model gave them for this frame alone.
        label: index of the label to show; it follows the likeliest one without flickering.
        confirmed: whether the track has been seen often enough to be shown; what is not may be no face.
        uncertain: whether "uncertain" is to be shown in place of the label; also for a face that is turned away.
        missed: seconds of the medium since it was last found; 0 where it was found in this frame. A face that is
            carried on through a frame that was not searched has the weight 0.
        landmarks: five points, pixels of the frame, from a detector that finds any.
    """

    track: int
    box: Box
    weight: float
    probabilities: tuple[float, ...]
    raw: tuple[float, ...]
    label: int
    confirmed: bool = True
    uncertain: bool = False
    missed: float = 0.0
    landmarks: Landmarks | None = None

    @property
    def confidence(self) -> float:
        """The probability of the label to show, 0 to 1."""
        return self.probabilities[self.label]

    @property
    def turned(self) -> bool:
        """Whether it looks too far away for its emotion to be told; never without landmarks."""
        return is_turned(self.landmarks)

    @staticmethod
    def alone(track: int, found: Prediction, uncertain_below: float | None = None) -> "Face":
        """A face that is known from one picture only: confirmed, nothing averaged."""
        raw = found.probabilities
        label = max(range(len(raw)), key=raw.__getitem__)
        uncertain = uncertain_below is not None and (raw[label] < uncertain_below or is_turned(found.landmarks))
        return Face(
            track, found.box, found.weight, raw, raw, label, uncertain=uncertain, landmarks=found.landmarks
        )


@dataclass(frozen=True, slots=True)
class Result:
    """One frame as it is shown: in order, with tracks.

    Attributes:
        info, outcome: the frame, and what became of it.
        labels: names of the probabilities.
        faces: what was found, also what is not confirmed yet.
        latency: seconds from capture to here.
        unseen: faces followed until now that were not found in this frame, where they should be, with what was
            last known of them. They are in no table.
        cut: a new scene begins with this frame: nobody in it is known from the frame before.
        apart: nobody in it can be told from those in other frames, a picture of a folder for one.
    """

    info: FrameInfo
    outcome: Outcome
    labels: tuple[str, ...]
    faces: tuple[Face, ...]
    latency: float
    unseen: tuple[Face, ...] = ()
    cut: bool = False
    apart: bool = False

    @property
    def shown(self) -> tuple[Face, ...]:
        """The confirmed faces: those that count."""
        return tuple(face for face in self.faces if face.confirmed)

    @property
    def drawn(self) -> tuple[Face, ...]:
        """The confirmed faces, and those missed for a moment only, so that boxes do not blink."""
        missed = (face for face in self.unseen if face.confirmed and face.missed <= BRIDGED)
        return (*self.shown, *missed)

    def zones(self, face: Face) -> tuple[str, ...] | None:
        """The names of the zones in which the centre of a face lies; None where its camera has none."""
        info = self.info
        if not info.settings.zones:
            return None
        return zones_of(info.settings.zones, face.box, info.width, info.height)

    def notice(self, general: str) -> str:
        """The line that people are told with this picture: the camera's own, or the general one."""
        own = self.info.settings.notice
        return general if own is None else own

    def emotion(self, face: Face) -> str:
        """The name of a face's label, also where it is uncertain."""
        return self.labels[face.label]

    def said(self, face: Face) -> str:
        """What everything that is shown, counted or printed says of a face: its label, or "uncertain"."""
        return UNCERTAIN if face.uncertain else self.emotion(face)


class Output(Protocol):
    """A place that results go to.

    Outputs always open to resume: what they hold from before a crash stays, and what they have already written
    they skip. The runner removes old files once, at the start of a run.
    """

    needs_image: bool
    """Whether `write` wants the frame's picture; fetching and decoding it costs time."""

    def write(self, result: Result, image: Image | None) -> None:
        """Show or store one result. `image` is None where it is not needed or could not be had.

        Raises:
            EmotionError: the output is gone for good (a full disk, say); the message says what to do.
        """

    def flush(self) -> None:
        """Make everything written so far survive the death of this process."""

    def close(self) -> None:
        """Finish the file or window."""


@runtime_checkable
class Buffering(Protocol):
    """An output that holds back what it writes until it is flushed or closed."""

    def forget(self) -> None:
        """Discard what was not flushed: another process has taken over, and writes it."""


POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
"""The landmarks' names in tables, in their order."""
DETAILS = ("score", "yaw", "roll", "turned", *(f"{point}_{axis}" for point in POINTS for axis in "xy"))
"""Columns of tables for what the detector tells of a face beside its box."""
NAME = "name"
"""Column of tables, and key of JSON, for what people call the camera."""
ANALYZED = "analyzed"
"""Column of tables, and key of JSON, for whether faces were searched in the frame."""
ZONES = "zones"
"""Column of tables, and key of JSON, for the zones in which a face is."""


def details(told: Mapping[str, Any]) -> list[float | None]:
    """The values of DETAILS of a face as `as_json` tells it."""
    points = told["landmarks"] or [(None, None)] * len(POINTS)
    return [told["score"], told["yaw"], told["roll"], int(told["turned"]), *(v for point in points for v in point)]


def zones_text(told: Mapping[str, Any]) -> str | None:
    """The zones of a face as `as_json` tells it, as tables hold them: a list in JSON, because names may hold any
    letter that could stand between two of them; None where its camera has none."""
    return json.dumps(told[ZONES], ensure_ascii=False) if ZONES in told else None


def said(told: Mapping[str, Any]) -> str:
    """`Result.said` of a face as `as_json` tells it."""
    return UNCERTAIN if told["uncertain"] else str(told["emotion"])


def _by_name(labels: tuple[str, ...], probabilities: tuple[float, ...]) -> dict[str, float]:
    return {name: round(p, 4) for name, p in zip(labels, probabilities, strict=True)}


def as_json(result: Result) -> dict[str, Any]:
    """The result in the documented form of a JSON line."""
    info = result.info
    faces = []
    for face in result.faces:
        zones = result.zones(face)
        yaw, roll = (face.landmarks and yaw_roll(face.landmarks)) or (None, None)
        faces.append(
            {
                "track": face.track,
                "confirmed": face.confirmed,
                "box": [face.box.x, face.box.y, face.box.width, face.box.height],
                "score": round(face.weight, 4),
                "landmarks": face.landmarks and [[round(x, 1), round(y, 1)] for x, y in face.landmarks],
                "yaw": None if yaw is None else round(yaw, 1),
                "roll": None if roll is None else round(roll, 1),
                "turned": face.turned,
                "emotion": result.emotion(face),
                "confidence": round(face.confidence, 4),
                "uncertain": face.uncertain,
                "probabilities": _by_name(result.labels, face.probabilities),
                "raw": _by_name(result.labels, face.raw),
                **({} if zones is None else {ZONES: list(zones)}),
            }
        )
    return {
        "camera": info.camera,
        NAME: info.called,
        "source": info.source,
        "epoch": info.epoch,
        "seq": info.seq,
        "time": round(info.media_time, 6),
        "captured_at": datetime.fromtimestamp(info.captured_at, UTC).isoformat(timespec="milliseconds"),
        "width": info.width,
        "height": info.height,
        "latency_ms": round(result.latency * 1000, 3),
        "status": result.outcome.status,
        "error": result.outcome.reason,
        "cut": result.cut,
        ANALYZED: info.analyzed,
        **({"gap": round(info.gap, 3)} if info.gap else {}),
        "faces": faces,
    }
