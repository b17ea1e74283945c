"""Media of any rate: cameras that give one picture in ten seconds, time lapses, clips of a few frames, stills."""

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream

from emotion_stream.detector_worker.detector import Detector
from emotion_stream.detector_worker.haar.cascade import Face
from emotion_stream.detector_worker.haar.search import Searcher
from emotion_stream.producer.link import Job
from emotion_stream.producer.pictures.source import Context, Nobody, Picture
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import parse_source
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.types import Box, Emotions, Frame, FrameInfo, ModelSpec, Prediction
from emotion_stream.shared.settings.options import DetectorOptions, ProducerOptions
from emotion_stream.sink.tracking.follow import Follower, following
from emotion_stream.sink.tracking.rate import APART, SLOW, Rhythm, pace
from emotion_stream.sink.tracking.smoothing import HOLD
from emotion_stream.sink.tracking.tracks import MAX_MISS, Confirmation
from tests.support.pictures import SAMPLE, encode, sample_frames

USUAL = Confirmation(4, 6)
SURE, OTHER = (0.1, 0.8, 0.1), (0.3, 0.35, 0.35)


def message(seq: int, time: float, faces: list[Box], told: float = 0.0, length: int = 0) -> Emotions:
    info = FrameInfo("a", "x", "e", seq, 1e9, time, 640, 360, "live", interval=told, length=length)
    return Emotions(info, f"{seq + 1}-0", ("a", "b", "c"), tuple(Prediction(b, 5.0, SURE) for b in faces))


def confirmed(follower: Follower, times: list[float], told: float = 0.0, length: int = 0) -> list[int]:
    """How many faces are confirmed in each frame, of somebody who wanders."""
    counts = []
    for n, time in enumerate(times):
        faces, *_ = follower.follow(message(n, time, [Box(40 * n % 500, 20, 90, 90)], told, length))
        counts.append(sum(face.confirmed for face in faces))
    return counts


# --- what a rate means -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [6, 10, 25, 30, 120])
def test_usual_rates_are_as_the_setting_says(rate: int) -> None:
    here = pace(USUAL, 1 / rate)
    assert (here.confirmation, here.memory, here.hold, here.apart) == (USUAL, MAX_MISS, HOLD, False)
    assert pace(USUAL, 0).confirmation == USUAL
    assert pace(Confirmation(30, 60), 1 / rate).confirmation.window == min(60, int(60 / 25 * rate + 0.01))


@pytest.mark.parametrize("text", ["1/1", "2/3", "4/6", "3/5", "6/6", "5/10"])
def test_slower_media_need_fewer_frames_but_never_more_seconds(text: str) -> None:
    hits, window = map(int, text.split("/"))
    before = (hits, window)
    for rate in (25, 12, 6, 5, 4, 3, 2.5, 2, 1, 0.5, 0.1):
        here = pace(Confirmation(hits, window), 1 / rate).confirmation
        assert 1 <= here.hits <= here.window
        assert (here.hits, here.window) <= before
        assert here.window == 1 or here.window / rate <= 1.01
        assert here.hits / here.window >= hits / window - 1e-9
        before = here.hits, here.window
    assert before == (1, 1)


def test_memory_follows_the_rate() -> None:
    assert pace(USUAL, 1 / 25).memory == MAX_MISS
    assert pace(USUAL, 0.5).memory == pytest.approx(1.5)
    assert pace(USUAL, 1.0).memory == pytest.approx(3.0)
    assert [pace(USUAL, t).apart for t in (0.04, 1.0, APART, 2.0, 10.0)] == [False, False, False, True, True]
    assert pace(USUAL, SLOW).hold == 0


def test_the_interval_is_the_middle_of_the_last_ones() -> None:
    rhythm = Rhythm()
    assert rhythm.next(0.0, 0.0) == 0
    assert [rhythm.next(n / 10, 0.1) for n in range(1, 8)] == pytest.approx([0.1] * 7)
    assert rhythm.next(5.0, 0.0) == pytest.approx(0.1)  # one pause changes nothing
    assert rhythm.next(4.0, 0.0) == pytest.approx(0.1)  # nor does a clock that goes back
    assert Rhythm().next(0.0, 0.5) == 0.5  # the first frame: as the medium says
    for n in range(1, 4):
        last = rhythm.next(4 + 2.0 * n, 0.0)
    assert last == 2.0


