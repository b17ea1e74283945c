"""Smaller pictures: of the size that was asked for, and as good as the slow way."""

import cv2
import numpy as np
import pytest

from emotion_stream.shared.smaller import smaller
from tests.support.pictures import portraits


@pytest.mark.parametrize("size", [(160, 160), (159, 91), (120, 120), (81, 80), (80, 80), (53, 40), (1, 1)])
@pytest.mark.parametrize("gray", [False, True])
def test_the_size_is_what_was_asked_for(size: tuple[int, int], gray: bool) -> None:
    image = portraits()[0]
    image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) if gray else image
    found = smaller(image, *size)
    assert found.shape == (size[1], size[0], *image.shape[2:])
    assert found.dtype == np.uint8


@pytest.mark.parametrize("width", [150, 120, 96, 80, 70, 40, 30])
def test_few_can_tell_it_from_what_takes_five_times_as_long(width: int) -> None:
    image = portraits()[0]
    slow = cv2.resize(image, (width, width), interpolation=cv2.INTER_AREA)
    assert cv2.PSNR(smaller(image, width, width), slow) > 35


@pytest.mark.parametrize("width", [90, 61, 51, 40, 26])
def test_no_pixel_is_left_out(width: int) -> None:
    """A light that is one pixel wide is seen wherever it is."""
    for x in range(100):
        image = np.zeros((100, 100), np.uint8)
        image[:, x] = 255
        assert smaller(image, width, width).max() > 0, x


def test_a_picture_of_that_size_already_is_the_same() -> None:
    image = portraits()[0]
    assert np.array_equal(smaller(image, 160, 160), image)
