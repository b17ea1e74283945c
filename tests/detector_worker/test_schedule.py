"""When which part of a video's picture is scanned."""

from collections import Counter
from dataclasses import replace

import pytest

from emotion_stream.detector_worker.haar.cascade import LARGE, MEDIUM, SMALL, Sizes
from emotion_stream.detector_worker.haar.schedule import TURNS, Turn, due, split, worth
from emotion_stream.shared.messages.types import Box
from tests.conftest import make_frame


@pytest.mark.parametrize("every", [2, 5, 6, 60, 100])
def test_a_cycle_has_every_turn_once_and_cameras_begin_at_different_frames(every: int) -> None:
    def turns(camera: str) -> list[Turn]:
        return [turn for n in range(every) for turn in due(make_frame(n, camera).info, n, every)]

    found = [turns(f"cam{n}") for n in range(20)]
    assert all(Counter(one) == Counter(TURNS) for one in found)
    assert len({tuple(one) for one in found}) > 1


@pytest.mark.parametrize("sizes", [SMALL, MEDIUM, LARGE])
def test_the_turns_of_a_cycle_look_everywhere(sizes: Sizes) -> None:
    parts = {turn.part for turn in TURNS if turn.sizes == sizes}
    (count,) = {turn.parts for turn in TURNS if turn.sizes == sizes}
    assert parts == set(range(count))


@pytest.mark.parametrize("parts", [1, 2, 6])
@pytest.mark.parametrize(("width", "height"), [(640, 360), (360, 640), (21, 20), (1, 1)])
def test_strips_cover_an_area_and_overlap(width: int, height: int, parts: int) -> None:
    strips = split(Box(100, 200, width, height), parts, 44)
    assert len(strips) == parts
    longer = max(width, height)
    for place in range(longer):
        piece = range(place, min(place + 44, longer))
        spans = [
            (s.x - 100, s.x - 100 + s.width) if width >= height else (s.y - 200, s.y - 200 + s.height)
            for s in strips
        ]
        assert any(start <= piece[0] and piece[-1] < stop for start, stop in spans)
    assert all(s.height == height if width >= height else s.width == width for s in strips)


def test_a_turn_whose_frame_was_lost_is_made_up_for() -> None:
    info = make_frame(30).info
    assert not any(due(replace(info, seq=seq), 0, 100_000) for seq in (1, 999))
    assert len(due(replace(info, seq=100_000 // len(TURNS) + 20), 0, 100_000)) == 1


@pytest.mark.parametrize("every", [2, 60, 100_000])
def test_after_a_search_of_everything_small_faces_have_no_turn_for_a_cycle(every: int) -> None:
    larger = tuple(turn for turn in TURNS if turn.sizes is not SMALL)
    assert worth(TURNS, 500, 500, every) == worth(TURNS, 499 + every, 500, every) == larger
    assert worth(TURNS, 500 + every, 500, every) == TURNS
    assert worth(TURNS, 0, 500_000, every) == TURNS  # of a camera whose frames are counted anew
