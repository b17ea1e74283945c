"""The committed sample clip is what the README promises, and the detector finds its faces."""

from collections import Counter
from fractions import Fraction

import av
import cv2
import pytest

from detector_worker.detector import Detector
from shared.messages import ModelSpec
from shared.options import DetectorOptions
from tests.pictures import SAMPLE, encode, sample_frames
from tests.test_detector import frame_of


def test_clip_is_small_and_of_the_promised_shape() -> None:
    assert SAMPLE.stat().st_size < 2_000_000
    with av.open(str(SAMPLE)) as clip:
        video = clip.streams.video[0]
        assert (video.width, video.height, video.average_rate) == (640, 360, Fraction(25))
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert len(sample_frames()) == 250


def test_reader_of_opencv_counts_the_same_frames() -> None:
    clip = cv2.VideoCapture(str(SAMPLE))
    count = 0
    while clip.read()[0]:
        count += 1
    assert count == 250


@pytest.fixture(scope="module")
def counts() -> Counter[int]:
    """How many of every tenth frame show how many faces."""
    detector = Detector(DetectorOptions(), ModelSpec("test", 48, 0.0))
    detector.open()
    frames = [frame_of(encode(image), 640, 360) for image in sample_frames()[::10]]
    found = Counter(len(result.faces) for result in detector.process(frames))
    detector.close()
    return found


def test_faces_are_found_in_nearly_every_frame(counts: Counter[int]) -> None:
    assert counts[0] <= 0.05 * sum(counts.values())


def test_faces_appear_alone_and_together(counts: Counter[int]) -> None:
    assert set(counts) >= {1, 2, 3}
    assert max(counts) == 3  # no more portraits than that are ever in the picture at once
