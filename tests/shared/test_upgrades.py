"""Messages of other versions, through the real worker loop: old ones are understood, newer ones wait for newer
workers or are set aside with that reason and keep their place, and none is misread.

`tests/data/*-v1.bin` are messages as version 1 writes them. They never change: a new version gets new files.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from emotion_stream.shared.errors import NewerSchema
from emotion_stream.shared.messages.codec import (
    SCHEMA_VERSION,
    decode_detections,
    decode_emotions,
    decode_frame,
    encode_detections,
    encode_emotions,
    encode_frame,
    salvage,
)
from emotion_stream.shared.messages.types import (
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
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.tracking.follow import Follower, following
from tests.conftest import append_frames, entries, make_frame
from tests.shared.test_worker import Echo, letters, own_connection, results, until, working

DATA = Path(__file__).parents[1] / "data"
INFO = FrameInfo("hall-1", "clip ü.mp4", "run1", 7, 1_795_000_000.125, 0.28, 640, 360, "lossless")
FRAME = Frame(INFO, b"\xff\xd8jpeg", "17-0")
BROKEN = Frame(INFO, b"", "17-0", Outcome.error("corrupt JPEG"))
DETECTIONS = Detections(
    INFO, "17-0", ModelSpec("fer-1", 4, 0.1), (Crop(Box(-3, 5, 40, 41), 7.5, bytes(range(16))),)
)
EMOTIONS = Emotions(INFO, "17-0", ("angry", "happy"), (Prediction(Box(1, 2, 3, 4), 0.5, (0.25, 0.75)),))


def stored(name: str) -> bytes:
    return (DATA / f"{name}-v1.bin").read_bytes()


def later(fields: Fields) -> Fields:
    """The entry as a later version might write it: another body behind the same envelope."""
    key = b"h" if b"h" in fields else b"m"
    body: dict[str, Any] = msgpack.unpackb(fields[key])
    info = [*body["info"], "an item that version 1 does not know"]
    envelope: dict[str, object] = {"v": SCHEMA_VERSION + 1, "info": info}
    if "frame" in body:
        envelope["frame"] = body["frame"]
    return {**fields, key: msgpack.packb({**envelope, "tensors": [1, 2]})}


def test_messages_of_version_1_are_read_and_written_as_ever() -> None:
    assert decode_frame({b"h": stored("frame"), b"j": FRAME.jpeg}, "17-0") == FRAME
    assert decode_frame({b"h": stored("broken-frame"), b"j": b""}, "17-0") == BROKEN
    assert decode_detections({b"m": stored("detections")}, "18-0") == DETECTIONS
    assert decode_emotions({b"m": stored("emotions")}, "19-0") == EMOTIONS
    assert encode_frame(FRAME)[b"h"] == stored("frame")
    assert encode_frame(BROKEN)[b"h"] == stored("broken-frame")
    assert encode_detections(DETECTIONS)[b"m"] == stored("detections")
    assert encode_emotions(EMOTIONS)[b"m"] == stored("emotions")


@pytest.mark.parametrize(
    ("fields", "decode"),
    [
        (encode_frame(FRAME), decode_frame),
        (encode_detections(DETECTIONS), decode_detections),
        (encode_emotions(EMOTIONS), decode_emotions),
    ],
    ids=["frame", "detections", "emotions"],
)
def test_the_place_of_a_later_message_is_known(fields: Fields, decode: Any) -> None:
    newer = later(fields)
    with pytest.raises(NewerSchema, match="upgrade this worker"):
        decode(newer, "17-0")
    placed = salvage(newer, "17-0")
    assert placed is not None
    assert (placed.info, placed.frame_id) == (INFO, "17-0")


def test_a_place_is_found_in_what_is_cut_off_or_garbled_behind_it() -> None:
    whole = encode_detections(DETECTIONS)[b"m"]
    found = [salvage({b"m": whole[:n]}, "17-0") for n in range(len(whole))]
    assert found[0] is None
    assert found[-1] is not None
    assert found[-1].info == INFO
    assert salvage({b"m": whole[:120] + b"\xc1" * 50}, "17-0") == found[-1]
    for raw in (b"", b"\xc1", msgpack.packb([1]), msgpack.packb({"v": 1, "info": 3}), b"\x83\x91" * 500):
        assert salvage({b"m": raw}, "17-0") is None
        assert salvage({b"h": raw}, "17-0") is None


class Newer(Echo):
    """A stage of the next version."""


class Kept:
    """An output that remembers."""

    needs_image = False

    def __init__(self) -> None:
        self.results: list[Result] = []

    def write(self, result: Result, image: Image | None) -> None:
        self.results.append(result)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def append_later(streams: Streams, seqs: Sequence[int], mode: str = "lossless") -> None:
    for seq in seqs:
        streams.client.xadd(streams.keys.frames, later(encode_frame(make_frame(seq, mode=mode))))  # type: ignore[arg-type]


def read_later(fields: Any, stream_id: str) -> Frame:
    """A decoder of the next version: it reads both."""
    body = msgpack.unpackb(fields[b"h"])
    if body["v"] == SCHEMA_VERSION:
        return decode_frame(fields, stream_id)
    return Frame(FrameInfo(*body["info"][:9]), fields[b"j"], stream_id)


def test_newer_messages_wait_for_a_newer_worker(streams: Streams) -> None:
    append_frames(streams, 2)
    append_later(streams, range(2, 6))
    old = Echo()
    with working(streams, old, "old", claim_after=0.5):
        until(lambda: len(results(streams)) == 2)
        until(lambda: pending(streams) == 4)  # read, not understood, left
        new = Newer()
        with working(streams, new, "new", claim_after=0.5, decode=read_later):
            until(lambda: len(results(streams)) == 6)
    assert sorted(seq for batch in old.batches for seq in batch) == [0, 1]
    assert sorted(seq for batch in new.batches for seq in batch) == [2, 3, 4, 5]
    assert {d.outcome.status for d in results(streams)} == {"ok"}
    assert letters(streams) == []
    assert pending(streams) == 0


def pending(streams: Streams) -> int:
    return int(streams.client.xpending(streams.keys.frames, "detector")["pending"])


def test_newer_messages_are_set_aside_when_nobody_comes(streams: Streams) -> None:
    append_later(streams, range(2))
    append_frames(streams, 1, "other")
    stage = Echo()
    with working(streams, stage, claim_after=0.2):
        until(lambda: len(results(streams)) == 1)  # what can be read does not wait
        until(lambda: len(results(streams)) == 3, 30)
    assert stage.batches == [[0]]
    errors = [d for d in results(streams) if d.info.camera == "cam"]
    assert [(d.info.seq, d.outcome.status) for d in errors] == [(0, "error"), (1, "error")]
    assert all("upgrade this worker" in (d.outcome.reason or "") for d in errors)
    assert [letter[b"deliveries"] for letter in letters(streams)] == [b"3", b"3"]
    assert all(b"schema version 2 is newer than 1" in letter[b"reason"] for letter in letters(streams))
    assert pending(streams) == 0


def test_a_worker_that_leaves_messages_to_others_does_not_spin(streams: Streams) -> None:
    append_later(streams, range(20))
    streams.ensure_group(streams.keys.frames, "detector")
    with working(streams, Echo(), claim_after=5):
        until(lambda: pending(streams) == 20)
        before = streams.client.info("commandstats")
        time.sleep(1)
        after = streams.client.info("commandstats")
    calls = [s.get("cmdstat_xpending", {}).get("calls", 0) for s in (before, after)]
    assert calls[1] - calls[0] < 5


def test_a_garbled_frame_keeps_its_place(streams: Streams) -> None:
    """What stands for a real frame of a lossless run must not make the sink wait for ever."""
    append_frames(streams, 1)
    header = encode_frame(replace(make_frame(1), outcome=Outcome.error("x")))[b"h"]
    streams.client.xadd(streams.keys.frames, {"h": header[:-1] + b"\xc1", "j": b""})
    with working(streams, Echo()):
        until(lambda: len(results(streams)) == 2)
    assert [(d.info.seq, d.outcome.status) for d in results(streams)] == [(0, "ok"), (1, "error")]
    ((_, letter),) = entries(streams, streams.keys.dead)
    assert b"not a message" in letter[b"reason"]


def emotions(seq: int) -> Fields:
    return encode_emotions(Emotions(make_frame(seq).info, f"{seq + 1}-0", (), ()))


def test_a_sink_keeps_the_place_of_what_it_cannot_read(streams: Streams) -> None:
    broken = {b"m": emotions(2)[b"m"][:-1] + b"\xc1"}
    for fields in (emotions(0), later(emotions(1)), broken, {b"m": b"\xc1"}, {b"x": b"y"}, emotions(3)):
        streams.client.xadd(streams.keys.emotions, fields)  # type: ignore[arg-type]
    kept = Kept()
    service = Service("sink", "0", CommonOptions())
    follower = Follower(following("1/1", 0.0, "off"))
    sink = Sink(service, own_connection(streams), "sink", lambda: [kept], 1.0, Watchdog(10), follower)
    thread = threading.Thread(target=sink.run)
    thread.start()
    try:
        until(lambda: len(kept.results) == 4)
    finally:
        service.stop.set()
        thread.join(10)
    assert [(r.info.seq, r.outcome.status) for r in kept.results] == [
        (0, "ok"), (1, "error"), (2, "error"), (3, "ok"),
    ]  # fmt: skip
    assert "upgrade this worker" in (kept.results[1].outcome.reason or "")
    assert len(letters(streams)) == 4
    assert streams.client.xpending(streams.keys.emotions, "sink")["pending"] == 0
