"""Messages: what is written is read again, and nothing else is read at all."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.codec import (
    MAX_HEADER_BYTES,
    SCHEMA_VERSION,
    decode_detections,
    decode_emotions,
    decode_frame,
    encode_detections,
    encode_emotions,
    encode_frame,
)
from emotion_stream.shared.messages.types import (
    MAX_FACES,
    MAX_JPEG_BYTES,
    MAX_SIDE,
    MAX_TEXT,
    Box,
    Crop,
    Detections,
    Emotions,
    Fields,
    Frame,
    FrameInfo,
    ModelSpec,
    Outcome,
    Prediction,
)

INFO = FrameInfo("hall-1", "clip ü.mp4", "run1", 7, 1_795_000_000.125, 0.28, 640, 360, "lossless")
LABELS = ("angry", "happy", "sad")
FRAME = Frame(INFO, b"\xff\xd8jpeg", "17-0")
DETECTIONS = Detections(
    INFO, "17-0", ModelSpec("fer-1", 4, 0.1), (Crop(Box(-3, 5, 40, 41), 7.5, bytes(range(16))),)
)
EMOTIONS = Emotions(INFO, "17-0", LABELS, (Prediction(Box(1, 2, 3, 4), 0.5, (0.25, 0.5, 0.25)),))

Decode = Callable[[Fields, str], object]
KINDS = [
    pytest.param(encode_frame(FRAME), decode_frame, FRAME, id="frame"),
    pytest.param(encode_detections(DETECTIONS), decode_detections, DETECTIONS, id="detections"),
    pytest.param(encode_emotions(EMOTIONS), decode_emotions, EMOTIONS, id="emotions"),
]


def changed(fields: Fields, change: Callable[[dict[str, Any]], object]) -> Fields:
    """The same entry with its MessagePack body changed in place."""
    key = next(k for k in (b"h", b"m") if k in fields)
    body = msgpack.unpackb(fields[key])
    change(body)
    return {**fields, key: msgpack.packb(body)}


@pytest.mark.parametrize(("fields", "decode", "message"), KINDS)
def test_round_trip(fields: Fields, decode: Decode, message: object) -> None:
    assert decode(fields, "17-0") == message


@pytest.mark.parametrize("outcome", [Outcome.error("corrupt JPEG"), Outcome.dropped("stale")])
def test_outcomes_and_empty_messages_travel(outcome: Outcome) -> None:
    frame = Frame(replace(INFO, width=0, height=0), b"", "1-0", outcome)
    assert decode_frame(encode_frame(frame), "1-0") == frame
    detections = Detections(INFO, "1-0", DETECTIONS.model, (), outcome)
    assert decode_detections(encode_detections(detections), "2-0") == detections
    emotions = Emotions(INFO, "1-0", LABELS, (), outcome)
    assert decode_emotions(encode_emotions(emotions), "3-0") == emotions


@pytest.mark.parametrize(("fields", "decode", "message"), KINDS)
def test_the_mark_of_a_still_travels(fields: Fields, decode: Decode, message: Any) -> None:
    still = replace(message, info=replace(INFO, still=True))
    encode: Any = {Frame: encode_frame, Detections: encode_detections, Emotions: encode_emotions}[type(message)]
    assert b"still" not in next(iter(fields.values()))
    assert decode(encode(still), "17-0") == still
    with pytest.raises(DecodeError, match="still"):
        decode(changed(encode(still), at("still", to=1)), "17-0")


def test_the_threshold_of_uncertainty_travels() -> None:
    unsure = replace(EMOTIONS, uncertain_below=0.4)
    assert decode_emotions(encode_emotions(unsure), "17-0") == unsure
    for wrong in (1.5, -0.1, "0.4", True, float("nan")):
        with pytest.raises(DecodeError, match="uncertain_below"):
            decode_emotions(changed(encode_emotions(unsure), at("uncertain_below", to=wrong)), "17-0")


def test_reasons_are_cut_to_what_can_be_read() -> None:
    frame = Frame(INFO, b"", "1-0", Outcome.error("x" * (MAX_TEXT + 1)))
    assert decode_frame(encode_frame(frame), "1-0").outcome.reason == "x" * MAX_TEXT


def test_the_jpeg_is_not_copied_into_the_header() -> None:
    fields = encode_frame(FRAME)
    assert fields[b"j"] is FRAME.jpeg
    assert FRAME.jpeg not in fields[b"h"]


@pytest.mark.parametrize(("fields", "decode", "message"), KINDS)
def test_unknown_keys_are_ignored(fields: Fields, decode: Decode, message: object) -> None:
    extended = changed(fields, lambda body: body.update(later=[1, 2]))
    assert decode({**extended, b"x": b"y"}, "17-0") == message


@pytest.mark.parametrize(("fields", "decode", "message"), KINDS)
def test_a_newer_schema_says_what_to_do(fields: Fields, decode: Decode, message: object) -> None:
    newer = changed(fields, lambda body: body.update(v=SCHEMA_VERSION + 1))
    with pytest.raises(DecodeError, match="upgrade this worker"):
        decode(newer, "1-0")


def at(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    """A change that puts `to` at `path` of a body."""

    def change(body: Any) -> None:
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (at("v", to=None), "schema version"),
        (at("v", to=0), "schema version"),
        (at("info", to=[1, 2]), "9 items"),
        (at("info", to={}), "not a list"),
        (at("info", 0, to="a/b"), "camera"),
        (at("info", 0, to="a" * 65), "camera"),
        (at("info", 0, to="a\n"), "camera"),
        (at("info", 1, to="x" * (MAX_TEXT + 1)), "source"),
        (at("info", 2, to=5), "epoch"),
        (at("info", 3, to=-1), "seq"),
        (at("info", 3, to=True), "seq"),
        (at("info", 3, to=1.5), "seq"),
        (at("info", 4, to=float("nan")), "captured_at"),
        (at("info", 5, to=float("inf")), "media_time"),
        (at("info", 5, to=-0.1), "media_time"),
        (at("info", 6, to=MAX_SIDE + 1), "width"),
        (at("info", 8, to="fast"), "mode"),
        (at("outcome", to=["fine", "x"]), "outcome"),
        (at("outcome", to=["error", None]), "reason"),
        (at("outcome", to=["error"]), "2 items"),
    ],
)
@pytest.mark.parametrize(("fields", "decode", "message"), KINDS)
def test_what_all_messages_share_is_checked(
    fields: Fields, decode: Decode, message: object, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    with pytest.raises(DecodeError, match=says):
        decode(changed(fields, change), "1-0")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (at("frame", to=None), "frame id"),
        (at("frame", to="latest"), "frame id"),
        (at("frame", to="1-"), "frame id"),
        (at("frame", to=f"{2**64}-0"), "frame id"),
        (at("model", to=["fer-1", 0, 0.1]), "crop size"),
        (at("model", to=["fer-1", 10_000, 0.1]), "crop size"),
        (at("model", to=["fer-1", 4, "wide"]), "margin"),
        (at("faces", to="faces"), "faces"),
        (at("faces", 0, to=[]), "face"),
        (at("faces", 0, 0, 2, to=0), "box width"),
        (at("faces", 0, 0, 0, to=2**40), "x is not"),
        (at("faces", 0, 1, to=None), "weight"),
        (at("faces", 0, 2, to=bytes(15)), "4 x 4 bytes"),
        (at("faces", 0, 2, to="0123456789abcdef"), "4 x 4 bytes"),
        (at("faces", to=[[[0, 0, 1, 1], 1.0, bytes(16)]] * (MAX_FACES + 1)), f"at most {MAX_FACES}"),
    ],
)
def test_detections_are_checked(change: Callable[[dict[str, Any]], None], says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        decode_detections(changed(encode_detections(DETECTIONS), change), "1-0")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (at("labels", to=["angry"]), "1 items"),
        (at("labels", to=["x"] * 65), "at most 64"),
        (at("labels", 0, to=b"angry"), "label"),
        (at("faces", 0, 2, to=[0.5, 0.5]), "3 items"),
        (at("faces", 0, 2, 1, to=1.5), "probability"),
        (at("faces", 0, 2, 1, to=-0.5), "probability"),
        (at("faces", 0, 2, 1, to=float("nan")), "probability"),
    ],
)
def test_emotions_are_checked(change: Callable[[dict[str, Any]], None], says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        decode_emotions(changed(encode_emotions(EMOTIONS), change), "1-0")


def test_a_face_without_any_probability_is_refused() -> None:
    """A sink picks the largest one."""

    def strip(body: dict[str, Any]) -> None:
        body["labels"] = []
        body["faces"][0][2] = []

    with pytest.raises(DecodeError, match="labels"):
        decode_emotions(changed(encode_emotions(EMOTIONS), strip), "1-0")


def test_sizes_are_checked_before_anything_is_unpacked() -> None:
    with pytest.raises(DecodeError, match="more than"):
        decode_frame({b"h": bytes(MAX_HEADER_BYTES + 1), b"j": b""}, "1-0")
    with pytest.raises(DecodeError, match="JPEG has"):
        decode_frame({**encode_frame(FRAME), b"j": bytes(MAX_JPEG_BYTES + 1)}, "1-0")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"not msgpack",
        msgpack.packb([1]),
        msgpack.packb({1: 2}),
        msgpack.packb({"v": 1}) + b"more",
        msgpack.packb(msgpack.Timestamp(1)),
        b"\x91" * 2000,
        b"\xdd\xff\xff\xff\xff",
        b"\xa2\xff\xfe",
    ],
)
@pytest.mark.parametrize("decode", [decode_frame, decode_detections, decode_emotions])
def test_garbage_is_a_decode_error(decode: Decode, raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode({b"h": raw, b"m": raw, b"j": b""}, "1-0")
    with pytest.raises(DecodeError, match="missing"):
        decode({}, "1-0")


@pytest.mark.parametrize(("fields", "decode", "message"), KINDS)
def test_flipped_and_cut_bytes_raise_nothing_else(fields: Fields, decode: Decode, message: object) -> None:
    chance = random.Random(5)
    key = next(k for k in (b"h", b"m") if k in fields)
    refused = 0
    for _ in range(3000):
        raw = bytearray(fields[key])
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        if chance.random() < 0.3:
            del raw[chance.randrange(len(raw)) :]
        try:
            decode({**fields, key: bytes(raw)}, "1-0")
        except DecodeError:
            refused += 1
    assert refused > 1000