# --- following -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [0.4, 0.5, 1, 2, 5, 10])
@pytest.mark.parametrize("confirm", ["4/6", "1/1", "30/60"])
def test_every_face_of_a_slow_medium_is_confirmed_in_its_frame(interval: float, confirm: str) -> None:
    times = [n * interval for n in range(20)]
    assert confirmed(Follower(following(confirm, 0.3, "auto")), times, told=interval) == [1] * 20
    live = confirmed(Follower(following(confirm, 0.3, "auto")), times)  # nobody tells: the second frame does
    assert live[1:] == [1] * 19


def test_irregular_pictures_are_confirmed_too() -> None:
    rng = np.random.default_rng(3)
    times = [float(t) for t in np.cumsum(rng.uniform(0.5, 10, 40))]
    assert confirmed(Follower(following("4/6", 0.3, "auto")), times)[1:] == [1] * 39


def test_a_pause_of_a_fast_camera_confirms_nobody_at_once() -> None:
    follower = Follower(following("4/6", 0.3, "auto"))
    times = [n / 25 for n in range(10)] + [8 + n / 25 for n in range(10)]
    counts = []
    for n, time in enumerate(times):
        faces, *_ = follower.follow(message(n, time, [Box(10, 10, 90, 90)] if n not in (8, 9) else []))
        counts.append(sum(face.confirmed for face in faces))
    assert counts == [0] * 3 + [1] * 5 + [0] * 5 + [1] * 7


@pytest.mark.parametrize(("interval", "same"), [(0.5, True), (1.0, True), (2.0, False), (10.0, False)])
def test_numbers_last_where_tracks_mean_something(interval: float, same: bool) -> None:
    follower = Follower(following("4/6", 0.3, "auto"))
    tracks = set()
    for n in range(12):
        seen = [Box(100, 100, 90, 90)] if n % 3 else []  # found in two frames of three
        faces, *_ = follower.follow(message(n, n * interval, seen, told=interval))
        tracks |= {face.track for face in faces}
    assert len(tracks) == (1 if same else 8)


@pytest.mark.parametrize("interval", [0.5, 1.0, 2.0, 10.0])
def test_a_label_changes_with_its_frame_where_frames_are_far_apart(interval: float) -> None:
    follower = Follower(following("4/6", 0.3, "auto"))
    shown = []
    for n, raw in enumerate([SURE, SURE, SURE, (0.05, 0.05, 0.9), (0.05, 0.05, 0.9), SURE]):
        told = message(n, n * interval, [], interval)
        found = replace(told, faces=(Prediction(Box(9, 9, 90, 90), 5.0, raw),))
        shown.append(follower.follow(found)[0][0].label)
    assert shown == [1, 1, 1, 2, 2, 1]


@pytest.mark.parametrize("length", range(1, 8))
def test_a_clip_shorter_than_the_window_is_shown_as_with_one_of_one(length: int) -> None:
    times = [n / 25 for n in range(length)]
    counts = confirmed(Follower(following("4/6", 0.3, "auto")), times, told=0.04, length=length)
    assert counts == ([1] * length if length < 6 else [0] * 3 + [1] * (length - 3))


def test_a_successor_knows_the_rate() -> None:
    first, times = Follower(following("4/6", 0.3, "auto")), [2.0 * n for n in range(9)]
    for n, time in enumerate(times[:5]):
        first.follow(message(n, time, [Box(9, 9, 90, 90)]))
    second = Follower(following("4/6", 0.3, "auto"))
    second.resume("a", first.state("a"))
    for n, time in enumerate(times[5:], 5):
        later = message(n, time, [Box(9, 9, 90, 90)])
        assert second.follow(later) == first.follow(later)


# --- where it comes from -----------------------------------------------------------------------------------------


def pictures(path: Path | str) -> tuple[list[Picture], list[FrameInfo]]:
    """What a source delivers, and how its frames describe themselves."""
    context = Context(threading.Event(), Nobody())
    source = make_source(parse_source(str(path)), "lossless", ProducerOptions(), context)
    job = Job(source, None, ProducerOptions(), "lossless", context, "e", "t")  # type: ignore[arg-type]
    source.open()
    try:
        found = list(iter(source.read, None))
        return found, [job.frame(p, n, p.media_time).info for n, p in enumerate(found)]
    finally:
        source.close()


