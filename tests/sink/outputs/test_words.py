"""Words in pictures: any script, as large as measured, and no dearer than before."""

import numpy as np
import pytest

from emotion_stream.shared.messages.types import OK, FrameInfo
from emotion_stream.sink.drawing.draw import annotate
from emotion_stream.sink.drawing.text import fit, measure, wrap, write
from emotion_stream.sink.results.output import Image, Result

WORDS = "Süd", "Kameraüberwachung", "Łódź", "Видеонаблюдение", "Βιντεοσκόπηση", "Ça và"


def drawn(text: str, scale: float = 1.0) -> Image:
    line = measure(text, scale)
    out = np.zeros((line.size[1], line.size[0], 3), np.uint8)
    write(out, line, 0, 0, (255, 255, 255))
    return out


@pytest.mark.parametrize("word", WORDS)
def test_letters_beyond_ascii_are_letters(word: str) -> None:
    """None is left out, and none is the sign for "there is no such letter" or a question mark."""
    assert drawn(word).any()
    for letter in set(word):
        for missing in ("?", "\U0010fffd"):
            assert not np.array_equal(drawn(letter), drawn(missing))


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0, 2.5])
def test_a_text_stays_in_what_was_measured(scale: float) -> None:
    line = measure("ÄÖÜ gjpqy Й", scale)
    width, height = line.size
    out = np.zeros((height + 40, width + 40, 3), np.uint8)
    write(out, line, 20, 20, (1, 2, 3))
    rows, columns = np.nonzero(out.any(axis=2))
    assert 18 <= rows.min() <= rows.max() < height + 22
    assert 18 <= columns.min() <= columns.max() < width + 22
    assert (out.max(axis=(0, 1)) == (1, 2, 3)).all()


def test_texts_outside_of_a_picture_are_cut_off() -> None:
    line = measure("words", 1.0)
    for x, y in ((-20, -10), (90, 90), (500, 0), (0, -500)):
        out = np.zeros((100, 100, 3), np.uint8)
        write(out, line, x, y, (255, 255, 255))
    assert fit("a long notice " * 20, 1.0, 300).size[0] <= 300
    assert len(wrap("Видеонаблюдение " * 40, 0.6, 200)) == 4
    assert measure("", 1.0).size[0] > 0


def test_a_notice_reads_as_it_was_given() -> None:
    image = np.full((360, 640, 3), 90, np.uint8)
    result = Result(FrameInfo("hall", "x", "a", 0, 1e9, 0.0, 640, 360, "live"), OK, ("happy",), (), 0.0)
    given = [annotate(image, result, notice=notice) for notice in ("Süd", "S??d", "Sud")]
    assert not np.array_equal(given[0], given[1])
    assert not np.array_equal(given[0], given[2])
