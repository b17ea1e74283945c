"""The producer's loop against a real server: nothing lost, nothing twice, and an end to everything."""

import itertools
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.producer.loop import run_producers
from emotion_stream.producer.lossless import Flight
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.codec import decode_frame
from emotion_stream.shared.messages.types import Frame
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.frames import Flown
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams
from tests.producer.conftest import Factory
from tests.producer.test_sources import Counts, write_video


def frames(streams: Streams) -> list[Frame]:
    entries: Any = streams.client.xrange(streams.keys.frames)
    return [decode_frame(fields, i.decode()) for i, fields in entries]


def seqs(streams: Streams, camera: str = "pics") -> list[int]:
    return [f.info.seq for f in frames(streams) if f.info.camera == camera]


def options(*source: object, **changes: object) -> ProducerOptions:
    return ProducerOptions(source=tuple(str(s) for s in source), run_id="run", **changes)  # type: ignore[arg-type]


def in_background(
    opts: ProducerOptions, factory: Callable[[], object], stop: threading.Event, counts: Counts | None = None
) -> tuple[threading.Thread, list[BaseException]]:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            run_producers(opts, factory, stop, counts or Counts())  # type: ignore[arg-type]
        except EmotionError as e:
            failures.append(e)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, failures


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def show(streams: Streams, count: int, camera: str = "pics", epoch: str = "run") -> None:
    """What a sink does that has shown the first `count` frames."""
    streams.register_sink("sink")
    streams.shown("sink", "sink", [], {camera: (epoch, count)}, b"")


# --- lossless ----------------------------------------------------------------------------------------------


def test_every_picture_once_in_order_errors_included(factory: Factory, streams: Streams, folder: Path) -> None:
    counts = Counts()
    run_producers(options(folder), factory, threading.Event(), counts)
    sent = frames(streams)
    assert [f.info.seq for f in sent] == list(range(40))
    assert [f.info.source for f in sent] == [str(folder / f"img{n}.jpg") for n in range(40)]
    assert {f.info.epoch for f in sent} == {"run"}
    assert {f.info.mode for f in sent} == {"lossless"}
    bad = sent[7]
    assert bad.outcome.status == "error"
    assert (bad.info.width, bad.info.height, bad.jpeg) == (0, 0, b"")
    assert sent[8].jpeg == (folder / "img8.jpg").read_bytes()
    assert (counts.appended, counts.failed) == (40, 1)
    assert streams.progress().ended == {"pics": ("run", 40)}
    assert streams.lease("camera:pics", "the next", 1)  # the lease was given back


def test_it_waits_for_the_sinks_and_deletes_what_they_have_shown(
    factory: Factory, streams: Streams, folder: Path
) -> None:
    streams.register_sink("sink")
    thread, failures = in_background(options(folder, in_flight=10), factory, threading.Event())
    wait_for(lambda: streams.position("pics", "run") == 10)
    time.sleep(0.1)
    assert streams.position("pics", "run") == 10
    show(streams, 6)
    wait_for(lambda: streams.position("pics", "run") == 16)
    wait_for(lambda: seqs(streams) == list(range(6, 16)))
    for shown in range(10, 41, 2):
        show(streams, shown)
        time.sleep(0.01)
    thread.join(5)
    assert not thread.is_alive()
    assert not failures
    assert seqs(streams) == []
    assert streams.position("pics", "run") == 40


def test_bytes_in_flight_are_bounded_too() -> None:
    flight = Flight(max_frames=100, max_bytes=1000)
    sent = [Flown("run", n, f"{n}-0", 400) for n in range(3)]
    for frame in sent:
        assert not flight.filled()
        flight.add(frame)
    assert flight.filled()
    assert flight.settle(1) == sent[:1]
    assert not flight.filled()
    assert flight.settle(3) == sent[1:]
    assert (flight.bytes, flight.next_seq) == (0, 3)
    flight.restart(2, sent[2:])
    assert (flight.bytes, flight.next_seq, flight.done) == (400, 2, 0)


