"""Streams on the network: RTSP, MJPEG over HTTP, and whatever else FFmpeg plays."""

import threading
import time
from collections.abc import Iterator

from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from producer.files import open_container, reason, to_image, video_stream
from producer.grab import CaptureError
from producer.source import Image, too_large

OPEN_TIMEOUT = 10.0
"""Seconds that a server may take to answer."""


class UrlCapture:
    """An open stream. A medium that knows its length is a recording: it plays at its own rate, then ends."""

    def __init__(self, url: str, timeout: float, stop: threading.Event) -> None:
        """
        Raises:
            CaptureError: the server is not there or sends no video.
        """
        self._stop = stop
        self._origin: tuple[float, float] | None = None
        try:
            self._container = open_container(url, max(timeout, OPEN_TIMEOUT))
        except (FFmpegError, OSError) as e:
            raise CaptureError(reason(e)) from None  # the original text holds the password
        try:
            self._stream = video_stream(self._container)
        except ValueError as e:
            self._container.close()
            raise CaptureError(str(e)) from None
        self.finite = (self._container.duration or 0) > 0
        self._images = self._decode()

    def read(self) -> Image | None:
        try:
            return next(self._images, None)
        except (FFmpegError, OSError) as e:
            raise CaptureError(reason(e)) from None

    def close(self) -> None:
        self._container.close()

    def _decode(self) -> Iterator[Image]:
        converter = VideoReformatter()
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                continue  # the next key frame brings the picture back
            for frame in frames:
                problem = too_large(frame.width, frame.height)
                if problem:
                    raise CaptureError(problem)
                if self.finite and frame.time is not None:
                    self._pace(frame.time)
                yield to_image(frame, converter)

    def _pace(self, media_time: float) -> None:
        now = time.monotonic()
        if self._origin is None:
            self._origin = (now, media_time)
        started, first = self._origin
        self._stop.wait(max(0.0, min(started + media_time - first - now, 10.0)))
