"""The answers of the interface, as its description at /docs tells them."""

from typing import Literal

from pydantic import BaseModel, Field

State = Literal["waiting", "live", "no signal", "ended"]


class Latency(BaseModel):
    """Milliseconds from capture to result, of half and of 99 % of the frames; nothing where there were none."""

    p50: float | None
    p99: float | None


class CameraStatus(BaseModel):
    """One camera."""

    name: str
    source: str = Field(description="path or URL, without password")
    mode: Literal["live", "lossless"] | None = Field(description="nothing before the first frame")
    state: State = Field(
        description="waiting: nothing has come yet, or a file pauses; no signal: a live camera gives nothing"
    )
    age_seconds: float | None = Field(description="since the newest result was shown")
    width: int = Field(description="pixels of a frame")
    height: int
    fps: float = Field(description="frames shown per second, over the last 10 seconds")
    latency_ms: Latency = Field(description="over the last 10 seconds")
    frames: int = Field(description="shown since the page is served")
    errors: int = Field(description="of these, frames that could not be read")
    dropped: int = Field(description="frames that were not shown")
    reasons: dict[str, int] = Field(description="why they were not")
    faces: int = Field(description="confirmed ones in the newest frame")


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
    cameras: list[CameraStatus]
