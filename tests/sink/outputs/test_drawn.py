"""What the outputs draw into pictures."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.shared.messages.types import Box, Outcome
from emotion_stream.sink.drawing.draw import COLOURS, Rate, annotate, plate
from emotion_stream.sink.outputs.video import Video
from emotion_stream.sink.results.output import Image
from tests.sink.outputs.test_outputs import ERROR, FACES, frames, result

# --- drawing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(320, 240), (640, 360), (1080, 1920), (3840, 2160), (40, 30), (1, 1)])
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_drawing_is_pure_and_shows_on_every_ground(size: tuple[int, int], shade: int) -> None:
    width, height = size
    image = np.full((height, width, 3), shade, np.uint8)
    box = Box(width // 3, height // 3, max(1, width // 4), max(1, height // 4))
    out = annotate(image, result(0, "a" * 64, size=size, boxes=(box,)), 24.9)
    assert (image == shade).all()
    assert out.shape == image.shape
    if width >= 320:
        changed = (out != image).any(axis=2)
        assert changed[: height // 20, : width // 4].any()  # the header
        assert changed[box.y, box.x : box.x + box.width].all()  # the box
        assert not changed[box.y + box.height // 2, box.x + box.width // 2]  # and not the face
        assert out[changed].astype(int).max() - out[changed].astype(int).min() > 150  # contrast


@pytest.mark.parametrize("width", [320, 640, 1280])
def test_labels_stay_in_the_picture(width: int) -> None:
    """The label of a face in a corner is, pixel by pixel, that of a face in the middle: nothing is cut off."""
    height, side = width * 9 // 16, width // 10
    right, low = width - side, height - side

    def drawn(x: int, y: int) -> Image:
        image = np.full((height, width, 3), 255, np.uint8)
        return annotate(image, result(0, boxes=(Box(x, y, side, side),)))

    middle = drawn(width // 2, height // 2)
    coloured = np.argwhere((middle[: height // 2 - width // 100] == COLOURS["happy"]).all(axis=2))
    (top, left), (bottom, end) = coloured.min(axis=0), coloured.max(axis=0) + 1
    label = middle[top:bottom, left:end]
    assert label.shape[1] > label.shape[0] > 5
    places = [
        (0, 0),
        (right, 0),
        (0, low),
        (right, low),
        (-side // 2, -side // 2),
        (width - side // 2, low + side // 2),
    ]
    for place in places:
        assert cv2.matchTemplate(drawn(*place), label, cv2.TM_SQDIFF_NORMED).min() < 1e-4


def test_labels_of_neighbours_do_not_cover_each_other() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    a, b = Box(200, 100, 100, 100), Box(210, 100, 100, 100)
    one = (annotate(image, result(0, boxes=(a,))) == COLOURS["happy"]).all(axis=2).sum()
    both = (annotate(image, result(0, boxes=(a, b))) == COLOURS["happy"]).all(axis=2).sum()
    assert both > 1.5 * one


def test_error_plate_is_dark_and_says_why() -> None:
    quiet = plate(640, 360, result(0))
    error = plate(640, 360, result(0, outcome=Outcome.error("corrupt " * 200)))
    assert error.shape == (360, 640, 3)
    assert error.mean() < 80
    assert (error[..., 2] > 200).sum() > 100
    assert (quiet != error).any()
    frame = np.full((360, 640, 3), 255, np.uint8)
    assert annotate(frame, result(0, outcome=ERROR)).mean() < 80


def test_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate(window=2.0)
    assert rate.update(0.0) is None
    values = [rate.update(n / 25) for n in range(1, 100)]
    assert values[-1] == pytest.approx(25)
    assert rate.update(1000.0) is None
    assert rate.update(1000.5) == pytest.approx(2)


@pytest.mark.skipif(not FACES.exists(), reason="needs the shared photos")
def test_a_photo_is_annotated_and_plays(tmp_path: Path) -> None:
    image = np.asarray(cv2.imread(str(FACES / "2008_002506.jpg")), np.uint8)
    height, width = image.shape[:2]
    boxes = (Box(120, 75, 100, 100), Box(225, 95, 85, 85))
    output = Video(tmp_path / "out.mp4")
    item = result(0, size=(width, height), boxes=boxes)
    output.write(item, image)
    output.close()
    (shown,) = frames(tmp_path / "out.mp4")
    drawn = annotate(image, item).astype(int)
    assert np.abs(shown[:height, :width].astype(int) - drawn).mean() < 8


def test_the_header_of_a_recording_tells_its_time_not_how_long_it_waited() -> None:
    image = np.full((360, 640, 3), 128, np.uint8)
    recorded = result(0)
    slow = replace(recorded, latency=99.0)
    assert (annotate(image, recorded, 30.0) == annotate(image, slow, 5.0)).all()
    later = replace(recorded, info=replace(recorded.info, media_time=61.0))
    assert (annotate(image, recorded) != annotate(image, later)).any()
    live, old = (replace(r, info=replace(r.info, mode="live")) for r in (recorded, slow))
    assert (annotate(image, live) != annotate(image, old)).any()
