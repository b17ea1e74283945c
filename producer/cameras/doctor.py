"""A look at a source for some seconds: what it sends, how regularly, and what the pipeline would do with it."""

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from emotion_stream.producer.cameras.device import CameraCapture
from emotion_stream.producer.cameras.grab import CaptureError
from emotion_stream.producer.cameras.mjpeg import HttpPictures, OtherMedium
from emotion_stream.producer.cameras.reasons import UNKNOWN_HOST, plain, why_not_open
from emotion_stream.producer.cameras.url import OPEN_TIMEOUT, SEGMENT_DELAY, SEGMENTED
from emotion_stream.producer.media.clock import MediaClock
from emotion_stream.producer.media.container import is_recording, open_container, rate_of, reason, video_stream
from emotion_stream.producer.media.shown import Shown
from emotion_stream.producer.pictures.header import read_header
from emotion_stream.producer.pictures.pixels import decode

APART, SLOW = 1.5, 0.38
"""Seconds between two pictures from which each stands for itself, and from which one picture confirms a face."""
BLOCK = 16
"""Pixels: codecs fill sizes up to a whole number of blocks."""
RARE = 4.0
"""Seconds between two key frames from which the first picture may take long."""
AGAIN = ("tries again, with pauses that grow from 0.5 to 30 s",)
NEVER = ("ends at once and says why: a file is not tried again",)
PRESENT = ("ends at once and says why: a camera of this machine must be there at the start",)
NOBODY = ("ends at once if nobody has a host of this name and there is no other source", f"else {AGAIN[0]}")
"""What becomes of a run whose source gives nothing; the last one where its host is unknown."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """How time stamps do: of how many pictures, how many had none, or that of the one before; jumps; wraps."""

    pictures: int = 0
    missing: int = 0
    equal: int = 0
    jumps: int = 0
    wraps: int = 0

    @property
    def healthy(self) -> bool:
        """Whether the time stamps can be relied on."""
        return not self.jumps and self.missing + self.equal <= max(1, self.pictures // 50)


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found.

    Attributes:
        source: path or URL without password.
        reason: why nothing comes, or None.
        kind: device, mjpeg, snapshots, or FFmpeg's name of the format, such as rtsp, hls, mpegts.
        transport: tcp or udp, where it is RTSP.
        codec: name of the video's format.
        coded, shown: width and height in pixels, as sent and as people should see it.
        streams: video streams and sound streams in it.
        rate_told, rate: pictures a second, as the source says and as measured; None: not known.
        first_picture: seconds from connecting to the first picture.
        key_frame_every: seconds between two key frames, the longest that was seen; None: fewer than two came.
        stamps: of its time stamps; None where the format has none.
        jitter_ms: how much later than the earliest ones pictures come, by their time stamps, of 95 % of them.
        recording: whether it has an end.
        watched: seconds that it was looked at.
        would: what the pipeline would do with it, one thought a line.
    """

    source: str
    reason: str | None = None
    kind: str = ""
    transport: str | None = None
    codec: str = ""
    coded: tuple[int, int] = (0, 0)
    shown: tuple[int, int] = (0, 0)
    streams: tuple[int, int] = (0, 0)
    rate_told: float | None = None
    rate: float | None = None
    first_picture: float | None = None
    key_frame_every: float | None = None
    stamps: Stamps | None = None
    jitter_ms: float | None = None
    recording: bool = False
    watched: float = 0.0
    would: tuple[str, ...] = ()


def examine(
    target: str,
    source: str,
    seconds: float,
    transport: str = "auto",
    stream: int | None = None,
    *,
    is_file: bool = False,
    device: bool = False,
) -> Examination:
    """Look at a source for some seconds; nothing is raised, the reason is told.

    Args:
        target: URL with password, path, or index of a camera.
        source: the same without password, for people.
        seconds: how long, from the first picture on.
        transport, stream: as for `UrlCapture`.
        is_file: whether it is a path.
        device: whether it is an index.
    """
    then = NEVER if is_file else PRESENT if device else AGAIN
    try:
        if device:
            found = _device(int(target), seconds)
        elif target.lower().startswith("http"):
            try:
                found = _pictures(target, seconds)
            except OtherMedium:
                found = _video(target, seconds, "", stream)
        elif is_file:
            found = _video(target, seconds, None, stream)
        else:
            found = _rtsp(target, seconds, transport, stream)
    except CaptureError as e:
        return Examination(source, str(e), would=_then(str(e), then))
    except (FFmpegError, OSError, ValueError) as e:
        text = reason(e) if isinstance(e, FFmpegError | OSError) else str(e)
        told = why_not_open(target, text) if "://" in target else plain(text)
        return Examination(source, told, would=_then(told, then))
    return replace(found, source=source, would=tuple(would(found, is_file=is_file)))


