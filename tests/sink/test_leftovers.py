"""What a run left behind: one that begins on the same server gets its own frames only."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emotion_stream.shared.messages.codec import decode_frame, encode_emotions
from emotion_stream.shared.messages.types import Emotions
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions, ProducerOptions
from emotion_stream.shared.streams.access import holding
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink import leftovers
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.tracking.follow import Follower, following
from tests.conftest import make_frame
from tests.producer.conftest import Factory
from tests.producer.conftest import factory as factory
from tests.producer.conftest import folder as folder
from tests.producer.test_producer import in_background, options
from tests.shared.test_upgrades import Kept
from tests.shared.test_worker import own_connection, until
from tests.support import threads


def result(streams: Streams, mode: str, epoch: str, seq: int, frame_id: str, camera: str = "cam") -> None:
    message = Emotions(make_frame(seq, camera, epoch, mode=mode).info, frame_id, (), ())
    streams.client.xadd(streams.keys.emotions, encode_emotions(message))  # type: ignore[arg-type]


@contextmanager
def showing(streams: Streams, kept: Kept) -> Iterator[Service]:
    """A sink that runs on its own, in a thread."""
    service = Service("sink", "0", CommonOptions())
    follower = Follower(following("1/1", 0.0, "off"))
    sink = Sink(
        service, own_connection(streams), "sink", lambda: [kept], 1.0, Watchdog(10), follower, own_run=False
    )
    with threads.running(sink.run, service):
        yield service


def begin_pass(streams: Streams, epoch: str, count: int) -> None:
    """A producer has sent so many frames of it, and died."""
    streams.ensure_group(streams.keys.emotions, "sink")
    streams.register_sink("sink")
    assert streams.lease("camera:cam", "killed", 60)
    for seq in range(count):
        assert streams.append_frame(make_frame(seq, epoch=epoch), "killed", ttl=60)
    streams.client.delete(streams.keys.frames)
    streams.release("camera:cam", "killed")


def producing(opts: ProducerOptions, factory: Factory) -> Callable[[], None]:
    """A producer in a thread; what is returned stops it."""
    stop = threading.Event()
    thread, failures = in_background(opts, factory, stop)

    def end() -> None:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
        assert not failures

    return end


def hand_on(streams: Streams, most: int) -> int:
    """Turn frames into results without faces, in order: so many, or all that come. Returns how many there were."""
    streams.ensure_group(streams.keys.frames, "detector")
    count = 0
    while entries := streams.read_new(streams.keys.frames, "detector", "a test", most - count, 0.5):
        for entry in entries:
            frame = decode_frame(entry.fields, entry.id)
            message = Emotions(frame.info, frame.frame_id, (), (), frame.outcome)
            streams.client.xadd(streams.keys.emotions, encode_emotions(message))  # type: ignore[arg-type]
        count += len(entries)
        if count == most:
            break
    return count


def soon() -> str:
    """The id of a frame that is sent after any sink of the test has begun."""
    return f"{int(time.time() * 1000) + 1000}-0"


def shown(kept: Kept) -> list[tuple[str, int]]:
    return [(r.info.epoch, r.info.seq) for r in kept.results]


def pending(streams: Streams) -> int:
    return int(streams.client.xpending(streams.keys.emotions, "sink")["pending"])


def test_a_pass_gets_its_own_frames_only(streams: Streams) -> None:
    kept = Kept()
    streams.ensure_group(streams.keys.emotions, "sink")
    for seq in (7, 8):
        result(streams, "live", "ended", seq, f"{seq}-0")
    with showing(streams, kept) as service:
        until(lambda: pending(streams) == 2)  # read, and held back: nobody is there yet
        assert streams.lease("mode", "lossless", 60)
        assert streams.lease("camera:cam", "the pass", 60)
        for seq in range(3):
            result(streams, "lossless", "pass1", seq, f"{10 + seq}-0")
        until(lambda: len(kept.results) == 3 and pending(streams) == 0)
        counted = service.registry.get_sample_value("emotion_frames_total", {"stage": "sink"})
    assert shown(kept) == [("pass1", 0), ("pass1", 1), ("pass1", 2)], "neither stored"
    assert counted == 3, "nor counted"


def test_a_sink_that_comes_back_shows_what_its_run_sent_meanwhile(streams: Streams) -> None:
    kept = Kept()
    streams.ensure_group(streams.keys.emotions, "sink")
    assert streams.lease("mode", "live", 60)
    assert streams.lease("camera:cam", "still there", 60)
    for seq in range(3):
        result(streams, "live", "goes on", seq, f"{seq + 1}-0")
    with showing(streams, kept):
        result(streams, "live", "goes on", 3, soon())
        until(lambda: len(kept.results) == 4, 5)  # at once, not when nobody else has come
    assert shown(kept) == [("goes on", 0), ("goes on", 1), ("goes on", 2), ("goes on", 3)]


@pytest.mark.parametrize("known", [True, False], ids=["a sink that comes late", "a sink that waits"])
def test_a_live_run_gets_nothing_of_the_live_run_before_it(streams: Streams, known: bool) -> None:
    """Of the same camera, and in the hands of a producer of the same name."""
    kept = Kept()
    begin_pass(streams, "before", 3)
    for seq in range(3):
        result(streams, "live", "before", seq, f"{seq + 1}-0")
    assert streams.lease("mode", "live", 60)
    assert streams.lease("camera:cam", "producer-0", 60)
    if known:
        assert streams.append_frame(make_frame(0, epoch="now", mode="live"), "producer-0", ttl=60)
    with showing(streams, kept) as service:
        until(lambda: pending(streams) == (0 if known else 3))
        if not known:
            assert streams.append_frame(make_frame(0, epoch="now", mode="live"), "producer-0", ttl=60)
            until(lambda: pending(streams) == 0)
        result(streams, "live", "now", 0, soon())
        until(lambda: len(kept.results) == 1 and pending(streams) == 0)
        counted = service.registry.get_sample_value("emotion_frames_total", {"stage": "sink"})
    assert shown(kept) == [("now", 0)], "neither stored"
    assert counted == 1, "nor counted"


def test_a_clip_that_ended_before_its_sink_began_is_shown(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "PATIENCE", 0.3)
    kept = Kept()
    streams.ensure_group(streams.keys.emotions, "sink")
    for seq in range(3):
        result(streams, "live", "short", seq, f"{seq + 1}-0")
    with showing(streams, kept):
        until(lambda: len(kept.results) == 3)
    assert shown(kept) == [("short", 0), ("short", 1), ("short", 2)]


@pytest.mark.parametrize("known", [True, False], ids=["a sink that is told at once", "a sink that waits"])
def test_a_live_run_gets_its_own_frames_only(streams: Streams, known: bool) -> None:
    """The other way round: a pass was killed, and a live run begins."""
    kept = Kept()
    begin_pass(streams, "pass1", 5)
    for seq in range(2, 5):
        result(streams, "lossless", "pass1", seq, f"{seq}-0")
    if known:
        assert streams.lease("mode", "live", 60)
    with showing(streams, kept) as service:
        if not known:
            until(lambda: pending(streams) == 3)
            assert streams.lease("mode", "live", 60)
        assert streams.lease("camera:cam", "the live run", 60)
        result(streams, "live", "now", 0, soon())
        until(lambda: len(kept.results) == 1 and pending(streams) == 0)
        counted = service.registry.get_sample_value("emotion_frames_total", {"stage": "sink"})
    assert shown(kept) == [("now", 0)], "neither stored"
    assert counted == 1, "nor counted"
    assert streams.position("cam", "pass1") == 0, "and the pass can be taken up again"


@pytest.mark.parametrize("token", [holding("producer-1", "pass1"), "of an older version"])
def test_a_pass_that_goes_on_loses_nothing_when_its_sink_comes_back(streams: Streams, token: str) -> None:
    kept = Kept()
    begin_pass(streams, "pass1", 3)
    assert streams.lease("mode", "lossless", 60)
    assert streams.lease("camera:cam", token, 60)
    for seq in range(3):
        result(streams, "lossless", "pass1", seq, f"{seq + 1}-0")
    with showing(streams, kept):
        until(lambda: len(kept.results) == 3, 5)  # at once, not when nobody else has come
    assert shown(kept) == [("pass1", 0), ("pass1", 1), ("pass1", 2)]


@pytest.mark.parametrize(("camera", "run"), [("cam", "run@1"), ("another", "run@1"), ("another", "run")])
def test_all_passes_of_a_run_go_on_together(streams: Streams, camera: str, run: str) -> None:
    """A camera that was put back is in a further pass of the same run."""
    kept = Kept()
    begin_pass(streams, "run", 2)
    for seq in range(2):
        result(streams, "lossless", "run@2" if run == "run" else "run", seq, f"{seq + 1}-0")
    assert streams.lease("mode", "lossless", 60)
    token = holding("producer-1", run)
    assert streams.lease(f"camera:{camera}", token, 60)
    assert streams.append_frame(make_frame(0, camera, run), token, ttl=60)
    with showing(streams, kept):
        result(streams, "lossless", run, 0, soon(), camera)
        until(lambda: len(kept.results) == 3, 15)


@pytest.mark.parametrize("camera", ["cam", "another"])
def test_a_pass_gets_nothing_of_an_interrupted_one(streams: Streams, camera: str) -> None:
    kept = Kept()
    begin_pass(streams, "pass1", 2)
    for seq in range(2):
        result(streams, "lossless", "pass1", seq, f"{seq + 1}-0")
    assert streams.lease("mode", "lossless", 60)
    token = holding("producer-1", "pass2")
    assert streams.lease(f"camera:{camera}", token, 60)
    assert streams.append_frame(make_frame(0, camera, "pass2"), token, ttl=60)
    with showing(streams, kept):
        result(streams, "lossless", "pass2", 0, soon(), camera)
        until(lambda: len(kept.results) == 1 and pending(streams) == 0)
    assert shown(kept) == [("pass2", 0)]


def test_a_pass_that_was_sent_whole_before_any_sink_came_is_shown(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the next one, of another camera, is under way: lossless is lossless."""
    monkeypatch.setattr(leftovers, "PATIENCE", 0.3)
    kept = Kept()
    begin_pass(streams, "pass1", 2)
    streams.finish("cam", "pass1", 2)
    for seq in range(2):
        result(streams, "lossless", "pass1", seq, f"{seq + 1}-0")
    assert streams.lease("mode", "lossless", 60)
    token = holding("producer-1", "pass2")
    assert streams.lease("camera:another", token, 60)
    assert streams.append_frame(make_frame(0, "another", "pass2"), token, ttl=60)
    with showing(streams, kept):
        until(lambda: len(kept.results) == 2)
    assert shown(kept) == [("pass1", 0), ("pass1", 1)]


