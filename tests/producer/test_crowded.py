"""A camera that brings more than the pipeline can do: frames are left out before they cost much, and counted."""

import threading
import time

import pytest

from emotion_stream.producer import window
from emotion_stream.producer.link import Job
from emotion_stream.producer.live import LiveFeed, run_live
from emotion_stream.producer.pictures.source import Context, Picture
from emotion_stream.producer.window import LATE, UNHEARD
from emotion_stream.shared.messages.types import LEFT_OUT, FrameInfo
from emotion_stream.shared.streams.shard import Streams
from tests.producer.test_producer import frames, options
from tests.producer.test_sources import Counts, noise

RATE = 50.0


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline of these tests is as fast at the start as later."""
    monkeypatch.setattr(window, "SETTLE", 0.0)


class Camera:
    """Gives a picture 50 times a second, for a while."""

    name, url, mode, rate = "cam", "rtsp://cam/1", "live", None

    def __init__(self, count: int) -> None:
        self._count, self._given = count, 0

    def open(self, start: int = 0) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def read(self) -> Picture | None:
        """The next picture, when it is due."""
        if self._given == self._count:
            return None
        time.sleep(1 / RATE)
        self._given += 1
        return Picture(noise(seed=1), None, 64, 48, self._given / RATE, time.time())


def job(streams: Streams, count: int, counts: Counts) -> Job:
    context = Context(threading.Event(), counts)
    made = Job(Camera(count), streams, options("x", mode="live"), "live", context, "run", "me")  # type: ignore[arg-type]
    made.wait_for_lease()
    return made


def told(streams: Streams, seq: int, dropped: int = 0) -> None:
    """A sink says that this frame has come out of the pipeline, and how many had been dropped."""
    streams.shown("sink", "", [], {}, b"", arrived={"cam": ("run", seq + 1, dropped)})


def infos(streams: Streams) -> list[FrameInfo]:
    return [frame.info for frame in frames(streams)]


class Pipeline(threading.Thread):
    """Takes so many seconds for a frame, one after another, and tells a sink's progress."""

    def __init__(self, streams: Streams, seconds: float) -> None:
        super().__init__(daemon=True)
        self._streams, self._seconds = streams, seconds
        self.over = threading.Event()
        self.ages: list[float] = []

    def run(self) -> None:
        done = 0
        while not self.over.is_set():
            new = infos(self._streams)[done:]
            if not new:
                time.sleep(0.002)
                continue
            done += 1
            time.sleep(self._seconds)
            self.ages.append(time.time() - new[0].captured_at)
            told(self._streams, new[0].seq)


def test_more_than_the_pipeline_can_do_is_left_out_and_the_rest_stays_young(streams: Streams) -> None:
    counts = Counts()
    told(streams, -1)
    pipeline = Pipeline(streams, 0.06)  # a third of what comes
    pipeline.start()
    run_live(job(streams, 100, counts))
    pipeline.over.set()
    pipeline.join()
    found = infos(streams)
    assert sum(1 + info.left_out for info in found) == 100, "every picture is a frame, or counted"
    assert [info.seq for info in found] == [
        sum(1 + before.left_out for before in found[: n + 1]) - 1 for n in range(len(found))
    ]
    told_of = sum(info.left_out for info in found) + sum(
        frame.outcome.status == "dropped" for frame in frames(streams)
    )
    assert counts.lost == [LEFT_OUT] * told_of
    assert streams.position("cam", "run") == 100
    assert streams.progress().ended == {"cam": ("run", 100)}
    assert 15 <= len(found) <= 60
    assert sorted(pipeline.ages)[len(pipeline.ages) // 2] < 0.4, "without a bound it would be a second and more"


def test_a_pipeline_that_keeps_up_gets_every_frame(streams: Streams) -> None:
    counts = Counts()
    told(streams, -1)
    pipeline = Pipeline(streams, 0.0)
    pipeline.start()
    run_live(job(streams, 60, counts))
    pipeline.over.set()
    pipeline.join()
    assert (len(infos(streams)), counts.lost) == (60, [])


def test_without_a_sink_nothing_is_held_back(streams: Streams) -> None:
    counts = Counts()
    run_live(job(streams, 30, counts))
    assert (len(infos(streams)), counts.lost) == (30, [])


def test_a_sink_that_has_died_holds_nothing_back_for_long(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counts()
    feed = LiveFeed(job(streams, 0, counts))
    told(streams, 0)
    for n in range(3):
        feed.put(Picture(noise(seed=1), None, 64, 48, n / RATE, time.time()), n / RATE)
    assert not feed.crowded(), "they are young still"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * LATE)
    assert feed.crowded()
    monkeypatch.setattr(time, "monotonic", lambda: now + UNHEARD + 0.5)
    assert not feed.crowded(), "nobody can tell whether they will ever come out"


def test_what_is_left_out_at_the_end_is_told_by_a_frame_that_is_dropped(streams: Streams) -> None:
    feed = LiveFeed(job(streams, 0, Counts()))
    feed.put(Picture(noise(seed=1), None, 64, 48, 0.0, time.time()), 0.0)
    feed.leave_out(3)
    feed.finish()
    first, last = frames(streams)
    assert (first.info.seq, last.info.seq, last.info.left_out) == (0, 3, 2)
    assert (last.outcome.status, last.outcome.reason) == ("dropped", LEFT_OUT)
    assert streams.progress().ended == {"cam": ("run", 4)}


def test_frames_that_are_dropped_further_on_narrow_the_window_and_others_widen_it(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = LiveFeed(job(streams, 0, Counts()))
    late = 0.0
    began = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: began() + late)
    seq = dropped = 0

    def fits() -> int:
        """How many more frames go until it is crowded; then all come out."""
        nonlocal late, seq
        count = 0
        while not feed.crowded() and count < 50:
            feed.put(Picture(noise(seed=1), None, 64, 48, seq / RATE, time.time()), seq / RATE)
            count, seq, late = count + 1, seq + 1, late + 2 * LATE * (count == 0)
        told(streams, seq - 1, dropped)
        return count

    told(streams, -1)
    first = fits()
    for _ in range(80):
        fits()
    wide = fits()
    dropped += 1
    fits()
    narrow = fits()
    assert first == 2
    assert 3 <= wide <= 8
    assert narrow <= wide / 2 + 1
    for _ in range(8):
        dropped += 1
        fits()
    assert fits() == 1


def test_at_its_start_a_camera_sends_all(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "SETTLE", 60.0)
    counts = Counts()
    told(streams, -1)
    run_live(job(streams, 20, counts))
    assert (len(infos(streams)), counts.lost) == (20, [])
