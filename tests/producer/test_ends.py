"""Several cameras at once, and the end of things."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from emotion_stream.producer import link as producer_link
from emotion_stream.producer.loop import run_producers
from emotion_stream.producer.sources.spec import plan
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams
from tests.conftest import append_frames
from tests.producer.conftest import Factory
from tests.producer.test_producer import frames, in_background, options, seqs, show, wait_for
from tests.producer.test_sources import Counts, write_video

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
    monkeypatch.setattr(producer_link, "LEASE_PATIENCE", 0.3)
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
    monkeypatch.setattr(producer_link, "LEASE_PATIENCE", 0.3)
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