def test_a_dead_letter_that_somebody_replays_is_shown_whatever_runs(streams: Streams) -> None:
    kept = Kept()
    streams.ensure_group(streams.keys.emotions, "sink")
    assert streams.lease("mode", "lossless", 60)
    result(streams, "live", "replay-1234", 0, "1-0", "cam.replay")
    with showing(streams, kept):
        until(lambda: len(kept.results) == 1)
    assert shown(kept) == [("replay-1234", 0)]


def test_a_straggler_of_the_run_before_is_left_out_by_a_sink_that_saw_both(streams: Streams) -> None:
    """A worker was killed with live frames: they come when another has claimed them, and the pass is under way."""
    kept = Kept()
    streams.ensure_group(streams.keys.emotions, "sink")
    assert streams.lease("mode", "live", 60)
    now = int(time.time() * 1000) + 1000
    with showing(streams, kept):
        result(streams, "live", "before", 0, f"{now}-0")
        until(lambda: len(kept.results) == 1)
        streams.release("mode", "live")
        assert streams.lease("mode", "lossless", 60)
        result(streams, "lossless", "pass1", 0, f"{now + 2}-0")
        until(lambda: len(kept.results) == 2)
        result(streams, "live", "before", 1, f"{now + 1}-0")
        result(streams, "lossless", "pass1", 1, f"{now + 3}-0")
        until(lambda: len(kept.results) == 3 and pending(streams) == 0)
    assert shown(kept) == [("before", 0), ("pass1", 0), ("pass1", 1)]


