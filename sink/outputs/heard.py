"""The sound of a camera while its clip is being written: kept beside the clip, and put into it at its end."""

import contextlib
import io
import logging
import struct
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av

from emotion_stream.shared.messages.sound import Sound
from emotion_stream.sink.outputs.sound import rewrite

log = logging.getLogger(__name__)

_HEAD = struct.Struct("<HHddI")
"""Before each piece in the file: which track and which start of the camera, its time, length and bytes."""
_LEAST_SHIFT = 1e-3
_MOST = 2**16 - 1


class Heard:
    """What a camera was heard saying during one clip.

    It lies in a file without a name, which goes with the process. In memory are only its descriptions, and where
    media time jumped.
    """

    def __init__(self, clip: Path) -> None:
        self._clip = clip
        self._file: IO[bytes] | None = None
        self._failed = False
        self._tracks: dict[bytes, int] = {}
        self._epochs: dict[str, int] = {}
        self._places: list[tuple[str, float, float]] = []

    def place(self, epoch: str, media_time: float, at: float) -> None:
        """A picture of this start of the camera, and of this media time, lies at `at` seconds of the clip."""
        shift = at - media_time
        last = self._places[-1] if self._places else None
        if last is None or last[0] != epoch or abs(last[2] - shift) > _LEAST_SHIFT:
            self._places.append((epoch, media_time, shift))

    def hear(self, sound: Sound) -> None:
        """Keep it; if the disk does not take it, it is lost, and so is what follows (told)."""
        if self._failed:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._clip.parent)  # noqa: SIM115  closed with the clip
            track = self._tracks.setdefault(sound.track, len(self._tracks))
            epoch = self._epochs.setdefault(sound.epoch, len(self._epochs))
            if max(track, epoch) <= _MOST:
                for piece in sound.pieces:
                    head = _HEAD.pack(track, epoch, piece.time, piece.length, len(piece.data))
                    self._file.write(head + piece.data)
        except OSError as e:
            self._failed = True
            log.warning(
                "%s: sound cannot be kept (%s); the clip is silent from here on", self._clip.name, e.strerror
            )

    def close(self) -> None:
        """Forget what was heard."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, seconds: float) -> None:
        """Put what was heard into the finished clip, which has so many seconds. Where that fails (told), the clip
        stays as it is."""
        file, self._file = self._file, None
        if file is None:
            return
        with file:
            try:
                tracks = self._same_tracks()
                if tracks:
                    with _opened(next(iter(tracks.values()))) as described:
                        packets = self._packets(file, tracks, described.streams.audio[0], seconds)
                        rewrite(self._clip, described.streams.audio[0], packets)
            except LookupError as e:
                log.warning("%s: %s; it has no sound", self._clip.name, e)
            except (av.FFmpegError, OSError, ValueError) as e:
                reason = getattr(e, "strerror", None) or str(e)
                log.warning("%s: the sound of its camera cannot be added (%s)", self._clip.name, reason)

    def _same_tracks(self) -> dict[int, bytes]:
        """The descriptions, by number, that say the same as the first one: a clip has one track of sound."""
        found: dict[int, bytes] = {}
        first = None
        for description, number in self._tracks.items():
            with contextlib.suppress(av.FFmpegError), _opened(description) as container:
                if container.streams.audio:
                    told = _told(container.streams.audio[0])
                    first = first or told
                    if told == first:
                        found[number] = description
        if len(found) < len(self._tracks):
            log.warning(
                "%s: its camera's sound has changed: only that of the first kind is in it", self._clip.name
            )
        return found

    def _packets(
        self, file: IO[bytes], tracks: dict[int, bytes], described: Any, seconds: float
    ) -> Iterator["av.Packet[Any]"]:
        """Those within the clip, in order, on its clock."""
        base = Fraction(1, described.codec_context.sample_rate or 48_000)
        epochs = list(self._epochs)
        last = -1
        file.seek(0)
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            track, epoch, time, length, size = _HEAD.unpack(head)
            data = file.read(size)
            at = self._at(epochs[epoch], time)
            if track not in tracks or at is None or not 0 <= at < seconds:
                continue
            ticks = round(at / base)
            if ticks <= last or len(data) < size:
                continue
            last = ticks
            packet: av.Packet[Any] = av.Packet(data)
            packet.time_base, packet.pts, packet.dts, packet.duration = base, ticks, ticks, round(length / base)
            yield packet

    def _at(self, epoch: str, time: float) -> float | None:
        """Where in the clip this time of a camera's start lies; None: before its first picture."""
        shift = None
        for own, begin, found in self._places:
            if own == epoch and begin <= time:
                shift = found
        return None if shift is None else time + shift


def _opened(description: bytes) -> Any:
    return av.open(io.BytesIO(description), format="matroska")


def _told(track: Any) -> tuple[object, ...]:
    context = track.codec_context
    return context.name, context.sample_rate, context.layout.name, context.extradata
