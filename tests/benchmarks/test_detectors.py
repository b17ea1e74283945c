"""What the comparison of detectors measures is what workers do."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from emotion_stream.benchmarks import crops, detectors
from emotion_stream.detector_worker.detector import Detector, make_finder
from emotion_stream.detector_worker.yunet.scale import scan_side
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.manifest import load_manifest
from emotion_stream.shared.messages.types import Box, Frame
from emotion_stream.shared.settings.options import DetectorOptions
from tests.conftest import make_frame
from tests.support.pictures import encode, sample_frames, to_gray

SPEC = load_manifest().spec
YUNET = DetectorOptions(detector="yunet", detector_precision="fp32")


@pytest.mark.parametrize("side", [112, 160, 320, 640])
def test_a_native_scan_has_the_size_of_its_picture(side: int) -> None:
    assert scan_side(side, side * 3 // 4, detectors.native(YUNET, side)) == side
    assert detectors.native(DetectorOptions(), side).scan_width == side


@pytest.mark.parametrize("options", [DetectorOptions(), YUNET])
def test_crops_that_are_measured_are_those_of_workers(options: DetectorOptions) -> None:
    """In a frame so small that workers cut from all of its pixels."""
    gray = np.asarray(
        cv2.resize(to_gray(sample_frames()[115]), (320, 180), interpolation=cv2.INTER_AREA), np.uint8
    )
    jpeg = encode(gray)
    worker = Detector(options, SPEC)
    worker.open()
    (result,) = worker.process([Frame(replace(make_frame().info, width=320, height=180), jpeg, "1-0")])
    seen = GrayJpeg(jpeg)
    found = make_finder(options, SPEC).scan(seen)
    assert len(result.faces) == len(found) >= 2
    for face, ours in zip(result.faces, found, strict=True):
        assert detectors.crop(seen.reduced(1), ours, SPEC) == face.pixels
        if options.detector == "yunet":
            (again,) = crops.cut([seen.reduced(1)], [ours], SPEC.size, SPEC.margin, 0.0)
            assert again.tobytes() == face.pixels


def test_a_crowd_has_as_many_faces_as_it_says() -> None:
    finder = make_finder(DetectorOptions(), SPEC)
    grays = [to_gray(sample_frames()[n]) for n in (84, 115)]
    for count in detectors.CROWD:
        frame = detectors.crowd(grays, finder, count)
        assert len(finder.scan(GrayJpeg(encode(frame)))) == count


def test_a_face_counts_as_found_where_a_box_lies_on_it() -> None:
    face = Box(100, 100, 40, 40)
    assert detectors.hit([Box(52, 50, 20, 20)], face, 0.5)
    assert not detectors.hit([Box(70, 50, 20, 20)], face, 0.5)
    assert not detectors.hit([], face, 0.5)
