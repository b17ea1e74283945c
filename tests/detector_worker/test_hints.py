"""What a detector remembers of a camera, and how it searches with it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from emotion_stream.detector_worker.haar.cascade import LARGE, MEDIUM
from emotion_stream.detector_worker.haar.memory import SIZES, Known
from emotion_stream.detector_worker.haar.schedule import TURNS, worth
from emotion_stream.detector_worker.haar.search import AT_ONCE, MOTION_SHARE
from emotion_stream.shared.messages.types import Box
from tests.detector_worker.films import RATE, Film, scene
from tests.support.pictures import portraits

WHOLE = sum(sizes.cost for sizes in SIZES)
"""What a search of the whole picture for faces of all sizes costs, in scans."""


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


def test_a_live_camera_is_searched_bit_by_bit_from_its_first_frame_on() -> None:
    """Many begin at once: none of them keeps the others waiting for a scan of its whole picture."""
    picture = scene((80, 80))
    picture[40:74, 480:514] = cv2.resize(portraits()[0], (34, 34), interpolation=cv2.INTER_AREA)
    film = Film(mode="live")
    costs, found = [], []
    for _ in range(9):
        found.append(len(film.show(picture)))
        costs.append(sum(film.finder.scanned))
    assert found[2] == 1  # large faces come first
    assert found[-1] == 2
    assert max(costs) <= AT_ONCE + 0.05
    assert 0.95 * WHOLE < sum(costs) < 1.5 * WHOLE


def test_a_live_camera_that_begins_in_the_dark_is_searched_when_there_is_light() -> None:
    film = Film(mode="live")
    for _ in range(8):
        assert film.show(np.zeros_like(scene())) == []
        assert film.finder.scanned == []
    picture = scene((80, 80))
    picture[40:74, 480:514] = cv2.resize(portraits()[0], (34, 34), interpolation=cv2.INTER_AREA)
    assert [len(film.show(picture)) for _ in range(9)][-1] == 2


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
