"""What keeps processes out of each other's way, and memory within its bounds."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from redis.exceptions import ConnectionError, ResponseError

from emotion_stream.emotion.runner.pipeline import read_announcement
from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.producer import link as producer_link
from emotion_stream.producer.loop import run_producers
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.codec import encode_emotions
from emotion_stream.shared.messages.types import Emotions
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.streams.access import LeaseLost, holding
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.frames import Flown
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.catalogue import open_outputs
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.results.output import Buffering, Image, Output, Result
from emotion_stream.sink.tracking.follow import Follower, following
from emotion_stream.sink.turn import LEASE_SECONDS
from tests.conftest import append_frames, make_frame
from tests.producer.conftest import Factory, factory, folder
from tests.producer.test_producer import frames, in_background, options, wait_for
from tests.producer.test_sources import Counts, encoded, write_video
from tests.shared.test_upgrades import Kept
from tests.shared.test_worker import own_connection, until

__all__ = ["factory", "folder"]  # fixtures


def test_live_and_lossless_do_not_share_a_namespace(
    factory: Factory, streams: Streams, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live frames are trimmed by length: lossless ones among them would be lost."""
    monkeypatch.setattr(producer_link, "LEASE_PATIENCE", 0.5)
    video = write_video(tmp_path / "clip.mp4", 20, rate=20)
    stop = threading.Event()
    thread, failures = in_background(options(video, mode="live", loop=True), factory, stop)
    wait_for(lambda: len(frames(streams)) > 3)
    with pytest.raises(EmotionError, match="both modes cannot share one: use another --namespace"):
        run_producers(options(folder), factory, threading.Event(), Counts())
    another = write_video(tmp_path / "another.mp4", 3, rate=20)
    run_producers(options(another, mode="live"), factory, threading.Event(), Counts())  # the same mode may
    stop.set()
    thread.join(5)
    assert not failures
    assert {f.info.mode for f in frames(streams)} == {"live"}


def test_a_restarted_producer_of_the_same_name_need_not_wait(
    factory: Factory, streams: Streams, folder: Path
) -> None:
    assert streams.lease("camera:pics", holding("producer-0", "run"), 60)
    began = time.monotonic()
    run_producers(options(folder), factory, threading.Event(), Counts(), name="producer-0")
    assert len(frames(streams)) == 40
    assert time.monotonic() - began < 5


def test_live_frames_take_half_of_the_servers_memory_at_the_most(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "s", memory=8 << 20, durable=False)
    server.start()
    try:

        def make(camera: str = "") -> Streams:
            return Streams(connect(server.url), Keys("small"))

        pictures = tmp_path / "pictures"
        pictures.mkdir()
        grain = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
        grainy = encoded(".jpg", grain)
        for n in range(60):
            (pictures / f"{n}.jpg").write_bytes(grainy)
        counts = Counts()
        run_producers(options(pictures, mode="live", still_seconds=1 / 60), make, threading.Event(), counts)
        kept = frames(make())
        assert counts.appended == 60  # none was refused for want of memory
        assert kept[-1].info.seq == 59
        assert 2 << 20 < sum(len(f.jpeg) for f in kept) < (4 << 20) + 500_000
    finally:
        server.stop()


def test_who_may_write_to_progress_may_not_stop_anybody(streams: Streams) -> None:
    streams.register_sink("sink")
    garbage = {"at|x": "what", b"\xff|\xfe": "1", "work|producer": "many", "done|a|b": "", "end|y": b"\xff 1"}
    streams.client.hset(streams.keys.progress, mapping=garbage)  # type: ignore[arg-type]
    progress = streams.progress()
    assert (progress.sinks, progress.appended, progress.shown, progress.work) == (("sink",), {}, {}, {})


