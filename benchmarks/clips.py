"""The clip at another length and rate, without decoding it: the same frames with other time stamps."""

from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from shared.errors import EmotionError


def size(clip: Path) -> tuple[int, int, int]:
    """Width and height in pixels, and the number of frames.

    Raises:
        EmotionError: it is no video.
    """
    try:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            packets = sum(1 for packet in container.demux(stream) if packet.size)
            return stream.codec_context.width, stream.codec_context.height, packets
    except (FFmpegError, OSError, IndexError) as e:
        raise EmotionError(f"{clip.name} cannot be read as a video") from e


def retimed(clip: Path, target: Path, frames: int, fps: int) -> Path:
    """Write `clip` to the MP4 file `target`: at `fps` frames per second, repeated until it has at least `frames`.

    Raises:
        EmotionError: the clip cannot be read, or its format does not go into an MP4 file.
    """
    _, _, once = size(clip)
    repeats = max(1, -(-frames // max(once, 1)))
    tick = Fraction(1, fps)
    try:
        with av.open(str(target), "w") as out, av.open(str(clip)) as source:
            copy = out.add_stream_from_template(source.streams.video[0])
            for turn in range(repeats):
                source.seek(0)
                packets = [p for p in source.demux(source.streams.video[0]) if p.size]
                # Frames are shown in the order of their stamps, whatever those were.
                shown = sorted(p.pts if p.pts is not None else n for n, p in enumerate(packets))
                rank = {stamp: n for n, stamp in enumerate(shown)}
                for n, packet in enumerate(packets):
                    position = rank[packet.pts if packet.pts is not None else n]
                    packet.stream = copy
                    packet.time_base = tick
                    # Decoding comes before showing, however far a frame is moved.
                    packet.dts = turn * once + n
                    packet.pts = turn * once + position + DELAY
                    packet.duration = 1
                    out.mux(packet)
    except (FFmpegError, OSError, ValueError) as e:
        raise EmotionError(
            f"{clip.name} cannot be copied into an MP4 file at {fps} frames per second ({e})"
        ) from e
    return target


DELAY = 16
"""Frames between decoding and showing; H.264 reorders over no more than 16."""