def test_one_frame_larger_than_all_room_still_goes(factory: Factory, streams: Streams, folder: Path) -> None:
    opts = options(folder, in_flight_bytes=1)
    thread, _ = in_background(opts, factory, threading.Event())
    for n in range(1, 41):
        show(streams, n - 1)
        wait_for(lambda n=n: streams.position("pics", "run") >= n)  # type: ignore[misc]
    show(streams, 40)
    thread.join(5)
    assert not thread.is_alive()


def test_a_stopped_producer_goes_on_where_it_was(factory: Factory, streams: Streams, folder: Path) -> None:
    stop = threading.Event()
    thread, _ = in_background(options(folder, in_flight=15), factory, stop)
    wait_for(lambda: streams.position("pics", "run") == 15)
    began = time.monotonic()
    stop.set()
    thread.join(5)
    assert time.monotonic() - began < 1
    assert streams.progress().ended == {}
    run_producers(options(folder), factory, threading.Event(), Counts())
    assert seqs(streams) == list(range(40))
    assert [f.info.source for f in frames(streams)] == [str(folder / f"img{n}.jpg") for n in range(40)]


class Shaky(Streams):
    """Real streams over a connection that breaks: before a command, or after it and before its answer."""

    random = random.Random(5)
    rate = 0.3

    def append_frame(
        self, frame: Frame, token: str, max_entries: int | None = None, ttl: float = 5.0
    ) -> str | None:
        if self.random.random() < self.rate:
            raise ConnectionError("broken before")
        made = super().append_frame(frame, token, max_entries, ttl)
        if self.random.random() < self.rate:
            raise ConnectionError("broken after")
        return made


def test_lost_answers_neither_lose_nor_repeat_a_frame(factory: Factory, streams: Streams, folder: Path) -> None:
    counts = Counts()
    run_producers(
        options(folder),
        lambda _: Shaky(factory().client, streams.keys),
        threading.Event(),
        counts,
    )
    assert seqs(streams) == list(range(40))
    assert counts.appended == 40


def test_a_lapsed_lease_is_taken_again(factory: Factory, streams: Streams, folder: Path) -> None:
    thread, failures = in_background(options(folder, in_flight=5), factory, threading.Event())
    wait_for(lambda: streams.position("pics", "run") == 5)
    streams.client.delete(streams.keys.lease("camera:pics"))
    show(streams, 5)
    wait_for(lambda: streams.position("pics", "run") == 10)
    show(streams, 38)
    wait_for(lambda: streams.position("pics", "run") == 40)
    show(streams, 40)
    thread.join(5)
    assert not failures


def test_a_flushed_server_gets_the_frames_again(factory: Factory, streams: Streams, folder: Path) -> None:
    thread, failures = in_background(options(folder, in_flight=20), factory, threading.Event())
    wait_for(lambda: streams.position("pics", "run") == 20)
    keys = list(streams.client.scan_iter(streams.keys.namespace + ":*"))
    streams.client.delete(*keys)
    wait_for(lambda: streams.position("pics", "run") == 20 or not thread.is_alive())
    show(streams, 20)
    wait_for(lambda: streams.position("pics", "run") >= 39)
    show(streams, 40)
    thread.join(5)
    assert not failures
    assert streams.position("pics", "run") == 40


def test_a_killed_server_that_comes_back_has_every_frame_once(tmp_path: Path) -> None:
    embedded = EmbeddedServer(tmp_path / "s", memory=64 << 20, durable=True)
    embedded.start()
    keys = Keys("chaos")
    video = write_video(tmp_path / "clip.mp4", 400)
    with ExitStack() as stack:

        def make(camera: str = "") -> Streams:
            client = connect(embedded.url)
            stack.callback(client.close)
            return Streams(client, keys)

        try:
            streams = make()
            thread, failures = in_background(options(video, in_flight=100_000), make, threading.Event())
            for n in (50, 200):
                wait_for(lambda n=n: streams.position("clip", "run") >= n)  # type: ignore[misc]
                process = embedded._process
                assert process is not None
                process.kill()
                process.wait()
                time.sleep(0.1)
                assert embedded.restart_if_dead()
            thread.join(20)
            assert not thread.is_alive()
            assert not failures
            assert seqs(streams, "clip") == list(range(400))
        finally:
            embedded.stop()


