"""The sound of live sources: taken from the connection that brings the pictures, not decoded, with their clock."""

import io
import logging
import threading
import time
from collections import deque
from itertools import groupby
from typing import Any

import av
from av.container import InputContainer

from emotion_stream.shared.messages.sound import MAX_PIECES, MAX_SOUND_BYTES, MAX_TRACK_BYTES, Piece

log = logging.getLogger(__name__)

BATCH = 0.2
"""Seconds of sound that are passed on together."""
HELD = 1000
"""Pieces that wait, for the first picture or for being fetched, at the most: some 20 seconds."""
STEADY = 0.05
"""Least weight of the newest picture in how the clock of the medium stands to ours. The first ones weigh alike:
one of them may be late, because the connection was only just opened."""
STEP = 0.02
"""Seconds by which that must have moved before sound is moved."""
JUMP = 1.0
"""Seconds by which it moves at once: the medium has jumped."""
APART = 20.0
"""Seconds between sound and pictures from which they do not belong together."""

Heard = tuple[bytes, tuple[Piece, ...]]
"""What a sound is (`Sound.track`), and pieces of it."""


class Ear:
    """Holds the newest sound of one camera until it is fetched. May be used by several threads.

    Attributes:
        began: when media time is 0, seconds of the monotonic clock.
    """

    def __init__(self, name: str) -> None:
        """`name`: of the camera, for messages."""
        self.began = 0.0
        self._name = name
        self._told = ""
        self._held = deque[tuple[bytes, Piece]](maxlen=HELD)
        self._due = 0.0
        self._lock = threading.Lock()

    def hears_nothing(self, why: str) -> None:
        """Say why there is no sound, once."""
        if self._told != why:
            self._told = why
            log.warning("camera %s: --sound: %s; it is silent in clips", self._name, why)

    def put(self, track: bytes, piece: Piece) -> None:
        """Take in a piece, whose time is one of the monotonic clock."""
        with self._lock:
            self._held.append((track, piece))

    def take(self) -> list[Heard]:
        """What has come, in media time; nothing where it is too early for that."""
        now = time.monotonic()
        if now < self._due:
            return []
        self._due = now + BATCH
        with self._lock:
            held = list(self._held)
            self._held.clear()
        found: list[Heard] = []
        for track, group in groupby(held, key=lambda pair: pair[0]):
            pieces = [Piece(piece.time - self.began, piece.length, piece.data) for _, piece in group]
            found += [(track, part) for part in _parts(pieces)]
        return found


class Listening:
    """The sound of one open connection. Used by its thread.

    Attributes:
        streams: what to read beside the pictures; empty: there is no sound that a clip could hold.
    """

    def __init__(self, ear: Ear, container: InputContainer) -> None:
        self.streams: tuple[Any, ...] = ()
        self._ear = ear
        self._track = b""
        self._early: deque[av.Packet[Any]] = deque(maxlen=HELD)
        self._offset: float | None = None
        self._steady = 0.0
        self._pictures = 0
        self._seen = 0.0
        if not container.streams.audio:
            ear.hears_nothing("it sends no sound")
            return
        track = container.streams.audio[0]
        with av.open(io.BytesIO(), "w", format="mp4") as clip:
            fits = track.codec_context is not None and track.codec.canonical_name in clip.supported_codecs
        if fits:
            self.streams = (track,)
        else:
            kind = track.codec_context.name if track.codec_context else "unknown"
            ear.hears_nothing(f"its sound is {kind}, which does not fit into MP4: choose AAC in the camera")

    def saw(self, stamp: float, at: float) -> None:
        """Take in a picture: its time stamp, and when it is shown, seconds of the monotonic clock."""
        offset = at - stamp
        if self._offset is None or abs(offset - self._offset) > JUMP:
            self._offset = self._steady = offset
            self._pictures = 0
        self._pictures += 1
        self._steady += max(STEADY, 1 / self._pictures) * (offset - self._steady)
        if abs(self._steady - self._offset) > STEP:
            self._offset = self._steady
        self._seen = at
        while self._early:
            self.take(self._early.popleft())

    def take(self, packet: "av.Packet[Any]") -> None:
        """Take in a piece of sound; those before the first picture wait for it."""
        if packet.pts is None or not packet.size or not packet.time_base:
            return
        if self._offset is None:
            self._early.append(packet)
            return
        base = float(packet.time_base)
        at = packet.pts * base + self._offset
        data = bytes(packet)
        self._track = self._track or self._describe(data)
        if self._track and abs(at - self._seen) < APART:
            self._ear.put(self._track, Piece(at, (packet.duration or 0) * base, data))

    def _describe(self, data: bytes) -> bytes:
        """A file that says what the sound is; empty: it cannot be said (told)."""
        if not self.streams:
            return b""
        file = io.BytesIO()
        try:
            with av.open(file, "w", format="matroska") as container:
                packet = av.Packet(data)
                packet.stream = container.add_stream_from_template(self.streams[0])
                packet.pts = packet.dts = 0
                container.mux(packet)
        except (av.FFmpegError, ValueError) as e:
            self.streams = ()
            self._ear.hears_nothing(f"its sound cannot be copied ({getattr(e, 'strerror', None) or e})")
            return b""
        found = file.getvalue()
        return found if len(found) <= MAX_TRACK_BYTES else b""


def _parts(pieces: list[Piece]) -> list[tuple[Piece, ...]]:
    """The pieces in groups that fit into a message each. Pure."""
    groups: list[list[Piece]] = [[]]
    room = size = MAX_SOUND_BYTES // 2
    for piece in pieces:
        if len(piece.data) > size:
            continue
        if len(piece.data) > room or len(groups[-1]) >= MAX_PIECES // 2:
            groups.append([])
            room = size
        room -= len(piece.data)
        groups[-1].append(piece)
    return [tuple(group) for group in groups if group]
