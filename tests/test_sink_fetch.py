"""What a sink reads of the frames: nothing, unless an output shows pictures."""

import threading
from pathlib import Path
from typing import Any

import pytest

from shared.messages import Emotions, encode_emotions
from shared.options import CommonOptions
from shared.service import Service
from shared.streams import Streams
from shared.watchdog import Watchdog
from sink.follow import Follower, following
from sink.loop import Sink
from sink.outputs import open_outputs
from tests.conftest import append_frames, make_frame
from tests.test_worker import own_connection, until


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
    service = Service("sink", "0", CommonOptions())
    follower = Follower(following("1/1", 0.0, "off"))
    sink = Sink(
        service, own_connection(streams), "sink", lambda: open_outputs([output]), 1.0, Watchdog(10), follower
    )
    thread = threading.Thread(target=sink.run)
    thread.start()
    until(lambda: streams.progress().shown.get(("sink", "cam", "run")) == 5)
    service.stop.set()
    thread.join(10)
    read: Any = streams.client.info("commandstats").get("cmdstat_xrange", {"calls": 0})
    assert read["calls"] == fetches
