"""The committed sample clip is what the README promises, and the detector finds its faces."""

from collections import Counter
from fractions import Fraction

import av
import cv2
import pytest

from emotion_stream import Analysis, Analyzer
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.shared.messages.types import ModelSpec
from emotion_stream.shared.settings.options import DetectorOptions
from tests.detector_worker.test_detector import frame_of
from tests.support.pictures import SAMPLE, encode, sample_frames


def test_clip_is_small_and_of_the_promised_shape() -> None:
    assert SAMPLE.stat().st_size < 2_000_000
    with av.open(str(SAMPLE)) as clip:
        video = clip.streams.video[0]
        assert (video.width, video.height, video.average_rate) == (640, 360, Fraction(25))
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert len(sample_frames()) == 355


def test_reader_of_opencv_counts_the_same_frames() -> None:
    clip = cv2.VideoCapture(str(SAMPLE))
    count = 0
    while clip.read()[0]:
        count += 1
    assert count == 355


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


@pytest.fixture(scope="module")
def followed() -> list[Analysis]:
    """The clip as the stream labels it."""
    with Analyzer() as analyzer:
        return list(analyzer.analyze_source("sample"))


def test_faces_show_more_than_joy_and_calm(followed: list[Analysis]) -> None:
    said = Counter(face.emotion for frame in followed for face in frame.faces if not face.uncertain)
    assert set(said) == {"happy", "neutral", "sad", "angry"}
    assert min(said.values()) >= 15  # half a second and more of each
    uncertain = sum(face.uncertain for frame in followed for face in frame.faces)
    assert uncertain < 0.08 * sum(said.values())


def test_one_face_goes_from_calm_to_anger_to_sorrow_to_joy(followed: list[Analysis]) -> None:
    seen: dict[int, list[str]] = {}
    for frame in followed:
        for face in frame.faces:
            told = seen.setdefault(face.track, [])
            if not face.uncertain and told[-1:] != [face.emotion]:
                told.append(face.emotion)
    assert ["neutral", "angry", "sad", "happy"] in seen.values()
    assert ["happy", "sad"] in seen.values()


def test_there_is_one_cut_and_somebody_leaves_and_comes_back(followed: list[Analysis]) -> None:
    assert [frame.index for frame in followed if frame.cut] == [250]
    alone = [frame.index for frame in followed[250:] if len(frame.faces) == 1]
    both = [frame.index for frame in followed[250:] if len(frame.faces) == 2]
    assert both[0] < alone[len(alone) // 2] < both[-1]
    assert len(alone) > 25
