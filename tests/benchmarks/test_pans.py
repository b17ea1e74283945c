"""What `--blur-faces` misses is counted right, and with YuNet nothing of the sample is missed."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from emotion_stream.benchmarks.video import pans
from emotion_stream.shared.messages.types import Box
from tests.support.pictures import portraits, sample_frames


def test_faces_count_as_missed_where_they_are_not_hidden() -> None:
    mask = np.zeros((100, 200), np.bool_)
    mask[20:60, 20:60] = True
    inside, half, outside, cut = (
        Box(30, 30, 20, 20),
        Box(50, 30, 20, 20),
        Box(150, 50, 20, 20),
        Box(190, 0, 20, 20),
    )
    assert pans.missed([mask], [[inside]]) == (0, 1)
    assert pans.missed([mask], [[half]]) == (1, 1)
    assert pans.missed([mask, mask], [[inside, outside], [half, cut]]) == (
        2,
        3,
    )  # `cut` is not wholly in the frame


@pytest.mark.parametrize(("detector", "most"), [("haar", 0.1), ("yunet", 0.0)])
def test_the_samples_faces_are_hidden(detector: Literal["haar", "yunet"], most: float) -> None:
    first, count = 60, 40
    frames = sample_frames()[first : first + count]
    truth = pans.faces_of_sample(first + count)[first:]
    wrong, total = pans.missed(pans.hidden(detector, frames), truth)
    assert total > count
    assert wrong <= most * total
    assert pans.missed((np.zeros(f.shape[:2], np.bool_) for f in frames), truth) == (total, total)


def test_where_a_pan_shows_a_face(tmp_path: Path) -> None:
    """A white square in a dark photo lies in the clip where it is said to be."""
    photo = tmp_path / "photo.png"
    picture = cv2.resize(portraits()[0], (500, 375)) // 8
    picture[150:200, 220:270] = 255
    cv2.imwrite(str(photo), picture)
    clip = pans.pan(photo, tmp_path / "pan.mp4", 1.0, 3)
    there = pans.faces_of_pan([Box(220, 150, 50, 50)], (375, 500), 1.0, 3)
    for frame, (box,) in zip(pans.frames_of(clip), there, strict=True):
        rows, columns = np.nonzero(frame.mean(axis=2) > 128)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert found == pytest.approx((box.x, box.y, box.x + box.width, box.y + box.height), abs=3)
