"""Gives an annotated clip the sound of the file that its pictures come from."""

import contextlib
import heapq
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer

log = logging.getLogger(__name__)

Packet = av.Packet
"""A piece of sound or a picture as it is stored."""


def add_sound(clip: Path, source: Path, begin: float, seconds: float) -> bool:
    """Write a clip anew, with the source's sound, copied and not encoded again. Returns whether it has sound now.

    The clip stays as it is where the source has no sound, where MP4 cannot hold it (told), or where something goes
    wrong (told): a clip without sound is better than none.

    Args:
        clip: an MP4 file of pictures; it is replaced when the new one is whole.
        source: the file that its pictures come from.
        begin: when the clip begins, seconds after the source's first picture.
        seconds: how much of the clip has sound.
    """
    new = clip.with_name(f".{clip.name}.sound")
    try:
        with av.open(str(source)) as heard:
            if not heard.streams.audio:
                return False
            start = _first_picture(source) + begin
            with av.open(str(clip)) as seen, av.open(str(new), "w", format="mp4") as container:
                container.metadata.update(seen.metadata)
                _copy(seen, heard, container, start, seconds)
        new.replace(clip)
    except LookupError as e:
        log.warning("%s: %s; %s has no sound", source.name, e, clip.name)
    except (av.FFmpegError, OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        log.warning("%s: the sound of %s cannot be added (%s)", clip.name, source.name, reason)
    else:
        return True
    finally:
        with contextlib.suppress(OSError):
            new.unlink()
    return False


def _copy(
    seen: InputContainer, heard: InputContainer, container: OutputContainer, start: float, seconds: float
) -> None:
    """
    Raises:
        LookupError: the container cannot hold such sound.
    """
    track = heard.streams.audio[0]
    if track.codec.canonical_name not in container.supported_codecs:
        raise LookupError(f"sound of the kind {track.codec_context.name} does not fit into MP4")
    pictures = container.add_stream_from_template(seen.streams.video[0])
    sound = container.add_stream_from_template(track)
    both = heapq.merge(
        _packets(seen, seen.streams.video[0], pictures, 0.0, None),
        _packets(heard, track, sound, start, seconds),
        key=lambda pair: pair[0],
    )
    for _, packet in both:
        container.mux(packet)


def _packets(
    container: InputContainer, stream: Any, target: Any, start: float, seconds: float | None
) -> Iterator[tuple[float, "Packet[Any]"]]:
    """The packets of a stream with their times from `start` on, for as many seconds, as packets of another."""
    base = Fraction(stream.time_base)
    shift = round(start / base)
    try:
        for packet in container.demux(stream):
            if packet.pts is None or packet.dts is None or min(packet.pts, packet.dts) < shift:
                continue  # before the clip begins, or the empty one at the end
            at = float((packet.dts - shift) * base)
            if seconds is not None and at >= seconds:
                return
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = target
            yield at, packet
    except (av.FFmpegError, OSError):
        if seconds is None:
            raise  # the clip is our own; of a source, what can be read is heard


def _first_picture(source: Path) -> float:
    """When the source's first picture is shown, seconds of its own clock."""
    with av.open(str(source)) as container:
        for frame in container.decode(video=0):
            return frame.time or 0.0
    return 0.0
