"""Messages on the wire: MessagePack in the fields of stream entries.

Every message carries a schema version and is validated and bounded on reading, because a stream may hold
anything. Map keys that a reader does not know are ignored, so fields can be added without a new version.

The envelope never changes: every message of every version begins with the keys `v`, `info` and (but for frames)
`frame`, and the first nine items of `info` stay what they are. So a reader can tell whose place in the order a
message takes even if it cannot read the rest.
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from emotion_stream.shared.errors import DecodeError, NewerSchema
from emotion_stream.shared.messages import camera as own
from emotion_stream.shared.messages.bounds import items, real, text, whole
from emotion_stream.shared.messages.types import (
    CAMERA_NAME,
    FEW_FRAMES,
    LANDMARKS,
    MAX_CROP_SIDE,
    MAX_FACES,
    MAX_JPEG_BYTES,
    MAX_LABELS,
    MAX_LEFT_OUT,
    MAX_NAME,
    MAX_SCENE_BYTES,
    MAX_SIDE,
    MAX_TEXT,
    OK,
    Box,
    Crop,
    Detections,
    Emotions,
    Fields,
    Frame,
    FrameInfo,
    Landmarks,
    Message,
    ModelSpec,
    Outcome,
    Prediction,
)

SCHEMA_VERSION = 1

MAX_HEADER_BYTES = 16 * 1024
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_POINTS = struct.Struct(f"<{2 * LANDMARKS}f")
_REACH = -2.0 * MAX_SIDE, 2.0 * MAX_SIDE
"""A face may hang out of the frame, and its landmarks with it."""
_STREAM_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Placed:
    """What is known of a message that cannot be read: whose place in the order it takes."""

    info: FrameInfo
    frame_id: str
    outcome: Outcome = OK


# --- writing -----------------------------------------------------------------------------------------------


def _info_out(i: FrameInfo) -> list[object]:
    return [
        i.camera, i.source, i.epoch, i.seq, i.captured_at, i.media_time, i.width, i.height, i.mode
    ]  # fmt: skip


def _box_out(b: Box) -> list[int]:
    return [b.x, b.y, b.width, b.height]


def _pack(body: dict[str, object], message: Message) -> bytes:
    whole = {"v": SCHEMA_VERSION, "info": _info_out(message.info), **body}
    if message.info.still:
        whole["still"] = True
    if message.info.interval:
        whole["interval"] = message.info.interval
    if message.info.length:
        whole["length"] = message.info.length
    if message.info.display_name:
        whole["name"] = message.info.display_name
    if message.info.left_out:
        whole["left_out"] = message.info.left_out
    if message.info.gap:
        whole["gap"] = message.info.gap
    if message.info.scene:
        whole["scene"] = message.info.scene
    if not message.info.analyzed:
        whole["analyzed"] = False
    if message.info.settings != own.GENERAL:
        whole["settings"] = own.pack(message.info.settings)
    if message.outcome.status != "ok":
        whole["outcome"] = [message.outcome.status, message.outcome.reason]
    packed: bytes = msgpack.packb(whole)
    return packed


def _landmarks_out(faces: Sequence[Crop] | Sequence[Prediction]) -> dict[str, object]:
    """A key of its own beside `faces`, whose items older readers count: float32, x and y of each point in turn."""
    if all(face.landmarks is None for face in faces):
        return {}
    packed = [face.landmarks and _POINTS.pack(*(v for point in face.landmarks for v in point)) for face in faces]
    return {"landmarks": packed}


def encode_frame(frame: Frame) -> Fields:
    """Header and JPEG as two fields, so that the JPEG is never copied into a MessagePack body."""
    return {b"h": _pack({}, frame), b"j": frame.jpeg}


def encode_detections(d: Detections) -> Fields:
    """One field: the entry of `faces`."""
    body: dict[str, object] = {
        "frame": d.frame_id,
        "model": [d.model.id, d.model.size, d.model.margin],
        "faces": [[_box_out(f.box), f.weight, f.pixels] for f in d.faces],
        **_landmarks_out(d.faces),
    }
    return {b"m": _pack(body, d)}


def encode_emotions(e: Emotions) -> Fields:
    """One field: the entry of `emotions`."""
    body: dict[str, object] = {
        "frame": e.frame_id,
        "labels": list(e.labels),
        "faces": [[_box_out(f.box), f.weight, list(f.probabilities)] for f in e.faces],
        **_landmarks_out(e.faces),
    }
    if e.uncertain_below is not None:
        body["uncertain_below"] = e.uncertain_below
    return {b"m": _pack(body, e)}


# --- reading -----------------------------------------------------------------------------------------------


def _list(value: object, what: str, length: int | None = None, limit: int = MAX_FACES) -> list[Any]:
    return items(value, what, length, limit)


def _info_in(body: Mapping[str, Any]) -> FrameInfo:
    told = _list(body.get("info"), "info")
    if len(told) < 9:
        raise DecodeError("info is not a list of at least 9 items")
    camera, source, epoch, seq, captured_at, media_time, width, height, mode = told[:9]
    still = body.get("still", False)
    if not isinstance(still, bool):
        raise DecodeError("still is neither true nor false")
    analyzed = body.get("analyzed", True)
    if not isinstance(analyzed, bool):
        raise DecodeError("analyzed is neither true nor false")
    scene = body.get("scene", b"")
    if not isinstance(scene, bytes) or len(scene) > MAX_SCENE_BYTES:
        raise DecodeError(f"scene is not bytes, {MAX_SCENE_BYTES} at most")
    settings = body.get("settings")
    if settings is not None and not isinstance(settings, bytes):
        raise DecodeError("settings are not bytes")
    if not isinstance(camera, str) or not CAMERA_NAME.fullmatch(camera):
        raise DecodeError("camera is not a name of letters, digits, '_', '.', '-'")
    if mode not in ("live", "lossless"):
        raise DecodeError("mode is neither live nor lossless")
    return FrameInfo(
        camera=camera,
        source=text(source, "source", MAX_TEXT),
        epoch=text(epoch, "epoch", 64),
        seq=whole(seq, "seq", 0, 2**53),
        captured_at=real(captured_at, "captured_at", 0, 1e11),
        media_time=real(media_time, "media_time", 0, 1e11),
        width=whole(width, "width", 0, MAX_SIDE),
        height=whole(height, "height", 0, MAX_SIDE),
        mode=mode,
        still=still,
        interval=real(body.get("interval", 0.0), "interval", 0, 1e11),
        length=whole(body.get("length", 0), "length", 0, FEW_FRAMES),
        scene=scene,
        analyzed=analyzed,
        display_name=text(body.get("name", ""), "name", MAX_NAME),
        left_out=whole(body.get("left_out", 0), "left_out", 0, MAX_LEFT_OUT),
        gap=real(body.get("gap", 0.0), "gap", -1e11, 1e11),
        settings=own.GENERAL if settings is None else own.unpack(settings),
    )


def _box_in(value: object) -> Box:
    x, y, width, height = _list(value, "box", 4)
    return Box(
        whole(x, "x", -MAX_SIDE, MAX_SIDE),
        whole(y, "y", -MAX_SIDE, MAX_SIDE),
        whole(width, "box width", 1, MAX_SIDE),
        whole(height, "box height", 1, MAX_SIDE),
    )


def _landmarks_in(body: Mapping[str, Any], faces: int) -> Iterator[Landmarks | None]:
    """Those of each face; messages of older workers, and those of other detectors, have none."""
    told = body.get("landmarks")
    if told is None:
        yield from [None] * faces
        return
    for item in _list(told, "landmarks", faces):
        if item is not None and not (isinstance(item, bytes) and len(item) == _POINTS.size):
            raise DecodeError(f"landmarks are not {_POINTS.size} bytes")
        values = [] if item is None else [real(v, "landmark", *_REACH) for v in _POINTS.unpack(item)]
        yield tuple(zip(values[::2], values[1::2], strict=True)) or None


def _frame_id(value: object) -> str:
    """The id of a stream entry; the server takes two numbers of 64 bits."""
    match = _STREAM_ID.fullmatch(value) if isinstance(value, str) else None
    if match is None or max(int(match[1]), int(match[2])) >= 2**64:
        raise DecodeError("frame id is not the id of a stream entry")
    return match[0]


def _outcome_in(value: object) -> Outcome:
    if value is None:
        return OK
    status, reason = _list(value, "outcome", 2)
    if status not in ("error", "dropped"):
        raise DecodeError("outcome is neither error nor dropped")
    return Outcome(status, text(reason, "reason", MAX_TEXT))


def unpack(fields: Mapping[bytes, bytes], key: bytes, limit: int) -> dict[str, Any]:
    """The map in the field `key` of an entry, which has at most `limit` bytes, of a version that is known.

    Raises:
        NewerSchema, DecodeError: as `decode_frame`.
    """
    raw = fields.get(key)
    if raw is None:
        raise DecodeError(f"field {key.decode()!r} is missing")
    if len(raw) > limit:
        raise DecodeError(f"field {key.decode()!r} has {len(raw)} bytes, more than {limit}")
    try:
        body = msgpack.unpackb(raw, max_array_len=4096, max_map_len=64, max_ext_len=0)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as e:
        raise DecodeError(f"not MessagePack: {type(e).__name__}") from e
    if not isinstance(body, dict):
        raise DecodeError("message is not a map")
    version = body.get("v")
    if not isinstance(version, int) or version < 1:
        raise DecodeError("message has no schema version")
    if version > SCHEMA_VERSION:
        raise NewerSchema(f"schema version {version} is newer than {SCHEMA_VERSION}: upgrade this worker")
    return body


def salvage(fields: Mapping[bytes, bytes], stream_id: str) -> Placed | None:
    """The envelope of an entry of any stream that cannot be read as a whole, or None if that is damaged, too."""
    header = fields.get(b"h")
    raw = fields.get(b"m", b"") if header is None else header
    unpacker = msgpack.Unpacker(max_array_len=4096, max_map_len=64, max_ext_len=0)
    found: dict[str, Any] = {}
    try:
        unpacker.feed(raw[:MAX_HEADER_BYTES])
        for _ in range(min(unpacker.read_map_header(), 3)):
            key = unpacker.unpack()
            if not isinstance(key, str):
                return None
            found[key] = unpacker.unpack()
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError):
        pass  # cut off or garbled from here on: what came before may do
    try:
        return Placed(_info_in(found), stream_id if header is not None else _frame_id(found.get("frame")))
    except DecodeError:
        return None


def decode_frame(fields: Mapping[bytes, bytes], stream_id: str) -> Frame:
    """Read an entry of `frames`.

    Raises:
        NewerSchema: only a newer version can read it.
        DecodeError: the entry is not a valid message.
    """
    body = unpack(fields, b"h", MAX_HEADER_BYTES)
    jpeg = fields.get(b"j", b"")
    if len(jpeg) > MAX_JPEG_BYTES:
        raise DecodeError(f"JPEG has {len(jpeg)} bytes, more than {MAX_JPEG_BYTES}")
    return Frame(_info_in(body), jpeg, stream_id, _outcome_in(body.get("outcome")))


def decode_detections(fields: Mapping[bytes, bytes], stream_id: str) -> Detections:
    """Read an entry of `faces`.

    Raises:
        NewerSchema: only a newer version can read it.
        DecodeError: the entry is not a valid message.
    """
    body = unpack(fields, b"m", MAX_MESSAGE_BYTES)
    model_id, size, margin = _list(body.get("model"), "model", 3)
    spec = ModelSpec(
        text(model_id, "model id", 128),
        whole(size, "crop size", 1, MAX_CROP_SIDE),
        real(margin, "margin", -1, 4),
    )
    faces = []
    found = _list(body.get("faces"), "faces")
    for item, points in zip(found, _landmarks_in(body, len(found)), strict=True):
        box, weight, pixels = _list(item, "face", 3)
        if not isinstance(pixels, bytes) or len(pixels) != spec.size**2:
            raise DecodeError(f"a crop has not {spec.size} x {spec.size} bytes")
        faces.append(Crop(_box_in(box), real(weight, "weight", -1e6, 1e6), pixels, points))
    return Detections(
        _info_in(body),
        _frame_id(body.get("frame")),
        spec,
        tuple(faces),
        _outcome_in(body.get("outcome")),
    )


def decode_emotions(fields: Mapping[bytes, bytes], stream_id: str) -> Emotions:
    """Read an entry of `emotions`.

    Raises:
        NewerSchema: only a newer version can read it.
        DecodeError: the entry is not a valid message.
    """
    body = unpack(fields, b"m", MAX_MESSAGE_BYTES)
    labels = tuple(text(name, "label", 64) for name in _list(body.get("labels"), "labels", limit=MAX_LABELS))
    faces = []
    found = _list(body.get("faces"), "faces")
    for item, points in zip(found, _landmarks_in(body, len(found)), strict=True):
        box, weight, probabilities = _list(item, "face", 3)
        values = tuple(
            real(p, "probability", 0, 1.001) for p in _list(probabilities, "probabilities", len(labels))
        )
        if not values:
            raise DecodeError("a face has no probabilities, because there are no labels")
        faces.append(Prediction(_box_in(box), real(weight, "weight", -1e6, 1e6), values, points))
    below = body.get("uncertain_below")
    return Emotions(
        _info_in(body),
        _frame_id(body.get("frame")),
        labels,
        tuple(faces),
        _outcome_in(body.get("outcome")),
        None if below is None else real(below, "uncertain_below", 0, 1),
    )