def _then(why: str, usually: tuple[str, ...]) -> tuple[str, ...]:
    return NOBODY if why == UNKNOWN_HOST else usually


def would(found: Examination, *, is_file: bool = False) -> list[str]:
    """What the pipeline does with such a source; `is_file`: whether it lies on this machine. Pure."""
    lines = []
    if is_file:
        lines.append("takes each of its pictures once, as fast as this machine can")
    elif found.recording:
        lines.append("plays it once, at its own rate")
    elif found.kind.startswith(SEGMENTED):
        lines.append(
            f"shows it at the rate of its time stamps, {SEGMENT_DELAY:g} s and one to two segments behind"
        )
    elif found.kind in ("rtsp", "device", "mjpeg"):
        lines.append("shows each picture as it comes, the newest first")
    elif found.kind == "snapshots":
        lines.append("asks for a picture twice a second, or as often as --fps says")
    else:
        lines.append("shows it at the rate of its time stamps, as late as the network needs")
    if found.streams[0] > 1:
        lines.append(f"takes the stream with the most pixels of {found.streams[0]} (another one: #stream=N)")
    if found.streams[1] and is_file:
        lines.append("keeps the sound in an annotated clip (video=)")
    elif found.streams[1]:
        lines.append("leaves the sound out; with --sound an annotated clip (video=) keeps it")
    if any(abs(a - b) >= BLOCK for a, b in zip(found.coded, found.shown, strict=True)):
        lines.append(f"shows {found.shown[0]} x {found.shown[1]} pixels, as a player does")
    if found.key_frame_every and found.key_frame_every > RARE and not found.recording:  # one begins with its first
        lines.append(
            f"waits up to {found.key_frame_every:.0f} s for the first picture, and is not opened again meanwhile:"
            " set a shorter interval of key frames (I-frames, GOP) in the camera"
        )
    if found.stamps is not None and not found.stamps.healthy:
        lines.append("steps over time stamps that jump, repeat or miss, at the rate of the pictures")
    if found.rate:
        lines += _about_rate(1 / found.rate)
    return lines


def _about_rate(interval: float) -> list[str]:
    if interval > APART:
        return ["takes each picture for itself: nobody can be followed"]
    return ["confirms a face when it is found"] if interval >= SLOW else []


def _device(index: int, seconds: float) -> Examination:
    began = time.monotonic()
    capture = CameraCapture(index)
    try:
        arrivals: list[float] = []
        size = (0, 0)
        while not arrivals or time.monotonic() - arrivals[0] < seconds:
            sample = capture.read()
            arrivals.append(time.monotonic())
            if sample is not None:
                size = sample.image.shape[1], sample.image.shape[0]
    finally:
        capture.close()
    return _counted(
        Examination("", kind="device", codec="as the driver gives it", coded=size, shown=size, streams=(1, 0)),
        began,
        arrivals,
    )


def _pictures(url: str, seconds: float) -> Examination:
    began = time.monotonic()
    pictures = HttpPictures(url, OPEN_TIMEOUT, threading.Event())
    arrivals: list[float] = []
    coded = shown = (0, 0)
    try:
        while not arrivals or time.monotonic() - arrivals[0] < seconds:
            data = pictures.next()
            if data is None:
                break
            arrivals.append(time.monotonic())
            if shown == (0, 0):
                with contextlib.suppress(ValueError):
                    header = read_header(data)
                    image = decode(data, header)
                    coded, shown = (header.width, header.height), (image.shape[1], image.shape[0])
        kind = "snapshots" if pictures.kind == "snapshot" else "mjpeg"
        codec = f"JPEG ({pictures.content_type})"
    finally:
        pictures.close()
    if shown == (0, 0):
        raise CaptureError("it sends no picture that can be decoded")
    return _counted(
        Examination("", kind=kind, codec=codec, coded=coded, shown=shown, streams=(1, 0)), began, arrivals
    )


