"""Video files, animated GIFs among them; in lossless mode URLs, too, read from beginning to end."""

import itertools
import logging
import time
from collections.abc import Iterator

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from producer.source import Context, Image, Picture, too_large
from producer.spec import SourceSpec, printable
from shared.errors import EmotionError
from shared.messages import MAX_PIXELS, Mode

log = logging.getLogger(__name__)

FALLBACK_RATE = 25.0
"""Frames per second of a medium that does not tell."""
NETWORK_TIMEOUT = 10.0
"""Seconds to wait for a server."""
LIMITS = {"max_pixels": str(MAX_PIXELS)}
"""What decoders refuse to start with."""


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
        self._converter = VideoReformatter()
        self._skip = 0
        self._origin: float | None = None
        self._last = 0.0

    def open(self, start: int = 0) -> None:
        """Open the file and decode its first frame.

        Raises:
            EmotionError: it is not there, is no video, or no frame of it can be decoded.
        """
        self.close()
        network = self._spec.kind == "url"
        try:
            self._container = open_container(self._spec.target, NETWORK_TIMEOUT if network else None)
        except (FFmpegError, OSError, ValueError) as e:
            raise EmotionError(f"{self.url}: cannot be opened as a video ({reason(e)})") from e
        try:
            stream = video_stream(self._container)
        except ValueError as e:
            raise EmotionError(f"{self.url}: {e}") from e
        self.rate = float(stream.average_rate or stream.base_rate or 0) or FALLBACK_RATE
        self._frames = self._decode(self._container, stream)
        first = next(self._frames, None)
        if first is None:
            raise EmotionError(f"{self.url}: no frame of this video can be decoded")
        self._frames = itertools.chain([first], self._frames)
        self._origin, self._last, self._skip = None, 0.0, start

    def read(self) -> Picture | None:
        for frame in self._frames:
            if self._context.stop.is_set():
                return None
            media_time = self._time(frame)
            if self._skip > 0:
                self._skip -= 1
                self._context.alive()
                continue
            return to_picture(frame, media_time, time.time(), self._converter)
        return None

    def close(self) -> None:
        self._frames = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None

    def _time(self, frame: av.VideoFrame) -> float:
        """Seconds since the first frame; from the rate where the medium does not tell, or tells nonsense."""
        assert self.rate is not None
        first = self._origin is None
        if self._origin is None:
            self._origin = frame.time or 0.0
        expected = 0.0 if first else self._last + 1 / self.rate
        told = None if frame.time is None else frame.time - self._origin
        self._last = told if told is not None and (first or told > self._last) else expected
        return self._last

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


def open_container(target: str, timeout: float | None) -> InputContainer:
    """Open a file (`timeout` None) or a URL for reading.

    Raises:
        FFmpegError, OSError: it does not work out.
    """
    if timeout is None:
        # A playlist that poses as a video must not make us fetch from the network.
        return av.open(f"file:{target}", options={**LIMITS, "protocol_whitelist": "file"})
    live = {"rtsp_transport": "tcp", "fflags": "nobuffer"} if target.lower().startswith("rtsp") else {}
    return av.open(target, options={**LIMITS, **live}, timeout=(timeout, timeout))


def video_stream(container: InputContainer) -> VideoStream:
    """The stream to show; cover pictures of music do not count. Its decoder is told the limit of size.

    Raises:
        ValueError: there is none, it has no decoder, or its pictures are too large.
    """
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise ValueError("there is no video in it")
    context = streams[0].codec_context
    if context is None:
        raise ValueError("its video is in a format that is not known")
    problem = too_large(context.width, context.height) if context.width else None
    if problem:
        raise ValueError(problem)
    context.options = {**context.options, **LIMITS}
    return streams[0]


def to_picture(
    frame: av.VideoFrame, media_time: float, captured_at: float, converter: VideoReformatter
) -> Picture:
    """One decoded frame as a picture, or as an error if it is too large."""
    problem = too_large(frame.width, frame.height)
    if problem:
        return Picture(None, None, 0, 0, media_time, captured_at, error=problem)
    image = to_image(frame, converter)
    return Picture(image, None, image.shape[1], image.shape[0], media_time, captured_at)


def to_image(frame: av.VideoFrame, converter: VideoReformatter) -> Image:
    """The frame's pixels, turned upright by quarters as its metadata say.

    One `converter` for all frames of a video takes half the time of a new one for each; threads do not help.
    """
    image = np.asarray(converter.reformat(frame, format="bgr24", threads=1).to_ndarray(), np.uint8)
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


def reason(error: Exception) -> str:
    """What FFmpeg or the system says, in a few words and without the URL."""
    text = getattr(error, "strerror", None) or type(error).__name__
    return str(text).splitlines()[0][:200]