# --- live --------------------------------------------------------------------------------------------------


def test_live_frames_stay_within_their_bytes(factory: Factory, streams: Streams, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", 60, rate=200, size=(320, 240))
    counts = Counts()
    run_producers(options(video, mode="live", frames_bytes=60_000), factory, threading.Event(), counts)
    kept = frames(streams)
    assert counts.appended == 60
    assert [f.info.seq for f in kept] == list(range(60 - len(kept), 60))  # the newest
    assert 20_000 < sum(len(f.jpeg) for f in kept) < 60_000 + 100 * 4096  # `~` trims whole nodes
    assert kept[0].info.epoch not in ("run", "")
    assert streams.progress().ended == {"clip": (kept[0].info.epoch, 60)}


def test_live_files_play_at_their_own_rate_and_are_young(
    factory: Factory, streams: Streams, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "clip.mp4", 21, rate=40)
    began = time.time()
    run_producers(options(video, mode="live"), factory, threading.Event(), Counts())
    assert 0.5 <= time.time() - began < 1.5
    sent = frames(streams)
    assert len(sent) == 21
    ages = [int(f.frame_id.split("-")[0]) / 1000 - f.info.captured_at for f in sent]
    assert sorted(ages)[10] < 0.02


def test_loop_and_cap(factory: Factory, streams: Streams, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", 10, rate=100)
    stop = threading.Event()
    thread, failures = in_background(options(video, loop=True, fps=20), factory, stop)
    time.sleep(1.2)
    stop.set()
    thread.join(5)
    assert not failures
    times = [f.info.media_time for f in frames(streams)]
    assert 15 <= len(times) <= 26
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps == pytest.approx([0.05] * len(gaps), abs=0.011)  # on through the loops
    assert [f.info.seq for f in frames(streams)] == list(range(len(times)))


def test_live_frames_are_dropped_and_counted_while_the_server_is_away(
    factory: Factory, streams: Streams, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "clip.mp4", 100, rate=200)
    counts = Counts()
    run_producers(
        options(video, mode="live"), lambda _: Shaky(factory().client, streams.keys), threading.Event(), counts
    )
    sent = frames(streams)
    shown = [f for f in sent if f.outcome.status == "ok"]
    numbers = [f.info.seq for f in sent]
    assert numbers == sorted(set(numbers))  # the gaps are the dropped ones, which the sink counts there
    (epoch,) = {f.info.epoch for f in sent}
    assert len(shown) == counts.appended > 3
    assert set(counts.lost) == {"redis"}
    assert counts.appended + len(counts.lost) == 100
    assert streams.position("clip", epoch) == 100
    assert numbers[-1] == 99  # after the last frame there is none to show a gap: one is sent as dropped
    assert streams.progress().work["producer"] == 100


def test_a_live_producer_begins_a_new_epoch_when_the_server_forgot(
    factory: Factory, streams: Streams, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "clip.mp4", 50, rate=50)
    thread, failures = in_background(options(video, mode="live"), factory, threading.Event())
    wait_for(lambda: len(frames(streams)) > 10)
    epoch = frames(streams)[0].info.epoch
    streams.client.delete(streams.keys.frames, streams.keys.progress, streams.keys.lease("camera:clip"))
    thread.join(10)
    assert not failures
    sent = frames(streams)
    numbers = [f.info.seq for f in sent]
    assert numbers == list(range(numbers[0], numbers[0] + len(sent)))
    assert numbers[0] == 1  # that by which it was noticed is lost, and counted as missing
    assert {f.info.epoch for f in sent} != {epoch}


def test_what_people_call_a_camera_is_in_its_frames(factory: Factory, streams: Streams, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 3)
    run_producers(options(f"Haupteingang Süd={clip}"), factory, threading.Event(), Counts())
    names = {(frame.info.camera, frame.info.display_name, frame.info.called) for frame in frames(streams)}
    assert names == {("Haupteingang_Sud", "Haupteingang Süd", "Haupteingang Süd")}
