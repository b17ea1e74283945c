"""The messages that travel through the streams, as frozen dataclasses, and the bounds on what they hold."""

import re
from dataclasses import dataclass
from typing import Literal, Protocol

MAX_JPEG_BYTES = 64 * 1024 * 1024
MAX_SIDE = 16_384
"""Pixels. The largest width or height of a frame; a JPEG may claim up to 65,535."""
MAX_PIXELS = 100_000_000
MAX_FACES = 256
MAX_CROP_SIDE = 512
MAX_LABELS = 64
MAX_TEXT = 2_000

CAMERA_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

Mode = Literal["live", "lossless"]
Status = Literal["ok", "error", "dropped"]
Fields = dict[bytes, bytes]
"""The fields of one stream entry."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a frame. `reason` is None exactly when `status` is "ok"."""

    status: Status = "ok"
    reason: str | None = None

    @staticmethod
    def error(reason: str) -> "Outcome":
        """The frame could not be read or processed."""
        return Outcome("error", reason[:MAX_TEXT])

    @staticmethod
    def dropped(reason: str) -> "Outcome":
        """The frame was given up on purpose (live mode); `reason` is a short word used as a metric label."""
        return Outcome("dropped", reason[:MAX_TEXT])


OK = Outcome()


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """What identifies and describes one frame.

    Attributes:
        camera: name of the camera, `[A-Za-z0-9_.-]{1,64}`.
        source: path or URL it was read from, without password.
        epoch: live: this start of the producer; lossless: the run.
        seq: index within the epoch, from 0.
        captured_at: wall-clock time of capture, seconds since 1970.
        media_time: position in the medium, seconds.
        width, height: pixels of the picture that travels; 0 where it could not be read.
        mode: "live" (newest wins) or "lossless" (nothing is dropped).
        still: a picture of its own, as from a folder: it does not go on from the frame before.
    """

    camera: str
    source: str
    epoch: str
    seq: int
    captured_at: float
    media_time: float
    width: int
    height: int
    mode: Mode
    still: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box in pixels of the full frame; `x`, `y` is the top left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model that crops were cut for: `size` pixels a side, `margin` as a fraction of the box's side."""

    id: str
    size: int
    margin: float


@dataclass(frozen=True, slots=True)
class Crop:
    """One detected face: its box, the detector's weight, and `size * size` gray bytes, row by row."""

    box: Box
    weight: float
    pixels: bytes


@dataclass(frozen=True, slots=True)
class Prediction:
    """One classified face: its box, the detector's weight, and one probability per label."""

    box: Box
    weight: float
    probabilities: tuple[float, ...]


class Message(Protocol):
    """What the worker loop needs to know of any message."""

    @property
    def info(self) -> FrameInfo: ...
    @property
    def frame_id(self) -> str: ...
    @property
    def outcome(self) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """An entry of the stream `frames`. `frame_id` is its stream id, empty before it is appended."""

    info: FrameInfo
    jpeg: bytes
    frame_id: str = ""
    outcome: Outcome = OK

    @property
    def still(self) -> bool:
        """Whether this is a picture of its own (`FrameInfo.still`)."""
        return self.info.still


@dataclass(frozen=True, slots=True)
class Detections:
    """An entry of the stream `faces`: the crops of one frame."""

    info: FrameInfo
    frame_id: str
    model: ModelSpec
    faces: tuple[Crop, ...] = ()
    outcome: Outcome = OK


@dataclass(frozen=True, slots=True)
class Emotions:
    """An entry of the stream `emotions`: the labelled faces of one frame. `labels` names the probabilities.

    Faces whose best label is less probable than `uncertain_below` are best called uncertain; None: none are.
    """

    info: FrameInfo
    frame_id: str
    labels: tuple[str, ...]
    faces: tuple[Prediction, ...] = ()
    outcome: Outcome = OK
    uncertain_below: float | None = None
