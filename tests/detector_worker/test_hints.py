"""What a detector remembers of a camera: how it searches with it, and that it is never worse off without."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_stream.detector_worker.boxes import overlap
from emotion_stream.detector_worker.contract import Gray
from emotion_stream.detector_worker.crop import crop_face
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.detector_worker.haar.cascade import LARGE, MEDIUM, SMALL, Face, FaceFinder, Sizes
from emotion_stream.detector_worker.haar.memory import SIZES, Known, Memory
from emotion_stream.detector_worker.haar.schedule import TURNS, worth
from emotion_stream.detector_worker.haar.search import AT_ONCE, MOTION_SHARE, Searcher
from emotion_stream.detector_worker.motion import areas, cells_of
from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.codec import decode_frame, encode_frame
from emotion_stream.shared.messages.jpeg import GrayJpeg, decode_jpeg
from emotion_stream.shared.messages.scene import moved, shape, thumbnail
from emotion_stream.shared.messages.types import Box, Frame, ModelSpec
from emotion_stream.shared.process.stage import HintedStage, Hints
from emotion_stream.shared.settings.options import DetectorOptions
from tests.conftest import make_frame
from tests.support.pictures import Image, encode, portraits, sample_frames

MODEL = ModelSpec("test", 48, 0.1)
RATE = 25
WHOLE = sum(sizes.cost for sizes in SIZES)
"""What a search of the whole picture for faces of all sizes costs, in scans."""


class CountingFinder(FaceFinder):
    """Notes what it scanned, as fractions of the cost of a whole picture."""

    def __init__(self, options: DetectorOptions) -> None:
        super().__init__(options)
        self.scanned: list[float] = []
        self.small = 0

    def find(self, gray: Gray, area: Box | None = None) -> list[Face]:
        self.scanned.append(1.0)
        return super().find(gray, area)

    def find_sizes(
        self, sizes: Sizes, gray: Gray, area: Box, scale: float, known: Sequence[Face] = ()
    ) -> list[Face]:
        self.small += sizes is SMALL
        self.scanned.append(sizes.cost * area.width * area.height / gray.size)
        return super().find_sizes(sizes, gray, area, scale, known)


class Film:
    """A camera's pictures, searched one after the other."""

    def __init__(self, every: int = 100_000, camera: str = "cam", min_neighbors: int = 3) -> None:
        options = DetectorOptions(scan_every=every, min_neighbors=min_neighbors)
        self.finder = CountingFinder(options)
        self.searcher = Searcher(self.finder, options, 40)
        self.memory: Memory | None = None
        self.camera = camera
        self.seq = 0

    def show(self, image: Image) -> list[Box]:
        """The faces found in the next picture."""
        info = make_frame(self.seq, self.camera).info
        info = replace(info, media_time=self.seq / RATE, height=image.shape[0], width=image.shape[1])
        self.seq += 1
        self.finder.scanned.clear()
        faces, self.memory = self.searcher.search(GrayJpeg(encode(image)), info, self.memory)
        return [box for box, _ in faces]


def scene(*places: tuple[int, int], size: tuple[int, int] = (640, 360)) -> Image:
    """A calm picture with a portrait, 160 x 160 pixels, at each place (left, top)."""
    across = np.linspace(90, 160, size[0])
    picture = np.repeat(np.tile(across, (size[1], 1))[:, :, None], 3, axis=2).astype(np.uint8)
    for x, y in places:
        picture[y : y + 160, x : x + 160] = portraits()[0]
    return picture


def test_a_known_face_is_found_again_without_a_scan() -> None:
    film = Film()
    (first,) = film.show(scene((200, 80)))
    assert film.finder.scanned == [1.0]
    for step in range(1, 8):
        (box,) = film.show(scene((200 + 6 * step, 80 + 2 * step)))
        assert film.finder.scanned == []
        assert abs(box.x + box.width / 2 - (first.x + first.width / 2 + 6 * step)) < 15


def test_a_missed_face_keeps_its_place_for_a_second() -> None:
    film = Film()
    film.show(scene((200, 80)))
    for _ in range(3):
        assert film.show(scene()) == []
    assert film.memory is not None
    assert [face.misses for face in film.memory.faces] == [3]
    assert len(film.show(scene((230, 80)))) == 1
    assert film.finder.scanned == []
    for _ in range(RATE + 2):
        assert film.show(scene()) == []
    assert film.memory.faces == ()


def test_a_new_face_is_found_where_something_moved() -> None:
    film = Film()
    assert film.show(scene()) == []
    assert film.show(scene()) == []
    assert film.finder.scanned == []
    assert len(film.show(scene((400, 120)))) == 1
    assert 0 < sum(film.finder.scanned) < 0.5


