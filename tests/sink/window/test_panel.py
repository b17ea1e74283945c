"""The panel beside a picture: laid out for every window, readable, and the figures right."""

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_stream.shared.messages.types import OK, Box, FrameInfo, Outcome, Prediction
from emotion_stream.sink.drawing.draw import COLOURS
from emotion_stream.sink.drawing.panel import Area, arrange, compose, crop, grid, natural_size
from emotion_stream.sink.results.output import Face, Image, Result
from tests.support.pictures import sample_frames

LABELS = tuple(COLOURS)
HAPPY = (0.02, 0.01, 0.02, 0.9, 0.01, 0.03, 0.01)
SAD = (0.02, 0.01, 0.02, 0.03, 0.9, 0.01, 0.01)


def face(track: int, box: Box, shares: tuple[float, ...] = HAPPY, below: float | None = None) -> Face:
    return Face.alone(track, Prediction(box, 1.0, shares), below)


def result(*faces: Face, outcome: Outcome = OK, width: int = 640, height: int = 360) -> Result:
    return Result(FrameInfo("hall", "x", "a", 5, 1e9, 0.0, width, height, "live"), outcome, LABELS, faces, 0.05)


def has(view: Image, label: str) -> bool:
    """Whether a bar or title in the colour of a label is there."""
    return bool((view == np.array(COLOURS[label])).all(axis=2).sum() > 20)


def panel_of(view: Image, picture: tuple[int, int]) -> Image:
    area = arrange((view.shape[1], view.shape[0]), picture).panel
    assert area is not None
    return view[area.y : area.y + area.height, area.x : area.x + area.width]


@given(
    view=st.tuples(st.integers(1, 4000), st.integers(1, 3000)),
    picture=st.tuples(st.integers(1, 16384), st.integers(1, 16384)),
)
def test_areas_lie_in_the_view_and_beside_each_other(view: tuple[int, int], picture: tuple[int, int]) -> None:
    layout = arrange(view, picture)
    areas = [layout.picture, *([layout.panel] if layout.panel else [])]
    for area in areas:
        assert area.x >= 0
        assert area.y >= 0
        assert area.width >= 1
        assert area.height >= 1
        assert area.x + area.width <= view[0]
        assert area.y + area.height <= view[1]
    for a, b in itertools.combinations(areas, 2):
        assert a.x + a.width <= b.x or a.y + a.height <= b.y


def test_the_panel_is_beside_in_wide_windows_and_below_in_narrow_ones() -> None:
    wide, narrow = arrange((1300, 500), (640, 360)), arrange((420, 800), (640, 360))
    assert wide.panel
    assert narrow.panel
    assert wide.panel.x >= wide.picture.x + wide.picture.width
    assert narrow.panel.y == narrow.picture.height
    assert narrow.picture.width == 420
    assert arrange((150, 100), (640, 360)).panel is None


@pytest.mark.parametrize("picture", [(640, 360), (360, 640), (16, 9), (3840, 2160), (1000, 10), (10, 1000)])
@pytest.mark.parametrize("view", [(900, 360), (420, 800), (240, 240), (2000, 300), (40, 30)])
def test_the_picture_keeps_its_ratio(view: tuple[int, int], picture: tuple[int, int]) -> None:
    area = arrange(view, picture).picture
    wide = picture[0] / picture[1]
    assert area.width == pytest.approx(area.height * wide, abs=max(1.0, wide))


def test_a_new_window_shows_a_picture_pixel_by_pixel() -> None:
    assert arrange(natural_size(640, 360), (640, 360)).picture == Area(0, 0, 640, 360)
    assert arrange(natural_size(3840, 2160), (3840, 2160)).picture == Area(0, 0, 3840, 2160)
    assert arrange(natural_size(32, 18), (32, 18)).picture == Area(0, 0, 640, 360)
    assert natural_size(0, 0) == natural_size(640, 360)


