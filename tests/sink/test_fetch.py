"""What a sink reads of the frames: nothing, unless an output shows pictures."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_stream.shared.messages.codec import encode_emotions
from emotion_stream.shared.messages.types import Emotions
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.catalogue import open_outputs
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.tracking.follow import Follower, following
from tests.conftest import append_frames, make_frame
from tests.shared.test_worker import own_connection, until


def show(streams: Streams, output: str, frames: int) -> None:
    """Run a sink with this output until it has shown so many frames."""
    service = Service("sink", "0", CommonOptions())
    follower = Follower(following("1/1", 0.0, "off"))
    sink = Sink(
        service, own_connection(streams), "sink", lambda: open_outputs([output]), 1.0, Watchdog(10), follower
    )
    thread = threading.Thread(target=sink.run)
    thread.start()
    until(lambda: streams.progress().shown.get(("sink", "cam", "run")) == frames)
    service.stop.set()
    thread.join(10)


def huge() -> bytes:
    """A JPEG that claims more pixels than OpenCV allows."""
    jpeg = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = (65_000).to_bytes(2) * 2
    return bytes(jpeg)


@pytest.mark.parametrize(("output", "fetches"), [("jsonl=out.jsonl", 0), ("csv=out.csv", 0), ("images=out", 5)])
def test_frames_are_fetched_only_for_outputs_that_show_them(
    streams: Streams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, fetches: int
) -> None:
    monkeypatch.chdir(tmp_path)
    for seq, frame_id in enumerate(append_frames(streams, 5)):
        message = Emotions(make_frame(seq).info, frame_id, (), ())
        fields: Any = encode_emotions(message)
        streams.client.xadd(streams.keys.emotions, fields)
    streams.client.config_resetstat()
    show(streams, output, 5)
    read: Any = streams.client.info("commandstats").get("cmdstat_xrange", {"calls": 0})
    assert read["calls"] == fetches


@pytest.mark.parametrize("jpeg", [b"nonsense", huge()])
def test_a_picture_that_no_detector_would_take_is_not_decoded(
    streams: Streams, tmp_path: Path, jpeg: bytes
) -> None:
    """Whoever may write results may claim that any frame has faces."""
    frame = replace(make_frame(0), jpeg=jpeg)
    assert streams.lease("camera:cam", "me", 60)
    frame_id = streams.append_frame(frame, "me", ttl=60)
    assert frame_id
    fields: Any = encode_emotions(Emotions(frame.info, frame_id, (), ()))
    streams.client.xadd(streams.keys.emotions, fields)
    show(streams, f"images={tmp_path / 'out'}", 1)
    assert not list(tmp_path.rglob("*.jpg"))