def test_what_moves_all_over_the_picture_is_searched_over_several_frames() -> None:
    film = Film()
    film.show(scene())
    cells = np.random.default_rng(0).integers(0, 256, (18, 32, 3), np.uint8)
    noise = np.asarray(cv2.resize(cells, (640, 360), interpolation=cv2.INTER_NEAREST), np.uint8)
    costs = []
    for _ in range(12):
        film.show(noise)
        costs.append(sum(film.finder.scanned))
    assert max(costs) < 1.6 * AT_ONCE
    assert 0.95 * WHOLE < sum(costs) < 1.5 * WHOLE
    assert costs[-1] == 0


def test_a_new_scene_is_searched_at_once_whatever_was_searched_before() -> None:
    film = Film()
    assert film.show(scene()) == []
    for _ in range(RATE + 1):
        film.show(scene())
    assert film.memory is not None
    film.memory = replace(film.memory, credit=0.0)  # much has moved until now
    other = np.repeat(np.linspace(250, 10, 360)[:, None, None], 640, axis=1).repeat(3, axis=2).astype(np.uint8)
    other[100:260, 300:460] = portraits()[0]
    costs, found = [], []
    for _ in range(9):
        found.append(len(film.show(other)))
        costs.append(sum(film.finder.scanned))
    assert found[2:] == [1] * 7  # large faces come first
    assert max(costs) <= AT_ONCE + 0.05
    assert 0.95 * WHOLE < sum(costs) < 1.5 * WHOLE


def test_what_moves_always_is_not_always_scanned() -> None:
    """Three seconds of noise cost the first scan, the credit of one more, and a share for each second."""
    film, total = Film(), 0.0
    noise = np.random.default_rng(0)
    for _ in range(3 * RATE):
        cells = noise.integers(0, 256, (18, 32, 3), np.uint8)
        film.show(np.asarray(cv2.resize(cells, (640, 360), interpolation=cv2.INTER_NEAREST), np.uint8))
        total += sum(film.finder.scanned)
    assert 1.5 <= total <= 2.1 + 3 * MOTION_SHARE


def test_light_that_is_switched_on_is_no_motion() -> None:
    film = Film()
    film.show(scene())
    film.show(scene() + np.uint8(40))
    assert film.finder.scanned == []


def test_a_still_face_is_found_within_a_cycle_and_a_small_one_in_the_next() -> None:
    """Nothing moves, and nothing is known: only the schedule finds them."""
    picture = scene((80, 80))
    picture[40:84, 480:524] = cv2.resize(portraits()[0], (44, 44), interpolation=cv2.INTER_AREA)
    film = Film(every=18)
    small, large = sorted(box.width for box in film.show(picture))
    assert small < 2 * 20 < large
    assert film.memory is not None
    film.memory = replace(film.memory, faces=())
    found, costs = [], []
    for _ in range(2 * 18):
        found.append(len(film.show(picture)))
        costs.append(sum(film.finder.scanned))
    assert found[16] == 1
    assert found[-1] == 2
    assert max(costs) < 1.4 * AT_ONCE  # no frame waits for a scan of everything


@pytest.mark.parametrize("every", [18, 600])
def test_turns_that_are_left_out_make_no_other_come_early(every: int) -> None:
    film, picture = Film(every), scene()
    film.show(picture)
    turns = 0
    for _ in range(every - 1):
        film.show(picture)
        turns += len(film.finder.scanned)
    assert turns <= sum(turn.sizes in (MEDIUM, LARGE) for turn in TURNS)


def test_where_the_first_picture_shows_nothing_no_turn_is_left_out() -> None:
    film = Film(every=18)
    film.show(np.zeros((360, 640, 3), np.uint8))
    for _ in range(18):
        film.show(np.zeros((360, 640, 3), np.uint8))
    assert film.finder.small == 6


def test_after_a_cut_whose_scene_is_not_searched_as_a_whole_no_turn_is_left_out() -> None:
    """The second one within a second is not, and what was searched before it is not shown any more."""
    other = np.repeat(np.linspace(250, 10, 360)[:, None, None], 640, axis=1).repeat(3, axis=2).astype(np.uint8)
    film = Film(every=100)
    for picture, left_out in [(scene(), True)] * (RATE + 5) + [(other, True)] * 5 + [(scene(), False)] * 5:
        film.show(picture)
        assert film.memory is not None
        assert (worth(TURNS, film.seq, film.memory.whole, 100) != TURNS) == left_out


