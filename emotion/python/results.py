"""What comes back from `analyze` and `analyze_source`."""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from emotion_stream.producer.pictures.source import Image
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.types import Box, Landmarks
from emotion_stream.shared.settings.result_options import ShowOptions, SinkOptions
from emotion_stream.sink.results.output import POINTS
from emotion_stream.sink.results.output import Face as Followed
from emotion_stream.sink.results.pose import yaw_roll
from emotion_stream.sink.tracking.follow import following

RULES = following(SinkOptions().confirm, SinkOptions().smoothing, ShowOptions().uncertain)
"""How the stream follows faces, and when it calls one uncertain, unless it is told otherwise."""
LIBRARIES = ("pandas", "polars")


class Top(NamedTuple):
    """A face's label and its probability, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Face:
    """One face.

    Attributes:
        box: where it is, pixels of the upright picture; `x`, `y` is the top left corner.
        emotion: the label to show: the most probable one; of a face that is followed, without flicker.
        confidence: its probability, 0 to 1.
        probabilities: label to probability, in the model's order; they add up to 1. Of a face that is followed,
            their average.
        score: how sure the detector is: 0 to 1 from YuNet, a weight from Haar.
        landmarks: right eye, left eye, tip of the nose, right and left corner of the mouth, x and y in pixels of
            the upright picture; None from a detector that finds none.
        yaw: degrees that the face is turned, above 0 to the right of the picture; None without landmarks.
        roll: degrees that it is tilted, above 0 clockwise; None without landmarks.
        turned: whether it looks too far away for its emotion to be told.
        uncertain: whether it is shown as "uncertain": its label is not probable enough, or it is turned.
        track: the same face keeps this number from picture to picture of a clip or camera; from 1.
        raw: the probabilities for this picture alone.
    """

    box: Box
    emotion: str
    confidence: float
    probabilities: Mapping[str, float]
    score: float = 0.0
    landmarks: Landmarks | None = None
    yaw: float | None = None
    roll: float | None = None
    turned: bool = False
    uncertain: bool = False
    track: int = 0
    raw: Mapping[str, float] | None = None

    @property
    def top(self) -> Top:
        """The label and its probability."""
        return Top(self.emotion, self.confidence)


class Faces(list[Face]):
    """The faces of one picture: a list, which can become a table. `labels` names its columns of probabilities."""

    def __init__(self, faces: Iterable[Face] = (), labels: Iterable[str] = ()) -> None:
        super().__init__(faces)
        self.labels = tuple(labels)

    def to_dataframe(self, library: str | None = None) -> Any:
        """A table with a row for each face, of pandas or polars, whichever is installed.

        Columns: track, x, y, width, height, emotion, confidence, uncertain, score, yaw, roll, turned, the
        landmarks (right_eye_x ...), and one for each label.

        Args:
            library: "pandas" or "polars"; None: the first of them that is installed.

        Raises:
            EmotionError: it is not installed.
            ValueError: it is neither of them.
        """
        if library not in (None, *LIBRARIES):
            raise ValueError(f"library={library!r}: name pandas or polars")
        wanted = LIBRARIES if library is None else (library,)
        for name in wanted:
            try:
                module = importlib.import_module(name)
            except ModuleNotFoundError:
                continue
            return module.DataFrame(_columns(self, self.labels))
        raise EmotionError(f"a table needs {' or '.join(wanted)}: pip install {wanted[0]}")


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """One picture of a source.

    Attributes:
        index: number of the picture in its source, from 0.
        time: position in the medium, seconds.
        source: path or URL that it was read from, without password.
        width, height: pixels; 0 with an error.
        faces: those that are shown: followed, and confirmed as in the stream. Of pictures: all, the surest first.
        error: why the picture could not be read, or None.
        image: the upright picture, uint8 `[height, width, 3]`, BGR; None with an error.
        unconfirmed: what was found, and not often enough yet to be believed.
        cut: whether a new scene begins with it.
    """

    index: int
    time: float
    source: str
    width: int
    height: int
    faces: tuple[Face, ...]
    error: str | None
    image: Image | None
    unconfirmed: tuple[Face, ...] = ()
    cut: bool = False


def told(face: Followed, labels: Iterable[str]) -> Face:
    """A face of a result as it is told in Python. Pure."""
    names = tuple(labels)
    yaw, roll = (face.landmarks and yaw_roll(face.landmarks)) or (None, None)
    return Face(
        box=face.box,
        emotion=names[face.label],
        confidence=face.confidence,
        probabilities=dict(zip(names, face.probabilities, strict=True)),
        score=face.weight,
        landmarks=face.landmarks,
        yaw=yaw,
        roll=roll,
        turned=face.turned,
        uncertain=face.uncertain,
        track=face.track,
        raw=dict(zip(names, face.raw, strict=True)),
    )


def _columns(faces: Iterable[Face], labels: Iterable[str]) -> dict[str, list[Any]]:
    """Name to values of each column. Pure."""
    rows = list(faces)
    table: dict[str, list[Any]] = {"track": [f.track for f in rows]}
    for side in ("x", "y", "width", "height"):
        table[side] = [getattr(f.box, side) for f in rows]
    for name in ("emotion", "confidence", "uncertain", "score", "yaw", "roll", "turned"):
        table[name] = [getattr(f, name) for f in rows]
    for n, point in enumerate(POINTS):
        for m, axis in enumerate("xy"):
            table[f"{point}_{axis}"] = [f.landmarks[n][m] if f.landmarks else None for f in rows]
    for label in labels:
        table[label] = [f.probabilities[label] for f in rows]
    return table
