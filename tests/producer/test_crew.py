"""Cameras of one producer come, change and go while others are played."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.producer.changes import Assignment, assign, compare, pass_name
from emotion_stream.producer.link import Stopped
from emotion_stream.producer.loop import Given, Read, run_producers
from emotion_stream.producer.member import Producer
from emotion_stream.producer.roll import Roll
from emotion_stream.producer.signals import Signals
from emotion_stream.producer.sources.spec import plan
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.process.metrics import Metrics
from emotion_stream.shared.settings.cameras import Camera
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.streams.shard import Streams
from tests.producer.cameras.test_own_settings import camera
from tests.producer.conftest import Factory
from tests.producer.test_producer import frames, seqs, wait_for
from tests.producer.test_sources import Counts, write_video


class Played:
    """A producer in a thread, and what it is given next."""

    def __init__(self, factory: Factory, options: ProducerOptions, *cameras: Camera) -> None:
        self.stop, self.over = threading.Event(), threading.Event()
        self.metrics = Metrics(CollectorRegistry(), "producer")
        self.signals = Signals(self.metrics.camera_problems)
        self.roll: Roll | None = Roll()
        self.refused: list[str] = []
        self._options = options
        self._next: tuple[Camera, ...] | None = None
        self._factory = factory
        self._cameras = cameras

    def run(self) -> None:
        run_producers(
            self._options,
            self._factory,
            self.stop,
            Counts(),
            roll=self.roll,
            signals=self.signals,
            cameras=self._cameras,
            news=self._news,
        )
        self.over.set()

    def change(self, *cameras: Camera) -> None:
        self._next = cameras

    def _news(self, read: Read) -> tuple[Assignment, ...] | None:
        given, self._next = self._next, None
        try:
            return None if given is None else read(Given(self._options, given))
        except EmotionError as e:
            self.refused.append(str(e))
            return None


@contextmanager
def playing(factory: Factory, options: ProducerOptions, *cameras: Camera) -> Iterator[Played]:
    played = Played(factory, options, *cameras)
    thread = threading.Thread(target=played.run, daemon=True)
    thread.start()
    try:
        yield played
    finally:
        played.stop.set()
        thread.join(15)
        assert not thread.is_alive()


def live(**more: Any) -> ProducerOptions:
    return ProducerOptions(mode="live", loop=True, **more)


def lossless() -> ProducerOptions:
    return ProducerOptions(run_id="run", paced=True)


def show_all(streams: Streams, *cameras: str) -> bool:
    """As a sink that is called `s` does."""
    progress = streams.progress()
    for name in cameras:
        epoch, count = progress.appended[name]
        streams.write("HSET", streams.keys.progress, f"done|s|{name}", f"{epoch} {count}")
    return True


def test_the_difference_of_two_lists(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 3)

    def assigned(*cameras: Camera, **options: Any) -> tuple[Assignment, ...]:
        given = live(**options)
        return assign(plan(given, cameras)[1], given, cameras)

    a, b, c = (camera(name, clip) for name in "abc")
    before = assigned(a, b)
    assert not compare(before, assigned(b, a)), "another order alone is no change"
    change = compare(before, assigned(c, camera("b", clip, fps=5.0)))
    assert [x.name for x in change.added] == ["c"]
    assert [x.name for x in change.changed] == ["b"]
    assert change.removed == ("a",)
    assert str(change) == "added c; changed b; removed a"
    for own in ({"min_face": 0.2}, {"ignore": (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),)}, {"stall_after": 9.0}):
        assert compare(before, assigned(a, camera("b", clip, **own))).changed
    assert compare(before, assigned(a, camera("b", clip, name="Süd"))).changed


@pytest.mark.parametrize(
    ("stored", "left", "expected"),
    [
        ("", False, "run"),
        ("run", False, "run"),
        ("run", True, "run@1"),
        ("run@1", False, "run@1"),
        ("run@9", True, "run@10"),
        ("other", True, "run"),
        ("other@3", False, "run"),
    ],
)
def test_which_pass_over_a_file_it_is(stored: str, left: bool, expected: str) -> None:
    assert pass_name("run", stored, left) == expected


def test_a_pass_that_was_let_go_before_its_first_frame_is_over_as_well(streams: Streams) -> None:
    """A sink shows no more frames of it, so that the next pass needs a name of its own."""
    streams.let_go("a", "run", 0)
    assert streams.standing("a") == ("run", True)
    streams.write("HSET", streams.keys.progress, "at|a", "run 3")
    streams.let_go("a", "run@1", 0)
    assert streams.standing("a") == ("run@1", True)
    streams.take_on("a", anew=False)
    assert streams.standing("a") == ("run", False)


def test_one_comes_and_one_goes_and_the_third_goes_on(factory: Factory, streams: Streams, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 10, rate=50)
    with playing(factory, live(), camera("a", clip), camera("b", clip)) as played:
        wait_for(lambda: bool(seqs(streams, "a") and seqs(streams, "b")))
        played.change(camera("c", clip), camera("a", clip))
        wait_for(lambda: bool(seqs(streams, "c")) and "b" in streams.progress().left)
        told = streams.progress()
        assert told.left["b"] == told.appended["b"]
        assert "b" not in told.signals
        assert "b" not in told.ended
        assert streams.producing(["a", "b", "c"])[1].keys() == {"a", "c"}, "somebody else may have b"
        wait_for(lambda: [s.place for s in map(streams.progress().signals.get, "ca") if s] == [0, 1])
        assert played.roll is not None
        assert played.roll.check() == (True, "cameras: 2 of 2\n")
        assert len({frame.info.epoch for frame in frames(streams) if frame.info.camera == "a"}) == 1
        found = seqs(streams, "a")
        assert found == list(range(len(found)))
        played.change(camera("a", clip), camera("b", clip))  # it comes back
        gone = told.left["b"][0]
        wait_for(lambda: streams.progress().appended["b"][0] != gone)
        assert "b" not in streams.progress().left


def test_one_that_is_removed_while_it_changes_is_gone_as_well(
    factory: Factory, streams: Streams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, tried = write_video(tmp_path / "clip.mp4", 10, rate=50), threading.Event()
    acquire = Producer.acquire

    def late(producer: Producer) -> None:
        if producer.assignment.options.max_width == 16:
            tried.set()  # the server does not answer
            producer.job.context.stop.wait()
            raise Stopped
        acquire(producer)

    monkeypatch.setattr(Producer, "acquire", late)
    with playing(factory, live(), camera("a", clip), camera("b", clip)) as played:
        wait_for(lambda: bool(seqs(streams, "b")))
        played.change(camera("a", clip), camera("b", clip, max_width=16))
        assert tried.wait(10)
        played.change(camera("a", clip))
        wait_for(lambda: streams.progress().left.get("b") == streams.progress().appended["b"])
        wait_for(lambda: "b" not in streams.producing(["a", "b"])[1])


def test_a_changed_one_begins_alone_and_areas_need_no_beginning(
    factory: Factory, streams: Streams, tmp_path: Path
) -> None:
    clip = write_video(tmp_path / "clip.mp4", 10, rate=50)

    def newest(name: str) -> Any:
        return [frame.info for frame in frames(streams) if frame.info.camera == name][-1]

    with playing(factory, live(), camera("a", clip), camera("b", clip)) as played:
        wait_for(lambda: bool(seqs(streams, "a") and seqs(streams, "b")))
        epochs = {name: newest(name).epoch for name in "ab"}
        played.change(camera("a", clip), camera("b", clip, max_width=16))
        wait_for(lambda: newest("b").width == 16)
        assert newest("a").epoch == epochs["a"]
        assert newest("b").epoch != epochs["b"]
        assert "b" not in streams.progress().ended, "nobody is told that it has come to its end"
        played.change(camera("a", clip, min_face=0.3), camera("b", clip, max_width=16))
        wait_for(lambda: newest("a").settings.min_face == 0.3)
        assert newest("a").epoch == epochs["a"]


def test_lossless_what_is_on_its_way_arrives_and_is_deleted(
    factory: Factory, streams: Streams, tmp_path: Path
) -> None:
    clip = write_video(tmp_path / "clip.mp4", 400, rate=20)
    streams.register_sink("s")
    with playing(factory, lossless(), camera("a", clip), camera("b", clip)) as played:
        wait_for(lambda: len(seqs(streams, "b")) > 2)
        played.change(camera("a", clip))

        def is_still() -> bool:
            before = len(seqs(streams, "b"))
            time.sleep(0.3)  # six frames
            return len(seqs(streams, "b")) == before

        wait_for(is_still)
        assert len(seqs(streams, "b")) >= 3
        assert "b" not in streams.progress().left, "nobody has shown them"
        show_all(streams, "b")
        wait_for(lambda: "b" in streams.progress().left)
        assert streams.progress().left["b"] == ("run", streams.progress().appended["b"][1])
        assert not seqs(streams, "b")
        assert not streams.flight("b")
        played.change(camera("a", clip), camera("b", clip))  # again from its first picture
        wait_for(lambda: len(seqs(streams, "b")) > 1)
        assert streams.progress().appended["b"][0] == "run@1"
        assert seqs(streams, "b")[:2] == [0, 1]
        assert len({frame.info.epoch for frame in frames(streams) if frame.info.camera == "a"}) == 1


def test_lossless_a_changed_one_goes_on_where_it_was_and_a_new_file_begins_anew(
    factory: Factory, streams: Streams, tmp_path: Path
) -> None:
    clip, other = write_video(tmp_path / "clip.mp4", 400, rate=20), write_video(tmp_path / "other.mp4", 5)
    streams.register_sink("s")
    with playing(factory, lossless(), camera("a", clip), camera("b", clip)) as played:
        wait_for(lambda: len(seqs(streams, "b")) > 2)
        played.change(camera("a", clip), camera("b", clip, max_width=16))
        wait_for(lambda: any(f.info.width == 16 for f in frames(streams)))
        found = seqs(streams, "b")
        assert found == list(range(len(found)))
        assert {frame.info.epoch for frame in frames(streams)} == {"run"}
        played.change(camera("a", clip), camera("b", other, max_width=16))

        def follows() -> bool:
            show_all(streams, "b")
            return streams.progress().ended.get("b") == ("run@1", 5)

        wait_for(follows)
        played.change(camera("a", other))  # the last one that is played
        wait_for(lambda: bool(show_all(streams, "a", "b") and streams.progress().ended.get("a") == ("run@1", 5)))
        wait_for(lambda: bool(show_all(streams, "a", "b") and played.over.is_set()))


@pytest.mark.parametrize(
    ("cameras", "said"),
    [
        ([], "there is no camera left in the settings file"),
        ([Camera("a")], "[cameras.a] has no source"),
        ([Camera("x", "rtsp://127.0.0.1/x")], "[cameras.x], source: it is live, and this run reads files"),
        ([Camera("x", "nowhere.mp4")], "[cameras.x], source: source nowhere.mp4: no such file"),
    ],
)
def test_what_cannot_be_leaves_all_as_it_was(
    factory: Factory, streams: Streams, tmp_path: Path, cameras: Sequence[Camera], said: str
) -> None:
    clip = write_video(tmp_path / "clip.mp4", 400, rate=20)
    with playing(factory, lossless(), camera("a", clip)) as played:
        wait_for(lambda: len(seqs(streams, "a")) > 1)
        played.change(*cameras)
        wait_for(lambda: bool(played.refused))
        assert said in played.refused[0]
        before = len(seqs(streams, "a"))
        wait_for(lambda: len(seqs(streams, "a")) > before)
        assert {frame.info.epoch for frame in frames(streams)} == {"run"}


def test_one_that_cannot_be_played_takes_nobody_down(
    factory: Factory, streams: Streams, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip, broken = write_video(tmp_path / "clip.mp4", 400, rate=20), tmp_path / "broken.mp4"
    broken.write_text("no video\n" * 99)
    caplog.set_level(logging.INFO)
    with playing(factory, lossless(), camera("a", clip)) as played:
        wait_for(lambda: len(seqs(streams, "a")) > 1)
        played.change(camera("a", clip), camera("b", broken))
        wait_for(lambda: streams.progress().ended.get("b") == ("run", 0))
        assert "camera b: " in caplog.text
        before = len(seqs(streams, "a"))
        wait_for(lambda: len(seqs(streams, "a")) > before)
        signal = streams.progress().signals.get("b")
        assert signal is None or signal.state == "lost"


def test_a_lost_camera_that_is_removed_is_no_problem_any_more(
    factory: Factory, streams: Streams, tmp_path: Path
) -> None:
    clip = write_video(tmp_path / "clip.mp4", 10, rate=50)

    def problems() -> float:
        found = played.metrics.registry.get_sample_value
        return found("emotion_camera_problems", {"stage": "producer", "reason": "refused"}) or 0

    dead = Camera("dead", "http://127.0.0.1:1/x")
    with playing(factory, live(), camera("a", clip)) as played:
        wait_for(lambda: bool(seqs(streams, "a")))
        played.change(camera("a", clip), dead)
        wait_for(lambda: problems() == 1)
        assert played.roll is not None
        assert "dead" in played.roll.missing()
        played.change(camera("a", clip))
        wait_for(lambda: problems() == 0)
        wait_for(lambda: "dead" in streams.progress().left)
        assert played.roll.missing() == {}


def test_where_only_some_are_wanted_all_of_them_may_go_for_a_while(
    factory: Factory, streams: Streams, tmp_path: Path
) -> None:
    clip = write_video(tmp_path / "clip.mp4", 10, rate=50)
    with playing(factory, live(only_cameras=("a",)), camera("a", clip)) as played:
        wait_for(lambda: bool(seqs(streams, "a")))
        played.change()
        wait_for(lambda: "a" in streams.progress().left)
        assert not played.refused
        played.change(camera("a", clip))
        wait_for(lambda: "a" not in streams.progress().left)


# --- the process, as a container runs it -------------------------------------------------------------------


@contextmanager
def producer(server: EmbeddedServer, streams: Streams, *more: str) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "emotion_stream.producer", "--redis", server.url, "--mode", "live", "--loop"]
    command += ["--namespace", streams.keys.namespace, *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_hears_a_signal_and_watches_its_file(server: EmbeddedServer, streams: Streams, tmp_path: Path) -> None:
    clip, settings = write_video(tmp_path / "clip.mp4", 10, rate=20), tmp_path / "cameras.toml"

    def write(*names: str) -> None:
        new = settings.with_suffix(".new")
        new.write_text("".join(f"[cameras.{name}]\nsource = '{clip}'\n" for name in names))
        new.replace(settings)

    def there() -> set[str]:
        told = streams.progress()
        return {frame.info.camera for frame in frames(streams)} - told.left.keys()

    write("hall", "attic", "yard")
    only = ("--only-cameras", "hall", "--only-cameras", "yard")
    with producer(server, streams, f"--cameras-file={settings}", *only, "--watch-settings") as process:
        wait_for(lambda: there() == {"hall", "yard"}, 60)
        write("hall", "attic")
        wait_for(lambda: there() == {"hall"}, 60)
        write("attic")  # none of those that it takes is left: it waits for them
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: there() == set(), 60)
        write("hall", "attic", "yard")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: there() == {"hall", "yard"}, 60)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr is not None
        told = [line for line in process.stderr if "cameras: " in line]
    assert [line.partition("cameras: ")[2].strip() for line in told] == [
        "removed yard",
        "removed hall",
        "added hall, yard",
    ]


def test_a_name_that_the_file_does_not_have_is_refused(
    server: EmbeddedServer, streams: Streams, tmp_path: Path
) -> None:
    settings = tmp_path / "cameras.toml"
    settings.write_text("[cameras.hall]\nsource = 'sample'\n")
    with producer(server, streams, f"--cameras-file={settings}", "--only-cameras=hal") as process:
        assert process.wait(60) == 2
        assert process.stderr is not None
        assert "--only-cameras hal: there is no table [cameras.hal] in the settings file" in process.stderr.read()