def test_more_hits_and_fewer_can_be_asked_for_in_a_video_too() -> None:
    def found(hits: int) -> int:
        film = Film(min_neighbors=hits)
        film.show(scene())
        return sum(len(film.show(scene((400, 120)))) for _ in range(5))

    assert found(1) >= found(3) > 0
    assert found(50) == 0


def test_a_face_that_fails_closer_looks_is_given_up() -> None:
    film = Film(every=1)
    film.show(scene((200, 80)))
    assert film.memory is not None
    film.memory = replace(film.memory, faces=(*film.memory.faces, Known(Box(430, 60, 90, 90), 0.0, 0, 2)))
    film.show(scene((200, 80)))
    assert [face.box.x < 300 for face in film.memory.faces] == [True]


@pytest.mark.parametrize("change", [{"epoch": "other"}, {"width": 320}, {"media_time": 9.0}])
def test_a_memory_of_something_else_is_of_no_use(change: dict[str, object]) -> None:
    film = Film()
    film.show(scene())
    assert film.memory is not None
    film.memory = replace(film.memory, **change)  # type: ignore[arg-type]
    assert len(film.show(scene((200, 80)))) == 1
    assert film.finder.scanned == [1.0]


# --- the stage ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    stage = Detector(DetectorOptions(), MODEL)
    stage.open()
    yield stage
    stage.close()


def frames_of(images: Sequence[Image], camera: str = "cam") -> list[Frame]:
    return [
        replace(
            make_frame(seq, camera, width=image.shape[1], height=image.shape[0], media_time=seq / RATE),
            jpeg=encode(image),
        )
        for seq, image in enumerate(images)
    ]


def test_faces_of_a_film_are_those_of_full_scans(detector: Detector) -> None:
    frames = frames_of(sample_frames()[70:100:2])
    hints: Hints = {}
    full = detector.process(frames)
    batches = [detector.process_hinted(frames[at : at + 4], hints) for at in range(0, len(frames), 4)]
    hinted = [result for batch in batches for result in batch]
    for a, b in zip(full, hinted, strict=True):
        assert len(a.faces) == len(b.faces) == 2
        for face in a.faces:
            assert max(overlap(face.box, other.box) for other in b.faces) > 0.6


def test_two_cameras_do_not_share_what_is_known(detector: Detector) -> None:
    hints: Hints = {}
    one, two = frames_of([scene((200, 80))], "one"), frames_of([scene()], "two")
    results = detector.process_hinted([*one, *two], hints)
    assert [len(result.faces) for result in results] == [1, 0]
    assert set(hints) == {"one", "two"}


@pytest.mark.parametrize("data", [b"", b"garbage", b"\xc1", Memory.__doc__.encode() if Memory.__doc__ else b""])
def test_without_usable_hints_nothing_but_time_is_lost(detector: Detector, data: bytes) -> None:
    hints: Hints = {"cam": data}
    (result,) = detector.process_hinted(frames_of([scene((200, 80))]), hints)
    assert len(result.faces) == 1
    assert Memory.from_bytes(hints["cam"]).faces[0].box == result.faces[0].box


def test_unrelated_pictures_are_all_scanned_and_leave_no_hints(detector: Detector) -> None:
    """The second one differs from the first in one corner only; its new face must not be missed."""
    hints: Hints = {}
    frames = [
        replace(f, info=replace(f.info, still=True))
        for f in frames_of([scene((40, 40)), scene((40, 40), (440, 160))] * 2)
    ]
    assert all(decode_frame(encode_frame(frame), "").still for frame in frames)
    assert [len(result.faces) for result in detector.process_hinted(frames, hints)] == [1, 2, 1, 2]
    assert hints == {}


def test_scan_every_one_means_no_hints() -> None:
    stage = Detector(DetectorOptions(scan_every=1), MODEL)
    stage.open()
    hints: Hints = {}
    frames = frames_of([scene((200, 80))] * 2)
    assert stage.process_hinted(frames, hints) == stage.process(frames)
    assert hints == {}


def test_small_faces_of_large_frames_are_cut_at_full_resolution(detector: Detector) -> None:
    assert isinstance(detector, HintedStage)
    picture = cv2.resize(scene(size=(640, 360)), (1920, 1080))
    picture[300:410, 900:1010] = cv2.resize(portraits()[0], (110, 110))
    frames = frames_of([np.asarray(picture, np.uint8)] * 2)
    hints: Hints = {}
    full = decode_jpeg(frames[0].jpeg, color=False)
    for result in detector.process_hinted(frames, hints):
        (face,) = result.faces
        assert face.box.width < 80
        assert 900 < face.box.x + face.box.width / 2 < 1010
        assert face.pixels == crop_face(full, face.box, 48, 0.1)


