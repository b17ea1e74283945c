"""The answers of the interface, as its description at /docs tells them."""

from typing import Literal

from pydantic import BaseModel, Field

from emotion_stream.shared.messages.areas import MAX_AREAS
from emotion_stream.shared.messages.signal import State


class Latency(BaseModel):
    """Milliseconds from capture to result, of half and of 99 % of the frames; nothing where there were none."""

    p50: float | None
    p99: float | None

    @classmethod
    def of(cls, half: float | None, most: float | None) -> "Latency":
        """The answer for these seconds."""
        p50, p99 = (None if seconds is None else round(seconds * 1000, 1) for seconds in (half, most))
        return cls(p50=p50, p99=p99)


class Areas(BaseModel):
    """The areas of a camera, each as its corners, `X,Y X,Y X,Y ...`, in fractions of the picture."""

    ignore: list[str] = Field([], max_length=MAX_AREAS, description="where faces are not looked for")
    zones: dict[str, str] = Field({}, max_length=MAX_AREAS, description="areas with a name")


class Saved(BaseModel):
    """Where areas were saved."""

    file: str


class Poster(BaseModel):
    """A face that may be a poster."""

    track: int = Field(description="the face's number")
    seconds: float = Field(description="for how long it has neither moved nor changed")
    area: str = Field(description="an area around it, to be ignored")


class CameraStatus(BaseModel):
    """One camera."""

    name: str
    display_name: str = Field(description="what people call it")
    source: str = Field(description="path or URL, without password")
    mode: Literal["live", "lossless"] | None = Field(description="nothing before the first frame")
    state: State = Field(
        description="waiting: the first picture is still to come; paused: a recording stands still; lost: a camera"
        " gives nothing and is tried again; frozen: it sends the same picture all the time"
    )
    reason: str | None = Field(description="why, in a few words; nothing where all is well")
    since: float | None = Field(description="when this state began, seconds since 1970")
    retry_s: float | None = Field(description="seconds to the next try; nothing where none is planned")
    age_seconds: float | None = Field(description="since the newest result was shown")
    width: int = Field(description="pixels of a frame")
    height: int
    fps: float = Field(description="frames shown per second, over the last 10 seconds")
    latency_ms: Latency = Field(description="over the last 10 seconds")
    frames: int = Field(description="shown since the run began")
    errors: int = Field(description="of these, frames that could not be read")
    dropped: int = Field(description="frames that were not shown")
    reasons: dict[str, int] = Field(description="why they were not")
    faces: int = Field(description="confirmed ones in the newest frame")
    ignore: list[str] = Field(description="areas in which faces are not looked for, as in `Areas`")
    zones: dict[str, str] = Field(description="areas with a name, as in `Areas`")
    posters: list[Poster] = Field(description="faces that may be posters")
    notice: str = Field("", description="a line of its own that people are told beside that of the run")


class KeptStatus(BaseModel):
    """What is kept of the results, where `--keep`, `--keep-size` or `--keep-free` is given."""

    size: int = Field(description="bytes that all results take")
    limit: int | None = Field(description="the most bytes that they may take; nothing: no bound")
    seconds: float | None = Field(description="how long results are kept; nothing: for ever")
    oldest: float | None = Field(description="when the oldest was captured, about, seconds since 1970")
    next: str = Field(description="name of the file that goes next, or in which rows go next")
    next_at: float | None = Field(description="when it goes for its age, seconds since 1970")
    room: int | None = Field(description="bytes until it goes for its room; nothing: no bound")
    removed: int = Field(description="bytes that have gone since the sink began")
    paused: list[str] = Field(description="outputs that are not written, because the disk is full")
    left_out: dict[str, int] = Field(description="results that were not written therefore, by output")


class RunStatus(BaseModel):
    """The run and all its cameras."""

    state: Literal["running", "ended"]
    notice: str = Field(description="what people are told about being recognised")
    labels: list[str] = Field(description="the model's emotions, in the order of all lists of probabilities")
    fps: float = Field(description="frames shown per second, of all cameras")
    latency_ms: Latency
    lag_seconds: float = Field(description="how far the stages are behind what is captured")
    frames: int
    dropped: int
    viewers: int = Field(description="how many look at live pictures")
    editable: bool = Field(description="whether `PUT /api/areas` saves areas")
    kept: KeptStatus | None = Field(None, description="what is kept of the results; nothing: they are not")
    cameras: list[CameraStatus]


class HistoryPoint(BaseModel):
    """One stretch of time."""

    time: float = Field(description="when it begins")
    frames: int
    errors: int = Field(description="frames that could not be read")
    lost: int = Field(description="frames that were not shown")
    faces: int = Field(description="confirmed faces, one in each frame counted anew")
    most: int = Field(description="confirmed faces in one frame at the most")
    means: list[float] | None = Field(description="mean probability of each label; nothing where nobody was seen")
    said: list[int] = Field(description="of how many faces each label was said; last: uncertain")


class CameraHistory(BaseModel):
    """What a camera has shown since the run began."""

    camera: str
    axis: Literal["clock", "medium"] = "clock"
    labels: list[str] = []
    start: float = Field(0.0, description="when its history begins")
    end: float = Field(0.0, description="when it ends")
    step: int = Field(1, description="seconds that a point sums up")
    points: list[HistoryPoint] = []
    frames: int = Field(0, description="shown since the run began")
    errors: int = 0
    dropped: dict[str, int] = {}
    missing: int = 0
