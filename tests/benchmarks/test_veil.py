"""What `--blur-faces` hides of faces that enter, in the sample clip: its making tells where its faces are."""

import pytest

from emotion_stream.benchmarks.video.veil import Seen, measure, sample
from emotion_stream.shared.settings.options import DetectorOptions


@pytest.fixture(scope="module")
def clip() -> list[Seen]:
    return list(sample())


def test_no_frame_of_the_sample_shows_a_face_where_frames_are_held_back(clip: list[Seen]) -> None:
    assert len(clip) == 355
    lossless = measure(clip, DetectorOptions(), 0.0, "lossless")
    assert lossless.all > 500
    assert (lossless.unblurred, lossless.never) == (0, 0)
    at_once = measure(clip, DetectorOptions(), 0.0, "live")
    assert at_once.unblurred > 10  # so it is the waiting that hides them