def test_a_crop_from_a_reduced_picture_shows_the_same() -> None:
    gray = cv2.cvtColor(cv2.resize(portraits()[0], (480, 480)), cv2.COLOR_BGR2GRAY)
    jpeg = GrayJpeg(encode(np.asarray(gray, np.uint8)))
    half = jpeg.reduced(3.9)
    assert half.shape == (240, 240)
    box = Box(110, 130, 260, 260)
    small = np.frombuffer(crop_face(half, box, 48, 0.1, 0.5), np.uint8).astype(int)
    exact = np.frombuffer(crop_face(jpeg.reduced(1), box, 48, 0.1), np.uint8).astype(int)
    assert np.abs(small - exact).mean() < 4
    assert jpeg.reduced(8).shape == (480, 480)  # decoded once, at the finest that was wanted


# --- parts -------------------------------------------------------------------------------------------------


boxes = st.builds(Box, *[st.integers(0, 16383)] * 2, *[st.integers(1, 16384)] * 2)
finite = st.floats(-1e9, 1e9)
memories = st.builds(
    Memory,
    st.text(max_size=64),
    st.integers(0, 2**53),
    finite,
    st.integers(1, 16384),
    st.integers(1, 16384),
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.lists(st.builds(Known, boxes, finite, st.integers(0, 99), st.integers(0, 9)), max_size=5).map(tuple),
    st.just(np.arange(32 * 18, dtype=np.uint8).reshape(18, 32)),
    st.lists(st.tuples(finite, boxes), max_size=5).map(tuple),
    st.lists(st.tuples(st.sampled_from(SIZES), boxes), max_size=5).map(tuple),
    st.floats(0, 1),
    finite,
    st.just(np.arange(32 * 18, dtype=np.uint8)[::-1].reshape(18, 32)),
)


@given(memories)
def test_a_memory_survives_the_journey(memory: Memory) -> None:
    data = memory.to_bytes()
    again = Memory.from_bytes(data)
    assert replace(again, thumbnail=memory.thumbnail, look=memory.look) == memory
    assert np.array_equal(again.thumbnail, memory.thumbnail)
    assert np.array_equal(again.look, memory.look)
    assert len(data) < 2100


@settings(max_examples=300)
@given(memories, st.integers(0, 2000), st.binary(max_size=3))
def test_a_damaged_memory_is_no_memory_or_a_sound_one(memory: Memory, at: int, junk: bytes) -> None:
    data = memory.to_bytes()
    try:
        found = Memory.from_bytes(data[:at] + junk + data[at + len(junk) :])
    except DecodeError:
        return
    assert all(face.box.x >= 0 and face.box.width > 0 for face in found.faces)
    assert found.to_bytes()  # it is written again with the next frame


@pytest.mark.parametrize("number", [1e300, -1e300, float("nan"), float("inf"), 2**64 - 1])
@pytest.mark.parametrize("field", ["seq", "scanned", "whole"])
def test_a_memory_with_a_number_that_cannot_be_is_none(field: str, number: float) -> None:
    film = Film()
    film.show(scene())
    assert film.memory is not None
    with pytest.raises(DecodeError):
        Memory.from_bytes(replace(film.memory, **{field: number}).to_bytes())  # type: ignore[arg-type]


def test_motion_is_found_in_its_place() -> None:
    cells = shape(640, 360)
    assert cells == (18, 32)
    before = thumbnail(np.full((360, 640), 100, np.uint8), cells)
    picture = np.full((360, 640), 100, np.uint8)
    picture[200:260, 400:440] = 200
    mask = moved(thumbnail(picture, cells), before)
    assert {tuple(cell) for cell in np.argwhere(mask).tolist()} == {(y, x) for y in (10, 11, 12) for x in (20, 21)}
    (area,) = areas(mask)
    assert area.x <= 19 <= 22 <= area.x + area.width - 1
    assert area.y <= 9 <= 13 <= area.y + area.height - 1
    assert areas(np.zeros(cells, np.bool_)) == []


def test_people_cover_their_heads_and_bodies() -> None:
    mask = cells_of([Box(300, 100, 60, 60)], 640, 360, (18, 32))
    assert mask[6, 16]
    assert mask[12, 13]
    assert not mask[6, 12]
    assert not mask[2, 16]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20, 3000), (3000, 20), (7, 9), (4096, 2160)])
def test_thumbnails_of_any_size(width: int, height: int) -> None:
    cells = shape(width, height)
    assert max(cells) <= 32
    assert thumbnail(np.zeros((height, width), np.uint8), cells).shape == cells
