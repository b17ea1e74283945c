"""Video files, animated GIFs among them; in lossless mode URLs, too, read from beginning to end."""

import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from emotion_stream.producer.media.clock import MediaClock
from emotion_stream.producer.media.container import few_frames, open_container, rate_of, reason, video_stream
from emotion_stream.producer.media.shown import Shown
from emotion_stream.producer.pictures.source import Context, Picture
from emotion_stream.producer.sources.spec import SourceSpec, printable
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.types import Mode

log = logging.getLogger(__name__)

FALLBACK_RATE = 25.0
"""Frames per second of a medium that does not tell."""
NETWORK_TIMEOUT = 10.0
"""Seconds to wait for a server."""


class Video:
    """A video file. Frames that cannot be decoded are left out and counted, as every player does."""

    mode: Mode = "lossless"

    def __init__(self, spec: SourceSpec, context: Context) -> None:
        self.name = spec.name
        self.url = printable(spec.target)
        self.rate: float | None = None
        self._spec = spec
        self._context = context
        self._container: InputContainer | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._shown: Shown | None = None
        self._skip = 0
        self._clock = MediaClock()
        self._length = 0

    def open(self, start: int = 0) -> None:
        """Open the file and decode its first frame.

        Raises:
            EmotionError: it is not there, is no video, or no frame of it can be decoded.
        """
        self.close()
        network = self._spec.kind == "url"
        try:
            self._container = open_container(
                self._spec.target, NETWORK_TIMEOUT if network else None, self._spec.transport or "auto"
            )
        except (FFmpegError, OSError, ValueError) as e:
            raise EmotionError(f"{self.url}: cannot be opened as a video ({reason(e)})") from e
        try:
            stream = video_stream(self._container, self._spec.stream)
        except ValueError as e:
            raise EmotionError(f"{self.url}: {e}") from e
        self._shown = Shown(self._container, stream)
        self.rate = rate_of(stream) or FALLBACK_RATE
        self._length = 0 if network else few_frames(self._spec.target, stream)
        self._frames = self._decode(self._container, stream)
        first = next(self._frames, None)
        if first is None:
            raise EmotionError(f"{self.url}: no frame of this video can be decoded")
        self._frames = itertools.chain([first], self._frames)
        self._clock, self._skip = MediaClock(self.rate), start

    def read(self) -> Picture | None:
        """The next frame, or None at the end or when told to stop."""
        for frame in self._frames:
            if self._context.stop.is_set():
                return None
            tick = self._clock.tick(frame.time)
            if self._skip > 0:
                self._skip -= 1
                self._context.alive()
                continue
            picture = replace(self._picture(frame, tick.time), gap=tick.gap)
            return replace(picture, still=self._length == 1, length=self._length) if self._length else picture
        return None

    def close(self) -> None:
        """Close the file."""
        self._frames = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None

    def _picture(self, frame: av.VideoFrame, media_time: float) -> Picture:
        """One decoded frame as a picture, or as an error if it is too large."""
        assert self._shown is not None
        now = time.time()
        try:
            image = self._shown.image(frame)
        except ValueError as e:
            return Picture(None, None, 0, 0, media_time, now, error=str(e))
        return Picture(image, None, image.shape[1], image.shape[0], media_time, now)

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        """All frames that can be had, to the end of the file or to where it is cut off."""
        bad = 0
        try:
            for packet in container.demux(stream):
                try:
                    yield from packet.decode()
                except FFmpegError:
                    bad += 1
        except (FFmpegError, OSError) as e:
            if self._spec.kind == "url":
                raise EmotionError(f"{self.url}: lost ({reason(e)})") from e
            log.warning("%s: ends too early (%s)", self.url, reason(e))
            yield from self._flush(stream)
        if bad:
            self._context.observer.errors(bad)
            log.warning("%s: %d pieces could not be decoded and were left out", self.url, bad)

    def _flush(self, stream: VideoStream) -> Iterator[av.VideoFrame]:
        try:
            yield from stream.codec_context.decode(None)
        except (FFmpegError, OSError):
            return
