"""Sound of live sources: an entry of the stream `sound` holds some tenths of a second, as the camera sent it."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgpack

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.bounds import items, real, text
from emotion_stream.shared.messages.codec import SCHEMA_VERSION, unpack
from emotion_stream.shared.messages.types import CAMERA_NAME, Fields

MAX_PIECES = 1024
MAX_SOUND_BYTES = 1024 * 1024
MAX_TRACK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """What the codec made of some milliseconds of sound.

    Attributes:
        time: when it begins, seconds, on the clock of `FrameInfo.media_time`; below 0: before the first picture.
        length: seconds; 0: not known.
        data: the bytes, not decoded.
    """

    time: float
    length: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Sound:
    """An entry of the stream `sound`.

    Attributes:
        camera, epoch: as of the frames that it belongs to.
        track: what the sound is: a Matroska file with nothing but its description and one piece.
        pieces: in the order in which they are heard.
    """

    camera: str
    epoch: str
    track: bytes
    pieces: tuple[Piece, ...]


def encode_sound(sound: Sound) -> Fields:
    """One field: the entry of `sound`."""
    body = {
        "v": SCHEMA_VERSION,
        "camera": sound.camera,
        "epoch": sound.epoch,
        "track": sound.track,
        "pieces": [[piece.time, piece.length, piece.data] for piece in sound.pieces],
    }
    return {b"m": msgpack.packb(body)}


def decode_sound(fields: Mapping[bytes, bytes]) -> Sound:
    """Read an entry of `sound`.

    Raises:
        NewerSchema: only a newer version can read it.
        DecodeError: the entry is not a valid message.
    """
    body = unpack(fields, b"m", MAX_SOUND_BYTES)
    camera, track = body.get("camera"), body.get("track")
    if not isinstance(camera, str) or not CAMERA_NAME.fullmatch(camera):
        raise DecodeError("camera is not a name of letters, digits, '_', '.', '-'")
    if not isinstance(track, bytes) or len(track) > MAX_TRACK_BYTES:
        raise DecodeError(f"track is not bytes, {MAX_TRACK_BYTES} at most")
    pieces = []
    for item in items(body.get("pieces"), "pieces", None, MAX_PIECES):
        time, length, data = items(item, "piece", 3, 3)
        if not isinstance(data, bytes):
            raise DecodeError("a piece of sound is not bytes")
        pieces.append(Piece(real(time, "time", -1e11, 1e11), real(length, "length", 0, 3600), data))
    return Sound(camera, text(body.get("epoch"), "epoch", 64), track, tuple(pieces))
