"""The detector stage with hints: it is never worse off than without."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from emotion_stream.detector_worker.boxes import overlap
from emotion_stream.detector_worker.crop import crop_face
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.detector_worker.haar.memory import Memory
from emotion_stream.shared.messages.codec import decode_frame, encode_frame
from emotion_stream.shared.messages.jpeg import GrayJpeg, decode_jpeg
from emotion_stream.shared.messages.types import Box, Frame
from emotion_stream.shared.process.stage import HintedStage, Hints
from emotion_stream.shared.settings.options import DetectorOptions
from tests.conftest import make_frame
from tests.detector_worker.films import MODEL, RATE, scene
from tests.support.pictures import Image, encode, portraits, sample_frames


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    stage = Detector(DetectorOptions(), MODEL)
    stage.open()
    yield stage
    stage.close()


def frames_of(images: Sequence[Image], camera: str = "cam") -> list[Frame]:
    return [
        replace(
            make_frame(seq, camera, width=image.shape[1], height=image.shape[0], media_time=seq / RATE),
            jpeg=encode(image),
        )
        for seq, image in enumerate(images)
    ]


def test_faces_of_a_film_are_those_of_full_scans(detector: Detector) -> None:
    frames = frames_of(sample_frames()[70:100:2])
    hints: Hints = {}
    full = detector.process(frames)
    batches = [detector.process_hinted(frames[at : at + 4], hints) for at in range(0, len(frames), 4)]
    hinted = [result for batch in batches for result in batch]
    for a, b in zip(full, hinted, strict=True):
        assert len(a.faces) == len(b.faces) == 2
        for face in a.faces:
            assert max(overlap(face.box, other.box) for other in b.faces) > 0.6


def test_two_cameras_do_not_share_what_is_known(detector: Detector) -> None:
    hints: Hints = {}
    one, two = frames_of([scene((200, 80))], "one"), frames_of([scene()], "two")
    results = detector.process_hinted([*one, *two], hints)
    assert [len(result.faces) for result in results] == [1, 0]
    assert set(hints) == {"one", "two"}


@pytest.mark.parametrize("data", [b"", b"garbage", b"\xc1", Memory.__doc__.encode() if Memory.__doc__ else b""])
def test_without_usable_hints_nothing_but_time_is_lost(detector: Detector, data: bytes) -> None:
    hints: Hints = {"cam": data}
    (result,) = detector.process_hinted(frames_of([scene((200, 80))]), hints)
    assert len(result.faces) == 1
    assert Memory.from_bytes(hints["cam"]).faces[0].box == result.faces[0].box


def test_unrelated_pictures_are_all_scanned_and_leave_no_hints(detector: Detector) -> None:
    """The second one differs from the first in one corner only; its new face must not be missed."""
    hints: Hints = {}
    frames = [
        replace(f, info=replace(f.info, still=True))
        for f in frames_of([scene((40, 40)), scene((40, 40), (440, 160))] * 2)
    ]
    assert all(decode_frame(encode_frame(frame), "").still for frame in frames)
    assert [len(result.faces) for result in detector.process_hinted(frames, hints)] == [1, 2, 1, 2]
    assert hints == {}


def test_scan_every_one_means_no_hints() -> None:
    stage = Detector(DetectorOptions(scan_every=1), MODEL)
    stage.open()
    hints: Hints = {}
    frames = frames_of([scene((200, 80))] * 2)
    assert stage.process_hinted(frames, hints) == stage.process(frames)
    assert hints == {}


def test_small_faces_of_large_frames_are_cut_at_full_resolution(detector: Detector) -> None:
    assert isinstance(detector, HintedStage)
    picture = cv2.resize(scene(size=(640, 360)), (1920, 1080))
    picture[300:410, 900:1010] = cv2.resize(portraits()[0], (110, 110))
    frames = frames_of([np.asarray(picture, np.uint8)] * 2)
    hints: Hints = {}
    full = decode_jpeg(frames[0].jpeg, color=False)
    for result in detector.process_hinted(frames, hints):
        (face,) = result.faces
        assert face.box.width < 80
        assert 900 < face.box.x + face.box.width / 2 < 1010
        assert face.pixels == crop_face(full, face.box, 48, 0.1)


def test_a_crop_from_a_reduced_picture_shows_the_same() -> None:
    gray = cv2.cvtColor(cv2.resize(portraits()[0], (480, 480)), cv2.COLOR_BGR2GRAY)
    jpeg = GrayJpeg(encode(np.asarray(gray, np.uint8)))
    half = jpeg.reduced(3.9)
    assert half.shape == (240, 240)
    box = Box(110, 130, 260, 260)
    small = np.frombuffer(crop_face(half, box, 48, 0.1, 0.5), np.uint8).astype(int)
    exact = np.frombuffer(crop_face(jpeg.reduced(1), box, 48, 0.1), np.uint8).astype(int)
    assert np.abs(small - exact).mean() < 4
    assert jpeg.reduced(8).shape == (480, 480)  # decoded once, at the finest that was wanted