@settings(max_examples=60, deadline=None)
@given(
    view=st.tuples(st.integers(1, 900), st.integers(1, 700)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    boxes=st.lists(st.builds(Box, *[st.integers(-400, 400)] * 2, *[st.integers(1, 400)] * 2), max_size=20),
)
def test_anything_can_be_drawn(view: tuple[int, int], size: tuple[int, int], boxes: list[Box]) -> None:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    faces = tuple(face(n, box) for n, box in enumerate(boxes))
    out = compose(image, result(*faces), view, 12.0, ["paused"], "a notice")
    assert out.shape == (view[1], view[0], 3)
    assert out.dtype == np.uint8
    assert not image.any()  # untouched


@pytest.mark.parametrize("height", [18, 360, 2160])
def test_each_face_has_its_crop_and_its_strongest_emotion(height: int) -> None:
    clip = sample_frames()[115]
    scale = height / 360
    image = np.asarray(cv2.resize(clip, (round(640 * scale), height)), np.uint8)

    def box(x: int, y: int, side: int) -> Box:
        return Box(*(max(1, round(v * scale)) for v in (x, y, side, side)))

    two = result(face(1, box(379, 84, 156)), face(2, box(125, 121, 102), SAD))
    view = compose(image, two, natural_size(image.shape[1], height))
    panel = panel_of(view, (image.shape[1], height))
    assert has(panel, "happy")
    assert has(panel, "sad")
    assert not has(panel, "angry")
    none = compose(image, result(), natural_size(image.shape[1], height))
    assert not has(panel_of(none, (image.shape[1], height)), "happy")


def test_bars_are_as_long_as_the_shares() -> None:
    def long(share: float) -> int:
        rest = (1 - share) / 6
        shares = tuple(share if name == "happy" else rest for name in LABELS)
        view = compose(sample_frames()[0], result(face(1, Box(100, 100, 80, 80), shares)), (900, 360))
        seen = (panel_of(view, (640, 360)) == np.array(COLOURS["happy"])).all(axis=2)
        return int(np.median(np.sort(seen[:, 20:].sum(axis=1))[-3:]))

    half, whole = long(0.5), long(1.0)
    assert whole > 20
    assert half == pytest.approx(whole / 2, abs=1)


def test_uncertain_faces_do_not_wear_a_colour() -> None:
    image = sample_frames()[0]
    sure = face(1, Box(100, 100, 80, 80))
    unsure = face(1, Box(100, 100, 80, 80), below=0.95)
    views = [panel_of(compose(image, result(f), (900, 360)), (640, 360)) for f in (sure, unsure)]
    colourful = [int(np.ptp(view[6:24, 20:200].astype(int), axis=2).max()) for view in views]  # the titles
    assert colourful[0] > 60
    assert colourful[1] < 20


def test_crops_stay_in_the_picture() -> None:
    image = np.arange(100 * 80 * 3, dtype=np.uint8).reshape(80, 100, 3)
    inside = crop(image, Box(40, 30, 20, 20))
    assert inside is not None
    assert inside.shape == (26, 26, 3)
    corner = crop(image, Box(-10, -10, 20, 20))
    assert corner is not None
    assert corner.shape == (13, 13, 3)
    assert crop(image, Box(200, 30, 20, 20)) is None


@pytest.mark.parametrize("unit", [1.0, 3.0])
@pytest.mark.parametrize("room", [(240, 340), (300, 1000), (900, 250)])
def test_cards_shrink_until_they_fit(room: tuple[int, int], unit: float) -> None:
    width, height = round(room[0] * unit), round(room[1] * unit)
    scales, shown = [], []
    for count in range(1, 30):
        columns, scale, fit = grid(width, height, count, 4, unit)
        assert 1 <= fit <= count
        assert columns >= 1
        scales.append(scale)
        shown.append(fit)
    assert scales == sorted(scales, reverse=True)
    assert shown == sorted(shown)
    assert shown[0] == 1
    assert shown[1] == 2


def test_of_too_many_faces_the_largest_are_shown_and_the_rest_counted() -> None:
    image = sample_frames()[0]
    small = [face(n, Box(10 + 12 * n, 10, 10, 10)) for n in range(30)]
    large = face(99, Box(200, 100, 150, 150), SAD)
    panel = panel_of(compose(image, result(*small, large), (900, 360)), (640, 360))
    assert has(panel, "sad")


def test_a_frame_that_could_not_be_read_says_why() -> None:
    view = compose(None, result(outcome=Outcome.error("the file is damaged")), (900, 400))
    assert view.shape == (400, 900, 3)
    assert (np.abs(view.astype(int) - np.array((90, 110, 255))).sum(axis=2) < 30).any()


def test_notes_and_notice_have_strips_of_their_own() -> None:
    image = np.full((360, 640, 3), 255, np.uint8)
    plain, both = (compose(image, result(), (900, 360), None, notes, "told") for notes in ((), ("paused",)))
    changed = np.flatnonzero((plain != both).any(axis=(1, 2)))
    assert changed.size
    assert changed.max() < 350  # the notice's own strip is the same