def test_capped_live_cameras_have_all_of_their_frames_searched_within_the_budget() -> None:
    """At 25 frames a second a cap of 10 takes the first frame of each slot; the budget has the same slots."""
    picture = Picture(np.zeros((48, 64, 3), np.uint8), None, 64, 48, 0.0, 0.0)
    kept = [n / 25 for n in range(100) if n == 0 or n * 10 // 25 > (n - 1) * 10 // 25]
    for fps, searched in ((10.0, len(kept)), (None, None)):
        options = ProducerOptions(fps=fps, analyze_fps=10.0)
        source = make_source(parse_source("sample"), "live", options, Context(threading.Event(), Nobody()))
        job = Job(source, None, options, "live", Context(threading.Event(), Nobody()), "e", "t")  # type: ignore[arg-type]
        job.phase = 0.9
        found = [job.frame(picture, n, time).info.analyzed for n, time in enumerate(kept)]
        assert sum(found) == searched if searched else sum(found) < len(kept)


def clip(path: Path, count: int, rate: str, codec: str = "mpeg4") -> Path:
    with av.open(str(path), "w") as out:
        stream = cast(VideoStream, out.add_stream(codec, rate=Fraction(rate)))
        stream.width, stream.height, stream.pix_fmt = 160, 96, "rgb8" if codec == "gif" else "yuv420p"
        for n in range(count):
            image = np.full((96, 160, 3), 40 + 2 * n, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".gif"])
@pytest.mark.parametrize(("count", "length"), [(1, 1), (2, 2), (5, 5), (60, 60), (61, 0)])
def test_a_short_clip_tells_its_length_and_one_frame_is_a_still(
    suffix: str, count: int, length: int, tmp_path: Path
) -> None:
    path = clip(tmp_path / f"a{suffix}", count, "10", "gif" if suffix == ".gif" else "mpeg4")
    found, infos = pictures(path)
    assert len(found) == count
    assert {info.length for info in infos} == {length}
    assert {info.still for info in infos} == {count == 1}


@pytest.mark.parametrize(("rate", "interval"), [("25", 0.04), ("2", 0.5), ("1/2", 2.0), ("1/10", 10.0)])
def test_frames_tell_how_far_apart_they_are(rate: str, interval: float, tmp_path: Path) -> None:
    _, infos = pictures(clip(tmp_path / "a.mp4", 8, rate))
    assert [info.interval for info in infos] == pytest.approx([interval] * 8, rel=0.01)


@pytest.mark.parametrize("name", ["one.jfif", "one.JPG_large", "one", "one.dat"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
def test_a_picture_is_known_by_its_content(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(encode(sample_frames()[84], suffix))
    assert parse_source(str(path)).kind == "pictures"
    (picture,), _ = pictures(path)
    assert (picture.still, picture.width, picture.height) == (True, 640, 360)


def test_many_pictures_in_one_file_are_a_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mjpeg"
    path.write_bytes(b"".join(encode(frame) for frame in sample_frames()[80:83]))
    assert parse_source(str(path)).kind == "video"
    found, infos = pictures(path)
    assert [len(found), infos[0].still, infos[0].length] == [3, False, 3]
    assert parse_source(str(SAMPLE)).kind == "video"


@pytest.fixture
def detector() -> Detector:
    detector = Detector(DetectorOptions(), ModelSpec("m", 48, 0.1))
    detector.open()
    return detector


@pytest.mark.parametrize(("interval", "whole"), [(0.04, False), (0.5, True), (1.0, True), (10.0, True)])
def test_each_frame_of_a_slow_medium_is_scanned_as_a_whole(
    detector: Detector, interval: float, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = 0
    scan = Searcher.scan

    def counted(self: Searcher, jpeg: GrayJpeg) -> list[Face]:
        nonlocal scans
        scans += 1
        return scan(self, jpeg)

    monkeypatch.setattr(Searcher, "scan", counted)
    jpeg = cv2.imencode(".jpg", sample_frames()[84])[1].tobytes()
    hints: dict[str, bytes] = {}
    for n in range(4):
        info = FrameInfo("a", "x", "e", n, 1e9, n * interval, 640, 360, "lossless", interval=interval)
        (result,) = detector.process_hinted([Frame(info, jpeg, f"{n + 1}-0")], hints)
        assert len(result.faces) == 2
    assert scans == (4 if whole else 1)
