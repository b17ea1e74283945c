"""The contract between the sink and its outputs."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shared.messages import Box, FrameInfo, Outcome

Image = npt.NDArray[np.uint8]
"""A picture, `[height, width, 3]`, BGR."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a result: its track's id, its box, and one probability per label of the result."""

    track: int
    box: Box
    weight: float
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One frame as it is shown: in order, with tracks. `latency` is seconds from capture to here."""

    info: FrameInfo
    outcome: Outcome
    labels: tuple[str, ...]
    faces: tuple[Face, ...]
    latency: float


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


def as_json(result: Result) -> dict[str, Any]:
    """The result in the documented form of a JSON line."""
    info = result.info
    faces = []
    for face in result.faces:
        best = max(range(len(face.probabilities)), key=face.probabilities.__getitem__)
        faces.append(
            {
                "track": face.track,
                "box": [face.box.x, face.box.y, face.box.width, face.box.height],
                "emotion": result.labels[best],
                "confidence": round(face.probabilities[best], 4),
                "probabilities": {
                    name: round(p, 4) for name, p in zip(result.labels, face.probabilities, strict=True)
                },
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
