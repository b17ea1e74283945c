"""The clip at another length and rate, without decoding it: the same frames with other time stamps."""

from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from emotion_stream.shared.errors import EmotionError

DELAY = 16
"""Frames from decoding to showing: a frame is decoded before it is shown, and H.264 moves none by more."""


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


PARTS = 1000
"""Ticks of a retimed clip between two frames."""


def retimed(clip: Path, target: Path, frames: int, fps: int, phase: float = 0.0) -> Path:
    """Write `clip` to the MP4 file `target`: `frames` frames at `fps` frames per second, from the beginning again
    after its end. All but the first come later by a `phase` of 0 to 1 frame, so that cameras that start together
    do not give their pictures at the same instants.

    Raises:
        EmotionError: the clip cannot be read, or its format does not go into an MP4 file.
    """
    tick, late = Fraction(1, fps * PARTS), round(phase * PARTS)
    done = 0
    try:
        with av.open(str(target), "w") as out, av.open(str(clip)) as source:
            stream = source.streams.video[0]
            copy = out.add_stream_from_template(stream)
            while done < frames:
                source.seek(0)
                packets = [p for p in source.demux(stream) if p.size][: frames - done]
                if not packets:
                    raise ValueError("no frames")
                # Frames are shown in the order of their stamps, whatever those were.
                stamps = [n if p.pts is None else p.pts for n, p in enumerate(packets)]
                rank = {stamp: n for n, stamp in enumerate(sorted(stamps))}
                for n, (packet, stamp) in enumerate(zip(packets, stamps, strict=True)):
                    packet.stream, packet.time_base = copy, tick
                    coded, shown = done + n, done + rank[stamp]
                    packet.dts = coded * PARTS + late * (coded > 0)
                    packet.pts = (shown + DELAY) * PARTS + late * (shown > 0)
                    packet.duration = PARTS
                    out.mux(packet)
                done += len(packets)
    except (FFmpegError, OSError, ValueError, IndexError) as e:
        raise EmotionError(
            f"{clip.name} cannot be copied into an MP4 file at {fps} frames per second ({e})"
        ) from e
    return target
