"""Animated WebP and AVIF, which FFmpeg does not play, and the clips of a folder, one after the other."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from PIL import Image as Pillow

from emotion_stream.producer.pictures.photos import to_bgr
from emotion_stream.producer.pictures.source import Context, Picture, Source, too_large
from emotion_stream.producer.sources.spec import SourceSpec, printable
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.types import FEW_FRAMES, Mode

USUAL = 0.1
"""Seconds that a frame lasts which does not say so, as in browsers."""


class Animation:
    """An animated picture."""

    mode: Mode = "lossless"

    def __init__(self, spec: SourceSpec, context: Context) -> None:
        self.name = spec.name
        self.url = printable(spec.target)
        self.rate: float | None = None
        self._target = spec.target
        self._context = context
        self._image: Pillow.Image | None = None
        self._next = 0
        self._time = 0.0

    def open(self, start: int = 0) -> None:
        """Open it, and read how many frames it has.

        Raises:
            EmotionError: it is not there, too large, or nothing that can be read.
        """
        self.close()
        try:
            self._image = Pillow.open(self._target, formats=("WEBP", "AVIF", "PNG"))
        except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as e:
            raise EmotionError(f"{self.url}: cannot be opened as an animation") from e
        problem = too_large(*self._image.size)
        if problem:
            raise EmotionError(f"{self.url}: {problem}")
        self._next, self._time = 0, 0.0
        self._image.load()
        self.rate = 1 / self._lasts()
        while self._next < start and self.read() is not None:
            self._context.alive()

    def read(self) -> Picture | None:
        """The next picture, or None at the end or when told to stop."""
        image = self._image
        count = getattr(image, "n_frames", 1)
        if image is None or self._next >= count or self._context.stop.is_set():
            return None
        at, now, length = self._time, time.time(), count if count <= FEW_FRAMES else 0
        try:
            image.seek(self._next)
            image.load()
            pixels = to_bgr(image)
        except (OSError, ValueError, SyntaxError, EOFError) as e:
            self._next = count  # what follows builds on it
            return Picture(None, None, 0, 0, at, now, f"cannot be decoded: {e}")
        self._next += 1
        self._time += self._lasts()
        return Picture(pixels, None, *image.size, at, now, length=length, still=count == 1)

    def close(self) -> None:
        """Close the file."""
        if self._image is not None:
            self._image.close()
            self._image = None

    def _lasts(self) -> float:
        told = self._image.info.get("duration", 0) if self._image else 0
        return float(told) / 1000 if told else USUAL


class Clips:
    """Clips that play one after the other, as one medium."""

    mode: Mode = "lossless"

    def __init__(self, spec: SourceSpec, opener: Callable[[str], Source], files: Sequence[str]) -> None:
        """`opener` makes the source of one of the files."""
        self.name = spec.name
        self.url = printable(spec.target)
        self.rate: float | None = None
        self._opener = opener
        self._files = files
        self._playing: Source | None = None
        self._left: list[str] = []
        self._begun = self._ends = 0.0

    def open(self, start: int = 0) -> None:
        """Open the first one.

        Raises:
            EmotionError: it cannot be read.
        """
        self.close()
        self._left, self._begun, self._ends = list(self._files), 0.0, 0.0
        self._go_on()
        for _ in range(start):
            if self.read() is None:
                return

    def read(self) -> Picture | None:
        """The next picture of the clip that plays, or the first of the next clip; None at the end."""
        while self._playing is not None:
            picture = self._playing.read()
            if picture is not None:
                at = self._begun + picture.media_time
                self._ends = at + 1 / (self._playing.rate or 25.0)
                source = picture.source or self._playing.url
                return replace(picture, media_time=at, length=0, still=False, source=source)
            self.close()
            if self._left:
                self._go_on()
        return None

    def close(self) -> None:
        """Close the clip that plays."""
        if self._playing is not None:
            self._playing.close()
            self._playing = None

    def _go_on(self) -> None:
        self._begun = self._ends
        playing = self._opener(self._left.pop(0))
        playing.open()
        self._playing = playing
        self.rate = self.rate or playing.rate
