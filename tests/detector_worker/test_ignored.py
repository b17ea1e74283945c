"""Areas that are ignored: exactly the faces outside of them are found, and the rest is not searched."""

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from emotion_stream.detector_worker.boxes import overlap
from emotion_stream.detector_worker.contract import FaceDetector, Found
from emotion_stream.detector_worker.detector import Detector, make_finder
from emotion_stream.detector_worker.haar.cascade import FaceFinder
from emotion_stream.detector_worker.haar.memory import Memory
from emotion_stream.detector_worker.haar.search import Searcher
from emotion_stream.detector_worker.ignored import NOTHING, Ignored, ignoring
from emotion_stream.shared.messages import geometry
from emotion_stream.shared.messages.areas import Polygon, parse_polygon
from emotion_stream.shared.messages.camera import CameraSettings
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.types import Box, ModelSpec
from emotion_stream.shared.process.stage import Hints
from emotion_stream.shared.settings.options import DetectorOptions
from tests.conftest import make_frame
from tests.support.pictures import Image, encode, portraits

MODEL = ModelSpec("test", 48, 0.015)
LEFT = parse_polygon("0,0 0.5,0 0.5,1 0,1")
RIGHT = parse_polygon("0.5,0 1,0 1,1 0.5,1")
SLANTED = parse_polygon("0,0 0.7,0 0.3,1 0,1")
ALL = parse_polygon("0,0 1,0 1,1 0,1")
FACES = 10