def _rtsp(url: str, seconds: float, transport: str, stream: int | None) -> Examination:
    """By TCP first, then by UDP, as `auto` does; so that it can be told which it was."""
    if transport != "auto":
        return _video(url, seconds, transport, stream)
    try:
        return _video(url, seconds, "tcp", stream)
    except (FFmpegError, OSError) as e:
        if plain(reason(e)) not in ("461 Unsupported transport", "protocol not supported", "invalid argument"):
            raise
    return _video(url, seconds, "udp", stream)


def _video(target: str, seconds: float, transport: str | None, stream: int | None) -> Examination:
    """`transport`: None for a file, empty where it is none of RTSP's."""
    began = time.monotonic()
    with open_container(target, None if transport is None else OPEN_TIMEOUT, transport or "auto") as container:
        video = video_stream(container, stream)
        found = _watched(container, video, began, seconds)
        told = rate_of(video)
        return replace(
            found,
            kind=container.format.name.split(",")[0],
            transport=transport or None,
            codec=_codec(video),
            streams=(len(container.streams.video), len(container.streams.audio)),
            rate_told=round(told, 3) if told else None,
            recording=is_recording(container),
        )


def _watched(container: InputContainer, video: VideoStream, began: float, seconds: float) -> Examination:
    shown, clock = Shown(container, video), MediaClock(rate_of(video))
    arrivals: list[float] = []
    times: list[float] = []
    keys: list[float] = []
    coded = size = (0, 0)
    file = container.name.startswith("file:")
    for packet in container.demux(video):
        if arrivals and (time.monotonic() - arrivals[0] > seconds or (times and times[-1] > seconds)):
            break
        try:
            frames = packet.decode()
        except FFmpegError:
            continue
        for frame in frames:
            arrivals.append(time.monotonic())
            tick = clock.tick(frame.time, None if file else arrivals[-1])
            times.append(tick.time)
            if frame.key_frame:
                keys.append(tick.time)
            if size == (0, 0):
                image = shown.image(frame)
                context = video.codec_context
                coded, size = (context.coded_width, context.coded_height), (image.shape[1], image.shape[0])
    if not arrivals:
        raise ValueError("no picture could be decoded")
    stamps = Stamps(len(times), clock.missing, clock.equal, clock.jumps, clock.wraps) if clock.is_told else None
    found = Examination("", coded=coded, shown=size, stamps=stamps, key_frame_every=_longest(keys))
    found = replace(_counted(found, began, arrivals), jitter_ms=None if file else _jitter(times, arrivals))
    # What comes in bursts, or as fast as it can, has the rate of its time stamps.
    by_stamps = (len(times) - 1) / times[-1] if len(times) > 1 and times[-1] > 0 else None
    counted = clock.is_told and len(times) - clock.missing - clock.equal > len(times) / 2
    return replace(found, rate=round(by_stamps, 2)) if by_stamps and counted else found


def _counted(found: Examination, began: float, arrivals: Sequence[float]) -> Examination:
    lasted = arrivals[-1] - arrivals[0]
    rate = round((len(arrivals) - 1) / lasted, 2) if lasted > 0 else None
    return replace(
        found, rate=rate, first_picture=round(arrivals[0] - began, 2), watched=round(arrivals[-1] - began, 1)
    )


def _longest(keys: Sequence[float]) -> float | None:
    return round(max(b - a for a, b in pairwise(keys)), 2) if len(keys) > 1 else None


def _jitter(times: Sequence[float], arrivals: Sequence[float]) -> float | None:
    """Pure. What a server has kept for whoever connects, and sends at once, does not count."""
    late = sorted(b - a for a, b in zip(times, arrivals, strict=True) if b - arrivals[0] > 1)
    return round((late[len(late) * 95 // 100] - late[0]) * 1000, 1) if len(late) > 2 else None


def _codec(video: VideoStream) -> str:
    context = video.codec_context
    profile = f" {context.profile}" if context.profile else ""
    return f"{context.name}{profile}, {context.pix_fmt or 'unknown pixels'}"
