"""What a source is, and what it delivers."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Protocol

import numpy as np
import numpy.typing as npt

from emotion_stream.shared.messages.signal import State
from emotion_stream.shared.messages.types import MAX_PIXELS, MAX_SIDE, Mode

Image = npt.NDArray[np.uint8]
"""A picture, `[height, width, 3]`, BGR, upright."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One item that a source delivered.

    Attributes:
        image: the pixels, or None where `jpeg` or `error` stands for them.
        jpeg: bytes that can travel untouched, or None.
        width, height: pixels; 0 with an error.
        media_time: position in the medium, seconds, never falling.
        captured_at: wall-clock time of capture, seconds since 1970.
        error: why the item could not be read, or None.
        source: where this picture came from, if more precise than the source's own `url`.
        still: a picture of its own, that does not go on from the one before.
        length: how many frames the medium has, where they are few; 0: more, or not known.
        gap: seconds that the medium's clock jumped before it, negative for back; `media_time` does not.
        skipped: pictures before it that came, and were left out because nobody took them in time.
    """

    image: Image | None
    jpeg: bytes | None
    width: int
    height: int
    media_time: float
    captured_at: float
    error: str | None = None
    source: str | None = None
    still: bool = False
    length: int = 0
    gap: float = 0.0
    skipped: int = 0


class Source(Protocol):
    """Something that delivers pictures, one after the other. Used by one thread at a time."""

    @property
    def name(self) -> str:
        """Name of the camera that it plays."""
        ...

    @property
    def url(self) -> str:
        """Path or URL without password, for messages."""
        ...

    @property
    def mode(self) -> Mode:
        """What suits it when nobody says otherwise."""
        ...

    @property
    def rate(self) -> float | None:
        """Frames per second of a recorded medium, known once it is open; None: it sets its own pace."""
        ...

    def open(self, start: int = 0) -> None:
        """Open it, or open it anew; recorded media go on behind their first `start` pictures.

        Raises:
            EmotionError: it is not there or cannot be read.
        """

    def read(self) -> Picture | None:
        """The next picture, or None at the end or when told to stop. Waits where there is nothing yet."""
        ...

    def close(self) -> None:
        """Free what `open` took. May be called twice."""


class Observer(Protocol):
    """Counts what happens; called from several threads."""

    def frames(self, n: int) -> None:
        """Frames were appended, unreadable items included."""

    def dropped(self, reason: str, n: int) -> None:
        """Frames were given up before they were appended."""

    def errors(self, n: int) -> None:
        """Pictures could not be decoded or encoded."""

    def reconnects(self) -> None:
        """A camera or URL is being opened again."""


class Nobody:
    """An observer that counts nothing."""

    def frames(self, n: int) -> None:
        """Do nothing."""

    def dropped(self, reason: str, n: int) -> None:
        """Do nothing."""

    def errors(self, n: int) -> None:
        """Do nothing."""

    def reconnects(self) -> None:
        """Do nothing."""


class Tell(Protocol):
    """Told of a camera's state, why it is so, and in how many seconds it is tried again. See `Signal`."""

    def __call__(self, camera: str, state: State, reason: str | None = None, retry: float | None = None) -> object:
        """Take in how a camera does."""
        ...


def _nobody_listens(camera: str, state: State, reason: str | None = None, retry: float | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What everything in a producer shares: when to stop, whom to tell, and a sign of life for health checks."""

    stop: Event
    observer: Observer
    alive: Callable[[], None] = lambda: None
    tell: Tell = _nobody_listens


def too_large(width: int, height: int) -> str | None:
    """Why a picture of this size is refused, or None if it is fine. Pure."""
    if width < 1 or height < 1:
        return "picture has no size"
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        return f"picture of {width} x {height} pixels is too large"
    return None
