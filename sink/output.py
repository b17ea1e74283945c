"""The contract between the sink and its outputs."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from shared.messages import Box, FrameInfo, Outcome, Prediction

Image = npt.NDArray[np.uint8]
"""A picture, `[height, width, 3]`, BGR."""


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
        uncertain: whether "uncertain" is to be shown in place of the label.
        missed: seconds of the medium since it was last found; 0 where it was found in this frame.
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

    @property
    def confidence(self) -> float:
        """The probability of the label to show, 0 to 1."""
        return self.probabilities[self.label]

    @staticmethod
    def alone(track: int, found: Prediction, uncertain_below: float | None = None) -> "Face":
        """A face that is known from one picture only: confirmed, nothing averaged."""
        raw = found.probabilities
        label = max(range(len(raw)), key=raw.__getitem__)
        uncertain = uncertain_below is not None and raw[label] < uncertain_below
        return Face(track, found.box, found.weight, raw, raw, label, uncertain=uncertain)


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
    """

    info: FrameInfo
    outcome: Outcome
    labels: tuple[str, ...]
    faces: tuple[Face, ...]
    latency: float
    unseen: tuple[Face, ...] = ()

    @property
    def shown(self) -> tuple[Face, ...]:
        """The confirmed faces: those that count."""
        return tuple(face for face in self.faces if face.confirmed)

    @property
    def drawn(self) -> tuple[Face, ...]:
        """The confirmed faces, and those missed for a moment only, so that boxes do not blink."""
        missed = (face for face in self.unseen if face.confirmed and face.missed <= BRIDGED)
        return (*self.shown, *missed)

    def emotion(self, face: Face) -> str:
        """The name of a face's label."""
        return self.labels[face.label]


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
        """Give up what was not flushed: another process has taken over, and writes it."""


def _by_name(labels: tuple[str, ...], probabilities: tuple[float, ...]) -> dict[str, float]:
    return {name: round(p, 4) for name, p in zip(labels, probabilities, strict=True)}


def as_json(result: Result) -> dict[str, Any]:
    """The result in the documented form of a JSON line."""
    info = result.info
    faces = []
    for face in result.faces:
        faces.append(
            {
                "track": face.track,
                "confirmed": face.confirmed,
                "box": [face.box.x, face.box.y, face.box.width, face.box.height],
                "emotion": result.emotion(face),
                "confidence": round(face.confidence, 4),
                "uncertain": face.uncertain,
                "probabilities": _by_name(result.labels, face.probabilities),
                "raw": _by_name(result.labels, face.raw),
            }
        )
    return {
        "camera": info.camera,
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
        "faces": faces,
    }
