"""Opening a file or address with FFmpeg, and choosing what to show of it."""

import itertools
import re
from typing import Any, cast

import av
from av import logging as av_logging
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from emotion_stream.producer.pictures.source import too_large
from emotion_stream.shared.messages.types import FEW_FRAMES, MAX_PIXELS

LIMITS = {"max_pixels": str(MAX_PIXELS)}
"""What decoders refuse to start with."""
# No sound, and no pictures used up to guess a rate that only recordings need: the first picture comes at once.
RTSP = {"allowed_media_types": "video", "fpsprobesize": "0"}
TRANSPORTS = {
    # TCP first: cameras' own buffers overflow less often, and firewalls let it pass.
    "auto": {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"},
    "tcp": {"rtsp_transport": "tcp"},
    "udp": {"rtsp_transport": "udp"},
    "udp_multicast": {"rtsp_transport": "udp_multicast"},
}
# A live playlist: from its last segment but one, so that there is always one to show while the next is made.
# A recording goes on where a connection broke; what has no end is left to whoever opens it again.
HTTP = {"live_start_index": "-2", "reconnect": "1", "reconnect_delay_max": "4"}
ENDLESS = ("hls", "applehttp", "dash", "rtsp")
MOST_BYTES = 2**40
"""A length that is longer is a camera's way to say that it does not end."""
FASTEST = 120.0
"""Pictures a second that a shortest distance is believed to mean."""
_CROPPED = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE)
_MAY_CROP = ("mov", "matroska")

Edges = tuple[int, int, int, int]
"""Pixels that are cut off: left, right, top, bottom."""


def open_container(
    target: str, timeout: float | None, transport: str = "auto", *, sound: bool = False
) -> InputContainer:
    """Open a file (`timeout` None) or a URL for reading. `transport` is how RTSP is carried; with `sound` a camera
    is asked for it, too.

    Raises:
        FFmpegError, OSError: it does not work out.
    """
    if timeout is None:
        # A playlist that poses as a video must not make us fetch from the network.
        return av.open(f"file:{target}", options={**LIMITS, "protocol_whitelist": "file"})
    rtsp = target.lower().startswith(("rtsp://", "rtsps://"))
    own = {**RTSP, **TRANSPORTS[transport]} if rtsp else HTTP
    if rtsp and sound:
        own = {**own, "allowed_media_types": "video+audio"}
    return av.open(target, options={**LIMITS, **own}, timeout=(timeout, timeout))


def is_recording(container: InputContainer) -> bool:
    """Whether it has an end that is known: a length in seconds, or in bytes. Playlists and RTSP only the first."""
    if (container.duration or 0) > 0:
        return True
    return not container.format.name.startswith(ENDLESS) and 0 < container.size < MOST_BYTES


def video_stream(container: InputContainer, number: int | None = None) -> VideoStream:
    """The video stream with the most pixels, of equal ones the first; or the one with this `number`, from 0. Cover
    pictures of music do not count. Its decoder is told the limit of size, and to cut off what the codec says.

    Raises:
        ValueError: there is none, it has no decoder, or its pictures are too large.
    """
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise ValueError("there is no video in it")
    if number is not None and number >= len(streams):
        raise ValueError(f"there is no video stream {number} in it: the last one is {len(streams) - 1}")
    stream = max(streams, key=_pixels) if number is None else streams[number]
    context = stream.codec_context
    if context is None:
        raise ValueError("its video is in a format that is not known")
    problem = too_large(context.width, context.height) if context.width else None
    if problem:
        raise ValueError(problem)
    context.options = {**context.options, **LIMITS, "flags": "+unaligned"}
    return stream


def _pixels(stream: VideoStream) -> int:
    context = stream.codec_context
    return context.width * context.height if context else -1


def cropping(container: InputContainer, stream: VideoStream) -> Edges:
    """What the container (not the codec) cuts off each picture: `clap` of MP4, `PixelCrop` of Matroska.

    PyAV has no access to it but through FFmpeg's description of the streams, a text.
    """
    if not container.format.name.startswith(_MAY_CROP):
        return 0, 0, 0, 0
    before = av_logging.get_level()
    av_logging.set_level(av_logging.INFO)  # the description is a log line
    try:
        description: str = cast(Any, container).dumps_format()
    finally:
        av_logging.set_level(before)
    parts = re.split(r"\n  Stream #\d+:(\d+)", description)
    own = dict(zip(parts[1::2], parts[2::2], strict=True)).get(str(stream.index), "")
    found = _CROPPED.search(own)
    if found is None:
        return 0, 0, 0, 0
    left, right, top, bottom = (int(text) for text in found.groups())
    return left, right, top, bottom


def rate_of(stream: VideoStream) -> float:
    """Pictures a second as the medium tells; 0 where it does not. A length that a jump of the clock has made
    gives a nonsensical average, and then the shortest distance of two pictures counts."""
    average, base = float(stream.average_rate or 0), float(stream.base_rate or 0)
    if 0 < average < 1 <= base <= FASTEST and base > 4 * average:
        return base
    return average or base


def few_frames(path: str, stream: VideoStream) -> int:
    """How many frames a file has, where they are few; 0: more, or nobody can tell. A single one is a still
    picture, whatever the file is called. The file, whose stream is `stream`, is opened once more unless that tells
    of many."""
    if stream.frames > FEW_FRAMES:
        return 0
    try:
        with open_container(path, None) as container:
            packets = (1 for packet in container.demux(video_stream(container)) if packet.size)
            count = sum(itertools.islice(packets, FEW_FRAMES + 1))
    except (FFmpegError, OSError, ValueError):
        return 0
    return count if count <= FEW_FRAMES else 0


def reason(error: Exception) -> str:
    """What FFmpeg or the system says, in a few words and without the URL. Pure."""
    text = getattr(error, "strerror", None) or type(error).__name__
    return str(text).splitlines()[0][:200]