def group() -> Image:
    """A group photo, 960 x 540: ten people in two rows, of several sizes; two of them beside the middle."""
    photo = np.full((540, 960, 3), 120, np.uint8)
    for n in range(FACES):
        side = (150, 190, 120, 170, 140)[n % 5]
        person = cv2.resize(portraits()[n % 2], (side, side))
        x, y = 192 * (n % 5) + (192 - side) // 2, 270 * (n // 5) + (270 - side) // 2
        x += (-35, 35)[n // 5] * (n % 5 == 2)
        photo[y : y + side, x : x + side] = person
    return photo


PHOTO = group()
JPEG = encode(PHOTO)


@pytest.fixture(scope="module", params=["haar", "yunet"])
def finder(request: pytest.FixtureRequest) -> FaceDetector:
    return make_finder(options(request.param), MODEL)


def options(name: str) -> DetectorOptions:
    return DetectorOptions(detector=name, detector_precision="fp32")  # type: ignore[arg-type]


def tuned(finder: FaceDetector, *areas: Polygon) -> FaceDetector:
    name = "haar" if type(finder).__name__ == "Haar" else "yunet"
    return finder.tuned(options(name), ignoring(areas))


def same(found: list[Found], wanted: list[Found]) -> bool:
    pairs = [[overlap(a.box, b.box) > 0.7 for b in wanted] for a in found]
    return len(found) == len(wanted) and all(row.count(True) == 1 for row in pairs)


@pytest.mark.parametrize("area", [LEFT, RIGHT, SLANTED, parse_polygon("0.1,0 0.3,0 0.3,1 0.1,1")])
def test_exactly_the_faces_outside_of_a_mask_are_found(finder: FaceDetector, area: Polygon) -> None:
    everybody = finder.scan(GrayJpeg(JPEG))
    assert len(everybody) == FACES
    outside = [f for f in everybody if not geometry.holds(area, *geometry.centre(f.box, 960, 540))]
    assert 0 < len(outside) < FACES
    assert same(tuned(finder, area).scan(GrayJpeg(JPEG)), outside)
    assert tuned(finder, ALL).scan(GrayJpeg(JPEG)) == []


def test_a_worker_applies_what_comes_with_the_frame_to_scans_and_searches() -> None:
    stage = Detector(options("haar"), MODEL)
    stage.open()
    own = CameraSettings(ignore=(LEFT,))
    hints = Hints({})
    counts = []
    for seq in range(8):
        frame = make_frame(seq=seq, width=960, height=540)
        info = replace(frame.info, media_time=seq / 10, interval=0.1)
        info = replace(info, settings=own) if seq > 2 else info
        (result,) = stage.process_hinted([replace(frame, info=info, jpeg=JPEG)], hints)
        counts.append(len(result.faces))
        assert seq <= 2 or all(face.box.x + face.box.width / 2 >= 480 for face in result.faces)
    assert counts[:3] == [FACES] * 3
    right = counts[3]
    assert right == FACES // 2
    assert counts[3:] == [right] * 5


def test_what_is_ignored_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither small faces in it, nor motion, nor strips by turns."""
    searched: list[Box] = []
    plain = FaceFinder(options("haar"))
    real = FaceFinder._search

    class Cascade:
        def detectMultiScale3(self, part: Image, **how: int) -> object:
            searched.append(Box(0, 0, part.shape[1], part.shape[0]))
            return plain._cascade.detectMultiScale3(part, **how)  # type: ignore[call-overload]

    finder = plain.tuned(options("haar"), ignoring((LEFT,)))
    monkeypatch.setattr(finder, "_cascade", Cascade())
    monkeypatch.setattr(FaceFinder, "_search", real)
    searcher = Searcher(finder, options("haar"), 47)
    memory: Memory | None = None
    noise = np.random.default_rng(1)
    for seq in range(1, 60):
        moving = PHOTO.copy()
        moving[:, :400] = noise.integers(0, 255, (540, 400, 3), np.uint8)  # a tree in the wind, behind the mask
        info = make_frame(seq=seq, width=960, height=540).info
        info = replace(info, media_time=seq / 25, interval=0.04)
        faces, memory = searcher.search(GrayJpeg(encode(moving)), info, memory)
        assert all(box.x + box.width / 2 >= 480 for box, _ in faces)
    assert memory is not None
    assert not any(area.x + area.width <= 32 * 380 / 960 for _, area in memory.searched)
    scale = 640 / 960
    assert max(box.width for box in searched[2:]) < 960 * scale * 0.8  # nothing but the first scan's large faces


def test_half_of_the_picture_takes_less_time() -> None:
    finder = make_finder(options("haar"), MODEL)
    half = tuned(finder, LEFT)

    def cost(detector: FaceDetector) -> float:
        jpeg = GrayJpeg(JPEG)
        jpeg.reduced(1)
        began = time.process_time()
        detector.scan(jpeg)
        return time.process_time() - began

    both = [(cost(half), cost(finder)) for _ in range(5)]
    assert min(h for h, _ in both) < 0.85 * min(w for _, w in both)


# --- geometry -------------------------------------------------------------------------------------------------


def test_what_is_left_is_the_rectangle_around_it_with_half_a_face() -> None:
    whole = Box(0, 0, 640, 360)
    assert NOTHING.left(whole, 50, 640, 360) == whole
    assert ignoring(()) is NOTHING
    left = ignoring((LEFT,)).left(whole, 40, 640, 360)
    assert left is not None
    assert 320 - 40 - 640 // 64 <= left.x <= 280
    assert (left.x + left.width, left.y, left.height) == (640, 0, 360)
    assert ignoring((LEFT,)).left(Box(0, 0, 300, 360), 40, 640, 360) is None
    assert ignoring((LEFT, RIGHT)).left(whole, 40, 640, 360) is None
    assert ignoring((SLANTED,)).left(Box(600, 300, 40, 60), 9, 640, 360) == Box(600, 300, 40, 60)


@pytest.mark.parametrize("text", ["0,0 1,0 1,1 0,1", "0.1,0.2 0.8,0.1 0.9,0.9", "0.1,0.1 0.9,0.9 0.9,0.1 0.1,0.9"])
def test_points_and_grids_agree(text: str) -> None:
    polygon = parse_polygon(text)
    x, y = np.random.default_rng(0).random((2, 500))
    told = geometry.inside(polygon, x, y).tolist()
    assert told == [geometry.holds(polygon, a, b) for a, b in zip(x, y, strict=True)]
    rows, columns = np.nonzero(geometry.covered((polygon,), 40, 60))
    assert all(geometry.holds(polygon, (c + 0.5) / 60, (r + 0.5) / 40) for r, c in zip(rows, columns, strict=True))
    assert geometry.covered((ALL,), 5, 7).all()


def test_a_box_lies_where_its_centre_is() -> None:
    zones = (("left", LEFT), ("slanted", SLANTED), ("right", RIGHT))
    assert geometry.zones_of(zones, Box(300, 10, 30, 30), 640, 360) == ("left", "slanted")
    assert geometry.zones_of(zones, Box(310, 10, 30, 30), 640, 360) == ("slanted", "right")
    assert Ignored((LEFT,)).hides(Box(300, 10, 30, 30), 640, 360)
    around = geometry.around(Box(-10, 100, 120, 120), 0.25, 640, 360)
    assert around == ((0, 0.1944), (0.2188, 0.1944), (0.2188, 0.6944), (0, 0.6944))
