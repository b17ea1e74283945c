"""What the Haar search notes of a camera, and what it sees of its pictures in small."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_stream.detector_worker.haar.memory import SIZES, Known, Memory
from emotion_stream.detector_worker.motion import areas, cells_of
from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.scene import moved, shape, thumbnail
from emotion_stream.shared.messages.types import Box
from tests.detector_worker.films import Film, scene

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
