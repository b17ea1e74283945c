"""The detector YuNet: what it finds, how it crops, what travels, and what a Haar worker does not load."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

from emotion_stream.detector_worker.crop import FACE, upright
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.detector_worker.yunet import network
from emotion_stream.detector_worker.yunet.scale import scan_side
from emotion_stream.shared.errors import DecodeError, EmotionError
from emotion_stream.shared.messages.codec import (
    decode_detections,
    decode_emotions,
    encode_detections,
    encode_emotions,
)
from emotion_stream.shared.messages.types import Box, Crop, Detections, Emotions, Frame, ModelSpec, Prediction
from emotion_stream.shared.process.stage import Hints
from emotion_stream.shared.settings.options import DetectorOptions
from emotion_stream.sink.results.output import Face, Result, as_json
from tests.conftest import make_frame
from tests.support.pictures import SHARED_DATA, Image, encode, portraits, sample_frames, to_gray

MODEL = ModelSpec("test", 48, 0.015)
OPTIONS = DetectorOptions(detector="yunet", detector_precision="fp32")
POINTS = ((10.5, 20.0), (30.0, 20.25), (20.0, 30.0), (12.0, 40.0), (28.0, -40.0))


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    stage = Detector(OPTIONS, MODEL)
    stage.open()
    yield stage
    stage.close()


def found(detector: Detector, image: Image) -> tuple[Crop, ...]:
    frame = replace(make_frame(width=image.shape[1], height=image.shape[0]), jpeg=encode(image), frame_id="1-0")
    (result,) = detector.process([frame])
    assert result.outcome.status == "ok"
    return result.faces


def scene(side: int, angle: float = 0.0, size: tuple[int, int] = (640, 360)) -> Image:
    """A plain picture with a portrait of this size in its middle, turned by so many degrees."""
    picture = np.full((size[1], size[0], 3), 120, np.uint8)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    picture[top : top + side, left : left + side] = cv2.resize(portraits()[0], (side, side))
    turn = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), angle, 1)
    return np.asarray(cv2.warpAffine(picture, turn, size, borderValue=(120, 120, 120)), np.uint8)


@pytest.mark.parametrize("size", [(640, 360), (3840, 2160), (360, 640), (200, 150), (64, 48)])
def test_a_face_is_found_in_frames_of_all_shapes(detector: Detector, size: tuple[int, int]) -> None:
    side = min(size) * 3 // 4
    (face,) = found(detector, scene(side, size=size))
    assert face.landmarks is not None
    assert face.box.x + face.box.width / 2 == pytest.approx(size[0] / 2, abs=side / 4)
    assert 0.3 * side < face.box.width == pytest.approx(face.box.height, abs=1)
    assert len(face.pixels) == 48 * 48
    right, left = face.landmarks[:2]
    assert right[0] < left[0]
    assert all(face.box.x < x < face.box.x + face.box.width for x, _ in face.landmarks)


def test_pictures_without_a_face_have_none(detector: Detector) -> None:
    for picture in (np.zeros((360, 640, 3), np.uint8), sample_frames()[0][:, 320:], np.zeros((1, 1, 3), np.uint8)):
        assert found(detector, picture) == ()


def test_boxes_are_those_of_haar(detector: Detector) -> None:
    haar = Detector(DetectorOptions(), MODEL)
    haar.open()
    ours, theirs = (sorted(found(d, sample_frames()[84]), key=lambda f: f.box.x) for d in (detector, haar))
    assert len(ours) == len(theirs) == 2
    for a, b in zip(ours, theirs, strict=True):
        assert a.box.width == pytest.approx(b.box.width, rel=0.35)  # alt2 cuts closer than most cascades
        assert a.box.x == pytest.approx(b.box.x, abs=0.3 * b.box.width)
        assert a.box.y == pytest.approx(b.box.y, abs=0.3 * b.box.height)
        assert b.landmarks is None


def test_a_tilted_face_is_turned_upright(detector: Detector) -> None:
    straight = Detector(replace(OPTIONS, align=False), MODEL)
    straight.open()

    def crop(stage: Detector, angle: float) -> np.ndarray:
        (face,) = found(stage, scene(200, angle))
        return np.frombuffer(face.pixels, np.uint8).astype(float)

    level, aligned, left = crop(detector, 0), crop(detector, 25), crop(straight, 25)
    assert abs(aligned - level).mean() < 0.5 * abs(left - level).mean()


def test_landmarks_that_fit_give_their_own_square() -> None:
    points = tuple((100 + 96 * z.real, 50 + 96 * z.imag) for z in FACE)
    square = upright(points, (1 / 0.979 - 1) / 2)
    assert square is not None
    assert (square.x, square.y) == pytest.approx((148, 98))
    assert square.across == pytest.approx(96)
    ramp = np.tile(np.arange(300, dtype=np.uint8), (200, 1))
    rows = np.frombuffer(square.cut(ramp, 48), np.uint8).reshape(48, 48)
    assert abs(rows - (100.5 + 2 * np.arange(48))).max() <= 1
    assert upright(((5.0, 5.0),) * 5, 0) is None


@pytest.mark.skipif(not (SHARED_DATA / "weights" / "yunet").is_dir(), reason="needs the authors' file")
def test_boxes_and_landmarks_are_those_of_opencv() -> None:
    theirs = cv2.FaceDetectorYN.create(
        str(SHARED_DATA / "weights" / "yunet" / "yunet_n_320_320.onnx"), "", (320, 192), 0.7, 0.3, 5000
    )
    ours, faces = network.Network("fp32"), 0
    for path in sorted((SHARED_DATA / "faces").glob("*.jpg")):
        gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert gray is not None
        small = np.asarray(cv2.resize(gray, (320, 180), interpolation=cv2.INTER_AREA), np.uint8)
        theirs.setInputSize((320, 180))
        _, rows = theirs.detect(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR))
        seen = ours.look(small, 320, 180, 0.7)
        rows = np.zeros((0, 15)) if rows is None else np.asarray(rows)
        assert len(seen.scores) == len(rows)
        faces += len(rows)
        for row in rows:
            nearest = abs(seen.boxes - row[:4]).max(axis=1).argmin()
            np.testing.assert_allclose(seen.boxes[nearest], row[:4], atol=1)
            np.testing.assert_allclose(seen.landmarks[nearest].ravel(), row[4:14], atol=1)
    assert faces > 20


def test_compiled_networks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "KEPT", 2)
    made = network.Network("fp32")
    for width in (32, 64, 96, 64):
        made.look(np.zeros((32, width), np.uint8), width, 32, 0.7)
    assert list(made._compiled) == [(96, 32), (64, 32)]


def test_a_damaged_file_is_told(tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "DIGEST", "other")
    with pytest.raises(EmotionError, match="damaged"):
        network.Network("fp32")


def test_how_wide_a_scan_is() -> None:
    assert scan_side(1920, 1080, OPTIONS) == 320
    assert scan_side(320, 240, OPTIONS) == scan_side(200, 150, OPTIONS) == 320
    assert scan_side(64, 48, OPTIONS) == 128
    assert scan_side(640, 360, replace(OPTIONS, min_face=0.1)) == round(16 * 640 / 36)
    assert scan_side(1920, 1080, replace(OPTIONS, min_face=0.01)) == 640
    assert scan_side(1920, 1080, replace(OPTIONS, min_face=0.02, scan_width=0)) == 1422


@pytest.mark.parametrize("width", [96, 128])
def test_small_frames_are_enlarged(detector: Detector, width: int) -> None:
    """Scanned at its own size, such a frame shows one of its two faces, or none."""
    frame = sample_frames()[84]
    small = np.asarray(cv2.resize(frame, (width, width * 9 // 16), interpolation=cv2.INTER_AREA), np.uint8)
    assert len(found(detector, small)) == 2


def test_no_notes_are_taken_and_foreign_ones_do_no_harm(detector: Detector) -> None:
    hints: Hints = {"cam": b"garbage"}
    frame: Frame = replace(make_frame(width=640, height=360), jpeg=encode(scene(200)), frame_id="1-0")
    (result,) = detector.process_hinted([frame], hints)
    assert len(result.faces) == 1
    assert hints == {"cam": b"garbage"}


def test_landmarks_survive_the_journey_and_are_bounded() -> None:
    info = make_frame().info
    faces = (Crop(Box(1, 2, 3, 4), 0.9, bytes(4), POINTS), Crop(Box(1, 2, 3, 4), 0.8, bytes(4)))
    sent = Detections(info, "1-0", ModelSpec("m", 2, 0.0), faces)
    assert decode_detections(encode_detections(sent), "2-0") == sent
    labelled = Emotions(info, "1-0", ("a",), (Prediction(Box(1, 2, 3, 4), 0.9, (1.0,), POINTS),))
    assert decode_emotions(encode_emotions(labelled), "2-0") == labelled
    for wrong in (float("nan"), 1e9):
        bad = replace(sent, faces=(replace(faces[0], landmarks=(*POINTS[:4], (wrong, 0.0))),))
        with pytest.raises(DecodeError, match="landmark"):
            decode_detections(encode_detections(bad), "2-0")


def test_results_have_score_and_landmarks() -> None:
    frame = make_frame()
    face = Face.alone(1, Prediction(Box(1, 2, 3, 4), 0.9, (1.0,), POINTS))
    (told,) = as_json(Result(frame.info, frame.outcome, ("a",), (face,), 0.0))["faces"]
    assert (told["score"], told["landmarks"][1]) == (0.9, [30.0, 20.2])


def test_a_haar_worker_never_loads_openvino() -> None:
    code = (
        "import sys, detector_worker.__main__; from emotion_stream.detector_worker.detector import Detector;"
        "from emotion_stream.shared.messages.types import ModelSpec;"
        "from emotion_stream.shared.settings.options import DetectorOptions;"
        "d = Detector(DetectorOptions(detector=sys.argv[1]), ModelSpec('m', 48, 0.0)); d.open();"
        "sys.exit('openvino' in sys.modules)"
    )
    loads = [
        subprocess.run([sys.executable, "-c", code, name], check=False).returncode for name in ("haar", "yunet")
    ]
    assert loads == [0, 1]


def test_gray_and_coloured_pictures_show_the_same_faces(detector: Detector) -> None:
    assert len(found(detector, to_gray(sample_frames()[84]))) == 2


@pytest.mark.parametrize(
    ("processor", "flags", "fast"),
    [
        ("AMD EPYC 9B14 96-Core Processor", "flags : avx512_bf16", True),
        ("Intel(R) Xeon(R) Processor", "flags : avx512_bf16 avx512_vnni", False),
        ("Intel(R) Xeon(R) Processor", "flags : avx512_bf16 amx_bf16", True),
    ],
)
def test_bf16_is_taken_where_it_is_faster(processor: str, flags: str, fast: bool) -> None:
    assert network.bf16_is_fast(processor, flags) is fast
