"""Gives an annotated clip sound: that of the file that its pictures come from, or any other."""

import contextlib
import heapq
import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

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
    try:
        with av.open(str(source)) as heard:
            if not heard.streams.audio:
                return False
            track, start = heard.streams.audio[0], _first_picture(source) + begin
            rewrite(clip, track, _packets(heard, track, start, seconds))
    except LookupError as e:
        log.warning("%s: %s; %s has no sound", source.name, e, clip.name)
    except (av.FFmpegError, OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        log.warning("%s: the sound of %s cannot be added (%s)", clip.name, source.name, reason)
    else:
        return True
    return False


def rewrite(clip: Path, track: Any, packets: Iterable["Packet[Any]"]) -> None:
    """Write a clip of pictures anew, beside itself, with sound like that of the stream `track`; then replace it.

    Args:
        clip: an MP4 file.
        track: what the sound is; a stream of an open container.
        packets: the sound, in order, on the clip's clock.

    Raises:
        LookupError: MP4 cannot hold such sound; the clip stays as it is, as with the others.
        FFmpegError, OSError, ValueError: it could not be written.
    """
    new = clip.with_name(f".{clip.name}.sound")
    try:
        with av.open(str(clip)) as seen, av.open(str(new), "w", format="mp4") as container:
            if track.codec.canonical_name not in container.supported_codecs:
                raise LookupError(f"sound of the kind {track.codec_context.name} does not fit into MP4")
            container.metadata.update(seen.metadata)
            pictures = container.add_stream_from_template(seen.streams.video[0])
            sound = container.add_stream_from_template(track)
            both = heapq.merge(
                _timed(_packets(seen, seen.streams.video[0], 0.0, None), pictures),
                _timed(packets, sound),
                key=lambda pair: pair[0],
            )
            for _, packet in both:
                container.mux(packet)
        new.replace(clip)
    finally:
        with contextlib.suppress(OSError):
            new.unlink()


def _timed(packets: Iterable["Packet[Any]"], target: Any) -> Iterator[tuple[float, "Packet[Any]"]]:
    """The packets as ones of the stream `target`, each with its time, seconds."""
    for packet in packets:
        at = float((packet.dts or 0) * Fraction(packet.time_base or 1))
        packet.stream = target
        yield at, packet


def _packets(
    container: InputContainer, stream: Any, start: float, seconds: float | None
) -> Iterator["Packet[Any]"]:
    """The packets of a stream from `start` on, for as many seconds, on a clock that begins there."""
    base = Fraction(stream.time_base)
    shift = round(start / base)
    try:
        for packet in container.demux(stream):
            if packet.pts is None or packet.dts is None or min(packet.pts, packet.dts) < shift:
                continue  # before the clip begins, or the empty one at the end
            if seconds is not None and (packet.dts - shift) * base >= seconds:
                return
            packet.pts -= shift
            packet.dts -= shift
            yield packet
    except (av.FFmpegError, OSError):
        if seconds is None:
            raise  # the clip is our own; of a source, what can be read is heard


def _first_picture(source: Path) -> float:
    """When the source's first picture is shown, seconds of its own clock."""
    with av.open(str(source)) as container:
        for frame in container.decode(video=0):
            return frame.time or 0.0
    return 0.0