def test_garbage_in_what_stages_tell_of_themselves_stops_nobody(streams: Streams) -> None:
    """Statistics, the list of frames under way, positions, and what workers say of themselves."""
    k, client = streams.keys, streams.client
    for key in (k.stats, k.tracks, k.workers, k.hints):
        client.hset(key, mapping={b"\xff|\xfe": b"\xff", "sink|cam": b"\xc1", "": ""})
    for position in (b"run \xff", "run many", "run -3", "run 1e3", "run"):
        client.hset(k.progress, "at|cam", position)
        assert streams.position("cam", "run") == 0
    client.rpush(k.flight("cam"), b"\xff", "run", "run 1 2 3", "run x 1-1 5", "a run 1 1-1 5")
    assert streams.flight("cam") == [Flown("a run", 1, "1-1", 5)]
    assert set(streams.progress().stats) == set(streams.workers())
    assert streams.tracks("sink") == {"cam": b"\xc1"}
    assert [read_announcement(text) for text in streams.workers().values()] == [None] * 3
    assert [read_announcement(text) for text in (b"[]", b"{}", b"[" * 100_000)] == [None] * 3
    Service("detector", "0", CommonOptions()).is_ready(streams)
    assert [about["stage"] for t in streams.workers().values() if (about := read_announcement(t))] == ["detector"]
    assert streams.lease("camera:cam", "me", 9)
    assert streams.append_frame(make_frame(0), "me")  # as if nothing stood there
    streams.forget()
    assert [key for key in client.keys(f"{k.namespace}:*") if b":lease:" not in key] == []


