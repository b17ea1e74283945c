"""The messages that travel through the streams, as frozen dataclasses, and the bounds on what they hold."""

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from emotion_stream.shared.messages.camera import GENERAL, CameraSettings

MAX_JPEG_BYTES = 64 * 1024 * 1024
MAX_SIDE = 16_384
"""Pixels. The largest width or height of a frame; a JPEG may claim up to 65,535."""
MAX_PIXELS = 100_000_000
MAX_FACES = 256
MAX_CROP_SIDE = 512
MAX_LABELS = 64
MAX_TEXT = 2_000
MAX_LEFT_OUT = 100_000
LEFT_OUT = "superseded_camera"
"""Why frames are dropped that came faster than they could be worked off, before they were sent."""
MAX_SCENE_BYTES = 32 * 32 + 1
FEW_FRAMES = 60
"""A medium of at most so many frames is a short one, which tells how many it has."""

CAMERA_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MAX_NAME = 64
"""Letters of a camera's name."""

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
        display_name: what people call it, any letters; empty: as `camera`.
        source: path or URL it was read from, without password.
        epoch: live: this start of the producer; lossless: the run.
        seq: index within the epoch, from 0.
        captured_at: wall-clock time of capture, seconds since 1970.
        media_time: position in the medium, seconds.
        width, height: pixels of the picture that travels; 0 where it could not be read.
        mode: "live" (newest wins) or "lossless" (nothing is dropped).
        still: a picture of its own, as from a folder: it does not go on from the frame before.
        interval: seconds of the medium since the frame before; for the first, as the medium tells; 0: not known.
        length: how many frames the medium has, where they are few (60 at most); 0: more, or not known.
        left_out: frames just before it that its producer left out, because more came than could be worked off;
            their numbers lie between it and the frame before.
        gap: seconds that the medium's clock jumped before it, negative for back; `media_time` does not; 0: none.
        scene: a thumbnail of it (`shared/messages/scene.py`), from the detector on; empty: not known.
        analyzed: whether faces are searched in it; False: the budget (`--analyze-fps`) passes over it.
        settings: what its camera wants done otherwise than the settings of a stage say.
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
    interval: float = 0.0
    length: int = 0
    scene: bytes = b""
    analyzed: bool = True
    gap: float = 0.0
    left_out: int = 0
    display_name: str = ""
    settings: CameraSettings = GENERAL

    @property
    def called(self) -> str:
        """The name of the camera for people."""
        return self.display_name or self.camera


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box in pixels of the full frame; `x`, `y` is the top left corner."""

    x: int
    y: int
    width: int
    height: int


Landmarks = tuple[tuple[float, float], ...]
"""Five points of a face, x and y in pixels of the full frame: right eye, left eye (the person's), tip of the nose,
right and left corner of the mouth."""
LANDMARKS = 5


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model that crops were cut for: `size` pixels a side, `margin` as a fraction of the box's side."""

    id: str
    size: int
    margin: float


@dataclass(frozen=True, slots=True)
class Crop:
    """One detected face: its box, the detector's weight, `size * size` gray bytes, row by row, and its landmarks
    from a detector that finds any."""

    box: Box
    weight: float
    pixels: bytes
    landmarks: Landmarks | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """One classified face: its box, the detector's weight, one probability per label, and its landmarks from a
    detector that finds any."""

    box: Box
    weight: float
    probabilities: tuple[float, ...]
    landmarks: Landmarks | None = None


class Message(Protocol):
    """What the worker loop needs to know of any message."""

    @property
    def info(self) -> FrameInfo:
        """What identifies the frame."""
        ...

    @property
    def frame_id(self) -> str:
        """Stream id of the frame in `frames`."""
        ...

    @property
    def outcome(self) -> Outcome:
        """What has become of the frame so far."""
        ...


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
