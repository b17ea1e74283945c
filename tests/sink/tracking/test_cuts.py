"""Cuts end all tracks, at the cut: made clips with cuts, flashes, pans and fades, with either detector."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.detector_worker.detector import Detector
from emotion_stream.shared.messages import scene
from emotion_stream.shared.messages.codec import decode_emotions, encode_emotions
from emotion_stream.shared.messages.types import Emotions, Frame, FrameInfo, ModelSpec, Prediction
from emotion_stream.shared.process.stage import Hints
from emotion_stream.shared.settings.options import DetectorOptions
from emotion_stream.sink.tracking.cuts import Scene
from emotion_stream.sink.tracking.follow import Follower, following
from tests.support.pictures import Image, sample_frames

FPS = 25
PHOTOS = Path(__file__).parents[3] / ".." / "shared" / "data" / "faces"
INFO = FrameInfo("hall", "clip", "a", 0, 1e9, 0.0, 640, 360, "lossless", interval=1 / FPS)
LABELS = ("calm", "happy")


def view(picture: Image, x: float = 0.5, zoom: float = 1.0) -> Image:
    """640 x 360 pixels of a picture; `x`, 0 to 1, is where between its left and its right side."""
    height, width = picture.shape[:2]
    scale = max(640 / width, 360 / height) * zoom
    large = cv2.resize(picture, None, fx=scale, fy=scale)
    left, top = int((large.shape[1] - 640) * x), (large.shape[0] - 360) // 2
    return np.asarray(large[top : top + 360, left : left + 640], np.uint8)


def lit(picture: Image, gain: float, offset: float = 0.0) -> Image:
    return np.asarray(np.clip(picture.astype(np.float32) * gain + offset, 0, 255), np.uint8)


def cuts(frames: Iterable[Image], every: int = 1) -> list[int]:
    """The numbers of the frames that begin a new scene."""
    kept, found = Scene(), []
    for n, frame in enumerate(frames):
        gray = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
        look = scene.packed(scene.thumbnail(gray, scene.shape(640, 360)))
        if kept.ends(replace(INFO, seq=n, media_time=n * every / FPS, scene=look)):
            found.append(n)
    return found


def photos() -> list[Image]:
    read = [cv2.imread(str(path)) for path in sorted(PHOTOS.glob("*.jpg"))]
    if not read:
        pytest.skip("no photographs in ../shared")
    return [view(np.asarray(picture, np.uint8)) for picture in read]


@pytest.mark.parametrize("every", [1, 2, 3, 5, 8])
def test_people_who_move_are_no_cut_however_many_frames_are_skipped(every: int) -> None:
    first = sample_frames()[:250]  # the one cut of the clip comes after them
    assert cuts(first[::every], every) == []


def test_flashes_fades_and_pans_are_none() -> None:
    still = sample_frames()[115]
    flash = [still, lit(still, 1.6, 60), still, np.full_like(still, 255), still, lit(still, 0.3), still]
    assert cuts(flash) == []
    fade = [lit(still, level) for level in (*np.linspace(1, 0, 12), *np.linspace(0, 1, 12))]
    assert cuts(fade) == []
    for zoom in (1.5, 2.5):
        for steps in (6, 14, 40):
            assert cuts(view(still, float(x), zoom) for x in np.linspace(0, 1, steps)) == []


def test_a_cut_through_black_is_told_where_something_can_be_seen_again() -> None:
    still = sample_frames()[115]
    other = np.asarray(still[::-1, ::-1], np.uint8)
    assert cuts([still, still, np.zeros_like(still), np.zeros_like(still), other, other]) == [4]


def test_hard_cuts_between_photographs_are_found() -> None:
    """Of all pairs of nine photographs and a clip, 0 to 1 in a hundred look alike enough to be missed."""
    shots = [*photos(), sample_frames()[115]]
    pairs = [(a, b) for a in range(len(shots)) for b in range(len(shots)) if a != b]
    found = [cuts([shots[a], shots[a], shots[b], shots[b]]) == [2] for a, b in pairs]
    assert sum(found) / len(found) >= 0.97


def test_a_medium_that_begins_anew_is_a_cut() -> None:
    kept = Scene()
    gray = np.asarray(cv2.cvtColor(sample_frames()[115], cv2.COLOR_BGR2GRAY), np.uint8)
    look = scene.packed(scene.thumbnail(gray, scene.shape(640, 360)))
    told = [kept.ends(replace(INFO, media_time=time, scene=look)) for time in (0.0, 0.04, 0.08, 0.0, 0.04)]
    assert told == [False, False, False, True, False]


@pytest.mark.parametrize("options", [DetectorOptions(detector="haar"), DetectorOptions(detector="yunet")])
@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_keeps_a_number_or_a_box_over_a_cut(options: DetectorOptions, workers: int) -> None:
    """A face in the same place before and after the cut: only the picture tells that it is another one."""
    stage = Detector(options, ModelSpec("m", 48, 0.0))
    stage.open()
    before = sample_frames()[115]
    empty = lit(np.asarray(cv2.GaussianBlur(before[::-1], (0, 0), 25), np.uint8), 0.6)
    after = empty.copy()
    after[60:270, 350:570] = before[60:270, 350:570]  # the face, elsewhere
    clip = [before] * 10 + [after] * 10 + [empty] * 5
    hints: list[Hints] = [{} for _ in range(workers)]
    follower = Follower(following("4/6", 0.3, "off"))
    numbers: list[set[int]] = []
    for n, frame in enumerate(clip):
        info = replace(INFO, seq=n, media_time=n / FPS)
        jpeg = cv2.imencode(".jpg", frame)[1].tobytes()
        (found,) = stage.process_hinted([Frame(info, jpeg, "1-1")], hints[n % workers])
        faces = tuple(Prediction(face.box, face.weight, (0.1, 0.9)) for face in found.faces)
        sent = encode_emotions(Emotions(found.info, "1-1", LABELS, faces))
        shown, unseen, cut, _ = follower.follow(decode_emotions(sent, "2-1"))
        assert cut == (n in (10, 20)), n
        if n in (10, 20):
            assert not any(face.confirmed for face in shown)
        if n >= 20:
            assert not any(face.confirmed for face in unseen)
        numbers.append({face.track for face in shown})
    stage.close()
    assert set().union(*numbers[5:10])
    assert set().union(*numbers[14:20])
    assert not set().union(*numbers[:10]) & set().union(*numbers[10:])


def test_a_scene_that_is_garbage_is_no_scene() -> None:
    for look in (b"", b"\0", b"\0abc", b"\7abc"):
        assert not Scene(b"\2abcd", 0.0).ends(replace(INFO, scene=look))
        assert scene.unpacked(look) is None


def test_what_is_told_without_a_closer_look_is_so() -> None:
    """Over thumbnails of all kinds: noise, brighter and darker ones, a part that moved."""
    rng = np.random.default_rng(7)
    told = 0
    for _ in range(2000):
        before = rng.integers(0, 256, (18, 32), np.uint8)
        change = rng.normal(rng.choice([0, 3, 6, 40]), rng.choice([0, 1, 4, 8, 30]), before.shape)
        change[: rng.integers(0, 18)] += rng.choice([0, 20, 90])
        now = np.clip(before + change, 0, 255).astype(np.uint8)
        if scene.still(now, before):
            told += 1
            assert scene.moved(now, before).mean() < scene.MUCH
    assert 100 < told < 1900


def test_correlations_at_all_places_are_those_of_each_overlap() -> None:
    rng = np.random.default_rng(8)
    for rows, columns in ((4, 9), (9, 16), (16, 9), (12, 12)):
        before = rng.integers(0, 256, (rows, columns), np.uint8)
        now = np.roll(before, (1, 2), (0, 1))
        before[: rows // 2] = 90  # where all is the same there is none
        found = scene.correlations(now, before, rows // 2, columns // 2)
        for y, x in np.ndindex(found.shape):
            down, across = y - rows // 2, x - columns // 2
            a = now[max(0, down) : rows + min(0, down), max(0, across) : columns + min(0, across)]
            b = before[max(0, -down) : rows + min(0, -down), max(0, -across) : columns + min(0, -across)]
            assert found[y, x] == pytest.approx(scene.correlation(a, b), abs=1e-3)


def test_a_picture_that_moved_is_found_where_it_went() -> None:
    before = np.random.default_rng(9).integers(0, 256, (18, 32), np.uint8)
    for down, across in ((0, 0), (3, -7), (-6, 12)):
        now = np.roll(before, (down, across), (0, 1))
        assert scene.panned(now, before) > 0.99