def test_an_interrupted_pass_is_whole_when_it_is_taken_up_again(
    streams: Streams, factory: Factory, folder: Path
) -> None:
    """Producer and sink as they are; between them the test hands on what a detector and a classifier would. Killed
    with frames on their way, followed by a live run, and begun again with the same name."""
    kept = Kept()
    size = (folder / "img0.jpg").stat().st_size
    opts = options(folder, in_flight=10, in_flight_bytes=9 * size)
    with showing(streams, kept):
        end = producing(opts, factory)
        until(lambda: hand_on(streams, 1) == 1)
        until(lambda: len(kept.results) == 1 and streams.position("pics", "run") >= 10)
        end()
    hand_on(streams, 99)  # its sink is gone, too
    streams.client.delete(streams.keys.lease("mode"))
    assert streams.lease("mode", "live", 60)
    live = Kept()
    with showing(streams, live):
        until(lambda: streams.position("pics", "run") == 1 and pending(streams) == 0)
    assert not live.results
    streams.release("mode", "live")
    with showing(streams, kept):
        end = producing(opts, factory)
        until(lambda: hand_on(streams, 99) == 0 and len(kept.results) >= 40, 30)
        end()
    assert [r.info.seq for r in kept.results] == list(range(40))
    assert streams.length(streams.keys.frames) == 0, "no picture is left behind"
