"""Streams on the network: RTSP, HLS, and whatever else FFmpeg plays."""

import threading
import time
import zlib
from collections.abc import Iterator

import av
from av.error import FFmpegError

from emotion_stream.producer.cameras.grab import CaptureError, Sample
from emotion_stream.producer.cameras.listen import Ear, Listening
from emotion_stream.producer.cameras.reasons import plain, why_not_open
from emotion_stream.producer.media.bursts import Smooth
from emotion_stream.producer.media.clock import MediaClock
from emotion_stream.producer.media.container import is_recording, open_container, rate_of, reason, video_stream
from emotion_stream.producer.media.shown import Shown

OPEN_TIMEOUT = 10.0
"""Seconds that a server may take to answer."""
SEGMENTED = ("hls", "applehttp", "dash")
SEGMENT_DELAY = 0.5
"""Seconds that pictures of a segmented stream are held back, beside what it holds back itself."""
MOST_UNREADABLE = 3
"""Key frames in a row without a picture, after which a stream is not believed to be readable."""
KEY_FRAME = "waiting for a key frame"
FIRST_PICTURE = "waiting for the first picture"


class UrlCapture:
    """An open stream. A medium that knows its end is a recording: it plays at its own rate, then ends.

    What comes over RTSP is shown as it comes; all else at the rate of its own time stamps, because it may come in
    bursts.

    Attributes:
        finite: whether it is a recording.
        heard: when a packet came last, seconds of the monotonic clock.
        waits: why there is no picture yet although packets come, or None.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        stop: threading.Event,
        transport: str = "auto",
        stream: int | None = None,
        ear: Ear | None = None,
    ) -> None:
        """
        Args:
            url: the address.
            timeout: seconds that the server may be silent.
            stop: set when nobody wants pictures any more.
            transport: how RTSP is carried: auto, tcp, udp or udp_multicast.
            stream: which of the video streams, from 0; None: the one with the most pixels.
            ear: gets the sound; None: nobody listens.

        Raises:
            CaptureError: the server is not there or sends no video.
        """
        self._stop = stop
        try:
            self._container = open_container(url, max(timeout, OPEN_TIMEOUT), transport, sound=ear is not None)
        except (FFmpegError, OSError) as e:
            raise CaptureError(why_not_open(url, reason(e))) from None  # the original text holds the password
        try:
            self._stream = video_stream(self._container, stream)
        except ValueError as e:
            self._container.close()
            raise CaptureError(str(e)) from None
        self.finite = is_recording(self._container)
        self.heard = time.monotonic()
        self.waits: str | None = FIRST_PICTURE
        self._clock = MediaClock(rate_of(self._stream))
        live = self._container.format.name.startswith("rtsp")
        delay = SEGMENT_DELAY if self._container.format.name.startswith(SEGMENTED) else 0.0
        self._smooth = None if live else Smooth(delay, catch_up=not self.finite)
        self._listening = Listening(ear, self._container) if ear else None
        self._samples = self._decode()

    def read(self) -> Sample | None:
        """The next picture, or None at the end.

        Raises:
            CaptureError: the connection is lost.
        """
        try:
            return next(self._samples, None)
        except (FFmpegError, OSError) as e:
            raise CaptureError(plain(reason(e))) from None

    def close(self) -> None:
        """Hang up."""
        self._container.close()

    def _decode(self) -> Iterator[Sample]:
        shown = Shown(self._container, self._stream)
        unreadable = 0
        heard = self._listening
        for packet in self._container.demux([self._stream, *(heard.streams if heard else ())]):
            if heard is not None and packet.stream.type == "audio":
                heard.take(packet)  # which is no sign of life: pictures are wanted
                continue
            self.heard = time.monotonic()
            digest = zlib.crc32(packet) if packet.size else 0
            try:
                frames = packet.decode()
            except FFmpegError:
                frames = []  # the next key frame brings the picture back
            if frames:
                self.waits, unreadable = None, 0
            elif self.waits and packet.size:
                unreadable += packet.is_keyframe
                if unreadable > MOST_UNREADABLE + self._stream.codec_context.thread_count:
                    raise CaptureError("its pictures cannot be decoded")
                self.waits = FIRST_PICTURE if unreadable else KEY_FRAME
            for frame in frames:
                if not isinstance(frame, av.VideoFrame):
                    continue
                try:
                    yield self._sample(frame, shown, digest)
                except ValueError as e:
                    raise CaptureError(str(e)) from None

    def _sample(self, frame: av.VideoFrame, shown: Shown, digest: int) -> Sample:
        image = shown.image(frame)
        now = time.monotonic()
        if self._smooth is None:
            tick = self._clock.tick(frame.time, now)
            self._saw(frame.time, now)
            return Sample(image, digest, frame.time, tick.gap)
        # Whether a pause is one of the medium cannot be seen from when its bytes come.
        tick = self._clock.tick(frame.time)
        due = self._smooth.due(tick.time, now)
        self._saw(frame.time, due)
        return Sample(image, digest, frame.time, tick.gap, due)

    def _saw(self, stamp: float | None, at: float) -> None:
        if self._listening is not None and stamp is not None:
            self._listening.saw(stamp, at)
