"""The producer's loop against a real server: nothing lost, nothing twice, and an end to everything."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError

import producer.link
from emotion.server import EmbeddedServer
from producer.loop import run_producers
from producer.lossless import Flight
from producer.spec import plan
from shared.codec import decode_frame
from shared.connection import connect
from shared.errors import EmotionError, UsageError
from shared.keys import Keys
from shared.messages import Frame
from shared.options import ProducerOptions
from shared.streams import Flown, Streams
from tests.conftest import append_frames
from tests.test_sources import Counts, encoded, noise, write_video

Factory = Callable[..., Streams]


@pytest.fixture
def factory(server: EmbeddedServer, streams: Streams) -> Iterator[Factory]:
    """Makes streams of the test's own namespace, each on its own connection."""
    with ExitStack() as stack:

        def make(camera: str = "") -> Streams:
            client = connect(server.url)
            stack.callback(client.close)
            return Streams(client, streams.keys)

        yield make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 pictures, number 7 of them corrupt."""
    path = tmp_path / "pics"
    path.mkdir()
    jpeg = encoded(".jpg", noise())
    for n in range(40):
        (path / f"img{n}.jpg").write_bytes(b"no JPEG" if n == 7 else jpeg)
    return path


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
    assert [f.info.seq for f in sent] == list(range(len(sent)))
    assert len({f.info.epoch for f in sent}) == 1
    assert len(sent) == counts.appended > 3
    assert set(counts.lost) == {"redis"}
    assert counts.appended + len(counts.lost) == 100


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
    assert [f.info.seq for f in sent] == list(range(len(sent)))
    assert {f.info.epoch for f in sent} != {epoch}


# --- several, and the end of things ------------------------------------------------------------------------


def test_several_cameras_at_once(factory: Factory, streams: Streams, folder: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", 30)
    run_producers(options(folder, f"b={video}"), factory, threading.Event(), Counts())
    assert seqs(streams) == list(range(40))
    assert seqs(streams, "b") == list(range(30))
    assert streams.progress().ended == {"pics": ("run", 40), "b": ("run", 30)}


def test_nothing_is_appended_unless_all_can_be_opened(
    factory: Factory, streams: Streams, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    with pytest.raises(EmotionError, match=r"text\.mp4"):
        run_producers(options(folder, tmp_path / "text.mp4"), factory, threading.Event(), Counts())
    assert frames(streams) == []
    assert streams.lease("camera:pics", "the next", 1)


def test_a_failure_stops_the_others_and_is_told(
    factory: Factory, streams: Streams, folder: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "clip.mp4", 40)
    thread, failures = in_background(options(folder, video, in_flight=5), factory, threading.Event())
    wait_for(lambda: streams.position("pics", "run") == 5 and streams.position("clip", "run") == 5)
    streams.client.set(streams.keys.lease("camera:clip"), "somebody else")
    show(streams, 2, "clip")
    thread.join(5)
    assert not thread.is_alive()
    assert str(failures[0]) == "camera clip is in use by another producer"
    assert streams.position("pics", "run") == 5


def test_a_camera_in_use_is_refused(
    factory: Factory, streams: Streams, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer.link, "LEASE_PATIENCE", 0.3)
    assert streams.lease("camera:pics", "somebody else", 5)
    with pytest.raises(EmotionError, match="camera pics is in use by another producer"):
        run_producers(options(folder), factory, threading.Event(), Counts())
    assert frames(streams) == []


def test_a_dead_producers_lease_is_waited_for(factory: Factory, streams: Streams, folder: Path) -> None:
    assert streams.lease("camera:pics", "a dead one", 0.5)
    run_producers(options(folder), factory, threading.Event(), Counts())
    assert len(frames(streams)) == 40


def test_a_server_that_is_not_there_is_one_clear_line(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer.link, "LEASE_PATIENCE", 0.3)
    client = connect(f"unix://{tmp_path}/none.sock")
    with pytest.raises(EmotionError, match="Redis cannot be reached: ") as caught:
        run_producers(options(folder), lambda _: Streams(client, Keys("x")), threading.Event(), Counts())
    assert "\n" not in str(caught.value)


def test_stopping_is_quick_while_a_url_is_awaited(factory: Factory) -> None:
    stop = threading.Event()
    thread, failures = in_background(options("http://127.0.0.1:1/x"), factory, stop)
    time.sleep(0.3)
    began = time.monotonic()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - began < 1.5
    assert not failures


def test_the_mode_of_a_run(folder: Path) -> None:
    assert plan(options(folder))[0] == "lossless"
    assert plan(options(folder, "0"))[0] == "live"  # live streams are trimmed: all or none
    assert plan(options(folder, loop=True))[0] == "live"
    assert plan(options("0", mode="lossless"))[0] == "lossless"
    with pytest.raises(UsageError, match="--loop"):
        plan(options(folder, loop=True, mode="lossless"))
    with pytest.raises(UsageError, match="no source"):
        plan(ProducerOptions())


def test_a_restarted_producer_deletes_the_frames_of_the_one_before(
    factory: Factory, streams: Streams, folder: Path
) -> None:
    """Nobody else would: Redis would fill up with every restart."""
    show(streams, 0)
    stop = threading.Event()
    thread, failures = in_background(options(folder, in_flight=10), factory, stop)
    wait_for(lambda: len(frames(streams)) == 10)
    stop.set()
    thread.join(5)
    thread, failures = in_background(options(folder, in_flight=10), factory, threading.Event())
    for count in range(5, 41, 5):
        show(streams, count)
        wait_for(lambda count=count: streams.position("pics", "run") >= min(40, count + 10))  # type: ignore[misc]
    thread.join(10)
    assert not thread.is_alive()
    assert not failures
    assert frames(streams) == []


def test_a_new_run_deletes_what_a_killed_one_left(factory: Factory, streams: Streams, folder: Path) -> None:
    append_frames(streams, 5, "pics")
    streams.release("camera:pics", "me")
    streams.register_sink("sink")
    opts = replace(options(folder), run_id="another run")
    thread, failures = in_background(opts, factory, threading.Event())
    wait_for(lambda: streams.position("pics", "another run") == 40)
    assert {frame.epoch for frame in streams.flight("pics")} == {"run", "another run"}
    show(streams, 40, epoch="another run")
    thread.join(10)
    assert not thread.is_alive()
    assert not failures
    assert frames(streams) == []
    assert streams.flight("pics") == []