def test_a_second_sigterm_does_not_drain() -> None:
    code = (
        "import sys, time; from emotion_stream.shared.settings.options import CommonOptions\n"
        "from emotion_stream.shared.process.service import Service\n"
        "service = Service('test', '', CommonOptions()); service.start(); print('up', flush=True)\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    sys.exit(130)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None  # it would drain now
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 130
    process.stdout.close()


def emotions(streams: Streams, *seqs: int) -> None:
    for seq in seqs:
        message = Emotions(make_frame(seq).info, f"{seq + 1}-0", (), ())
        streams.client.xadd(streams.keys.emotions, encode_emotions(message))  # type: ignore[arg-type]


def make_sink(service: Service, streams: Streams, kept: Kept) -> Sink:
    follower = Follower(following("1/1", 0.0, "off"))
    return Sink(service, own_connection(streams), "sink", lambda: [kept], 1.0, Watchdog(10), follower)


def test_a_sink_that_stood_still_writes_nothing_more(streams: Streams) -> None:
    """It was frozen for longer than its lease, and another process writes the same file by now."""
    kept, failures = Kept(), []
    service = Service("sink", "old", CommonOptions())
    sink = make_sink(service, streams, kept)

    def run() -> None:
        try:
            sink.run()
        except LeaseLost as e:
            failures.append(e)

    thread = threading.Thread(target=run)
    emotions(streams, 0)
    thread.start()
    until(lambda: len(kept.results) == 1)
    # As after a freeze: what it believes to hold is another's.
    name = streams.keys.lease("sink:sink")
    sink._turn.held_until = time.monotonic() - 1
    streams.client.set(name, "successor", px=int(LEASE_SECONDS * 1000))
    emotions(streams, 1, 2)
    thread.join(10)
    assert not thread.is_alive()
    assert [r.info.seq for r in kept.results] == [0]
    assert len(failures) == 1


class Frozen:
    """An output whose process stands still between a write and the flush, until another has its lease."""

    needs_image = False

    def __init__(self, output: Output, lose: Callable[[], None]) -> None:
        self._output, self._lose = output, lose
        assert isinstance(output, Buffering)
        self.forget, self.close = output.forget, output.close
        self.flushed = 0

    def write(self, result: Result, image: Image | None) -> None:
        self._output.write(result, image)
        self._lose()

    def flush(self) -> None:
        self.flushed += 1
        self._output.flush()


@pytest.mark.parametrize("kind", ["jsonl", "csv", "sqlite"])
def test_a_sink_that_stood_still_before_a_flush_writes_nothing_more(
    kind: str, streams: Streams, tmp_path: Path
) -> None:
    """Nor when it ends: what it has in its hands, its successor has written."""
    path = tmp_path / "results"

    def lose() -> None:
        streams.client.set(streams.keys.lease("sink:sink"), "successor")
        sink._turn.held_until = 0

    (output,) = open_outputs([f"{kind}={path}"])
    frozen, follower = Frozen(output, lose), Follower(following("1/1", 0.0, "off"))
    service = Service("sink", "old", CommonOptions())
    sink = Sink(service, own_connection(streams), "sink", lambda: [frozen], 1.0, Watchdog(10), follower)
    emotions(streams, 0)
    with pytest.raises(LeaseLost):
        sink.run()
    assert not frozen.flushed
    if kind == "sqlite":
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT count(*) FROM frames").fetchone() == (0,)
    else:
        assert b"cam," not in path.read_bytes().replace(b'"', b"").replace(b"camera", b"")


def test_a_password_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("geheim\n")
    assert connect("redis://host/0", str(file)).get_connection_kwargs()["password"] == "geheim"
    assert connect("redis://:other@host/0", str(file)).get_connection_kwargs()["password"] == "other"
    file.write_text("\n")
    with pytest.raises(UsageError, match="is empty"):
        connect("redis://host/0", str(file))
    with pytest.raises(UsageError, match="cannot be read"):
        connect("redis://host/0", str(tmp_path / "none"))


def test_a_sink_that_another_stood_in_for_starts_anew(streams: Streams) -> None:
    """Its connection was lost, and its stand-by showed some frames: what it remembers is out of date."""
    kept, failures = Kept(), []
    service = Service("sink", "old", CommonOptions())
    own = own_connection(streams)
    sink = make_sink(service, own, kept)

    def run() -> None:
        try:
            sink.run()
        except LeaseLost as e:
            failures.append(e)

    thread = threading.Thread(target=run)
    emotions(streams, 0)
    thread.start()
    until(lambda: len(kept.results) == 1)
    streams.client.set(streams.keys.lease("sink:sink"), "stand-by", px=int(LEASE_SECONDS * 1000))
    cut_off(streams, own)
    streams.shown("sink", "stand-by", [], {"cam": ("run", 4)}, b"", {})
    streams.release("sink:sink", "stand-by")
    emotions(streams, 4)
    thread.join(15)
    assert not thread.is_alive()
    assert [r.info.seq for r in kept.results] == [0]
    assert len(failures) == 1


def test_a_sink_that_only_lost_its_connection_goes_on(streams: Streams) -> None:
    kept = Kept()
    service = Service("sink", "old", CommonOptions())
    own = own_connection(streams)
    sink = make_sink(service, own, kept)
    thread = threading.Thread(target=sink.run)
    emotions(streams, 0)
    thread.start()
    for seq in range(1, 4):
        until(lambda seq=seq: len(kept.results) == seq)  # type: ignore[misc]
        cut_off(streams, own)
        emotions(streams, seq)
    until(lambda: len(kept.results) == 4)
    service.stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert [r.info.seq for r in kept.results] == [0, 1, 2, 3]


def test_after_some_work_a_lost_connection_is_a_new_trouble() -> None:
    """Else every trouble in the seconds after one that took long would take as long."""
    service = Service("test", "", CommonOptions())
    calls: list[float] = []

    def loop() -> None:
        calls.append(time.monotonic())
        if len(calls) == 5:
            time.sleep(0.6)
        if len(calls) == 6:
            service.stop.set()
        raise ConnectionError

    service.keep_connected(loop)
    waits = [after - before for before, after in pairwise(calls)]
    assert waits[3] >= 0.4  # four troubles at once: patience grows
    assert 0.6 <= waits[4] < 0.6 + 0.4


def cut_off(streams: Streams, other: Streams) -> None:
    """Close the connection of other streams, as a server or a network does."""
    ids = {int(c["id"]) for c in streams.client.client_list()} - {int(streams.client.client_id())}
    for number in ids:
        with suppress(ResponseError):
            streams.client.client_kill_filter(_id=str(number))


def test_a_sink_that_joins_a_run_begins_where_the_others_are(streams: Streams) -> None:
    """What all others have shown is gone from the streams: waiting for it would stop the run for ever."""
    append_frames(streams, 6)
    streams.ensure_group(streams.keys.emotions, "other")
    streams.register_sink("other")
    emotions(streams, 0, 1, 2, 3)
    entries = streams.read_new(streams.keys.emotions, "other", "other", 3, None)
    streams.shown("other", "other", [e.id for e in entries], {"cam": ("run", 3)}, b"")
    streams.client.xtrim(streams.keys.emotions, minid=entries[-1].id, approximate=False)
    kept = Kept()
    service = Service("sink", "late", CommonOptions())
    thread = threading.Thread(target=make_sink(service, own_connection(streams), kept).run)
    thread.start()
    emotions(streams, 4, 5)
    until(lambda: streams.progress().shown.get(("sink", "cam", "run")) == 6)
    service.stop.set()
    thread.join(10)
    assert [r.info.seq for r in kept.results] == [3, 4, 5]
    assert streams.done("cam", "run") == 3  # and a producer waits for both
