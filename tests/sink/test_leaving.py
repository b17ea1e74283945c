"""A camera that was let go: a sink forgets it everywhere, and takes it in again when it comes back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emotion_stream.shared.messages.types import Emotions, Outcome
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.events.event import Event
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.outputs.video import Video
from emotion_stream.sink.results.leaving import Departures, Leaving, present
from emotion_stream.sink.results.monitor import Monitor, Report
from tests.shared.test_upgrades import Kept
from tests.shared.test_worker import own_connection
from tests.sink.events.test_sink import add, live
from tests.support import threads
from tests.support.events import follower, until
from tests.support.web_feed import make_image, make_result


def test_each_departure_is_new_once_and_not_while_frames_are_under_way() -> None:
    departures, left = Departures(), {"a": ("e1", 5), "b": ("e2", 9)}
    assert [found.camera for found in departures.new(left, {"b"})] == ["a"]
    assert [found.camera for found in departures.new(left, set())] == ["b"]
    assert departures.new(left, set()) == []
    (again,) = departures.new({"a": ("e3", 5)}, set())
    assert again.missing(("e3", 3)) == 2
    assert again.missing(("e1", 3)) == again.missing(None) == 0
    info = make_result(camera="a", epoch="e3").info
    assert departures.has(info)
    assert not departures.has(replace(info, epoch="e4"))


class Watched(Kept):
    """An output that people watch."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: list[tuple[str, int]] = []
        self.events: list[Event] = []
        self.cameras: set[str] = set()

    def wants_image(self, info: Any) -> bool:
        return False

    def lost(self, camera: str, reason: str, count: int) -> None:
        pass

    def report(self, report: Report) -> None:
        self.cameras = set(report.signals)

    def let_go(self, camera: str) -> None:
        self.gone.append((camera, len(self.results)))

    def tell(self, event: Event) -> None:
        self.events.append(event)


def as_camera(message: Emotions, camera: str, epoch: str) -> Emotions:
    return replace(message, info=replace(message.info, camera=camera, epoch=epoch))


def test_a_sink_forgets_it_and_takes_it_in_again(streams: Streams) -> None:
    service, watched = Service("sink", "me", CommonOptions()), Watched()
    assert isinstance(watched, Monitor)
    messages = [as_camera(message, "hall", "e1") for message in live()[:60]]
    for message in messages:
        add(streams, message)
    sink = Sink(service, own_connection(streams), "sink", lambda: [watched], 0.2, Watchdog(10), follower())
    with threads.running(sink.run, service):
        until(lambda: len(watched.results) == 60)
        until(lambda: bool(streams.history("sink")))  # kept every two seconds
        assert streams.tracks("sink")
        streams.let_go("hall", "e1", 62)  # two never came
        until(lambda: watched.gone == [("hall", 60)])
        until(lambda: not streams.tracks("sink") and not streams.history("sink"))
        assert sink._show.stats.missing == 2
        assert watched.events[-1].kind == "counts", "whoever was there has left"
        add(streams, as_camera(live()[60], "hall", "e1"))  # a straggler
        add(streams, as_camera(live()[61], "hall", "e2"))  # somebody has added it again
        streams.take_on("hall", anew=True)
        until(lambda: len(watched.results) == 61)
        assert watched.results[-1].info.epoch == "e2"
        until(lambda: streams.client.xpending(streams.keys.emotions, "sink")["pending"] == 0)
        assert len(watched.gone) == 1


def test_what_never_came_is_counted_once(streams: Streams) -> None:
    def sink(service: Service) -> Sink:
        return Sink(service, own_connection(streams), "sink", lambda: [watched], 0.2, Watchdog(10), follower())

    watched = Watched()
    add(streams, as_camera(live()[0], "hall", "e1"))
    for seq in (0, 2):
        service = Service("sink", "me", CommonOptions())
        add(streams, as_camera(live()[seq], "yard", "e1"))
        running = sink(service)
        with threads.running(running.run, service):
            until(lambda: "yard" in {result.info.camera for result in watched.results})
            streams.let_go("hall", "e1", 3)
            until(lambda: bool(watched.gone))
            watched.results.clear()
            add(streams, as_camera(live()[seq + 1], "yard", "e1"))  # with it the count is stored
            until(lambda: bool(watched.results))
        assert running._show.stats.missing == 2
        watched.gone.clear()
        watched.results.clear()


@pytest.mark.parametrize("blur", [False, True])
def test_what_is_held_back_is_shown_before_it_is_gone(streams: Streams, blur: bool) -> None:
    """Because faces are hidden, or because the frame before it never came."""
    service, watched = Service("sink", "me", CommonOptions()), Watched()
    seqs = range(4) if blur else (0, 1, 3)
    sink = Sink(
        service, own_connection(streams), "sink", lambda: [watched], 2.5, Watchdog(10), follower(), blur, True, 2.5
    )
    with threads.running(sink.run, service):
        for seq in seqs:
            add(streams, as_camera(live()[seq], "hall", "e1"))
        until(lambda: sink._veil.holding if blur else len(watched.results) == 2)
        streams.let_go("hall", "e1", 4)
        until(lambda: bool(watched.gone))
        assert watched.gone == [("hall", len(seqs))]
        assert streams.client.xpending(streams.keys.emotions, "sink")["pending"] == 0


def test_cameras_that_nobody_has_are_not_there(streams: Streams) -> None:
    from emotion_stream.shared.messages.signal import Signal

    for name in ("old", "new", "heard"):
        streams.tell_signal(name, Signal("live", None, 1e9, place=3))
    assert streams.lease("camera:new", "me", 9)
    assert present(streams, streams.progress(), {"heard"}).keys() == {"new", "heard"}
    assert streams.progress().signals["new"].place == 3


def test_its_video_is_finished_at_once(tmp_path: Path) -> None:
    import av

    video = Video(tmp_path / "out.mp4", many=True)
    assert isinstance(video, Leaving)
    for n in range(5):
        for camera in ("hall", "yard"):
            video.write(make_result(n, camera), make_image())
    video.let_go("hall")
    video.let_go("nobody")
    with av.open(str(tmp_path / "out-hall.mp4")) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 5
    video.write(make_result(5, "hall", epoch="f"), make_image())
    video.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-hall.002.mp4", "out-hall.mp4", "out-yard.mp4"]


def test_a_frame_that_was_dropped_leaves_nothing_where_faces_are_hidden(streams: Streams) -> None:
    service, watched = Service("sink", "me", CommonOptions()), Watched()
    sink = Sink(
        service, own_connection(streams), "sink", lambda: [watched], 1.0, Watchdog(10), follower(), blur=True
    )
    dropped, shown = (as_camera(message, "hall", "e1") for message in live()[:2])
    with threads.running(sink.run, service):
        add(streams, replace(dropped, outcome=Outcome.dropped("stale_detector")))
        add(streams, shown)
        until(lambda: len(watched.results) == 1)
        assert sink._show.stats.dropped == {"stale_detector": 1}
        assert sink._veil._known == {}
