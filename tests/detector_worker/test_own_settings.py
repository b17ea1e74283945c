"""One detector serves cameras with different settings: they come with each frame, and nothing of them stays."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from emotion_stream.detector_worker.detector import Detector
from emotion_stream.shared.messages.camera import CameraSettings
from emotion_stream.shared.messages.codec import decode_detections, encode_detections
from emotion_stream.shared.messages.types import Frame, ModelSpec
from emotion_stream.shared.process.stage import Hints
from emotion_stream.shared.settings.options import DetectorOptions
from tests.conftest import make_frame
from tests.support.pictures import encode, sample_frames

MODEL = ModelSpec("test", 48, 0.1)
THREE = encode(sample_frames()[115])
"""Three people, with faces of about 65, 115 and 155 pixels; the picture is 360 pixels high."""


@pytest.fixture(scope="module", params=["haar", "yunet"])
def detector(request: pytest.FixtureRequest) -> Iterator[Detector]:
    stage = Detector(DetectorOptions(detector=request.param, min_face=0.1), MODEL)
    stage.open()
    yield stage
    stage.close()


@pytest.fixture
def near(detector: Detector) -> CameraSettings:
    """Only the largest face is large enough. YuNet sees little else than the size that it is asked for."""
    return CameraSettings(min_face={"haar": 0.36, "yunet": 0.28}[detector._options.detector])


def frame(camera: str, seq: int = 0, settings: CameraSettings | None = None) -> Frame:
    made = make_frame(seq, camera, width=640, height=360, interval=0.04, media_time=seq / 25)
    own = settings or CameraSettings()
    return replace(made, jpeg=THREE, frame_id=f"{seq + 1}-0", info=replace(made.info, settings=own))


def test_each_camera_has_its_own_smallest_face(detector: Detector, near: CameraSettings) -> None:
    batch = [
        frame("far"),
        frame("middle", settings=CameraSettings(min_face=0.25)),
        frame("near", settings=near),
        frame("far"),
    ]
    far, middle, one, again = detector.process(batch)
    assert [len(result.faces) for result in (far, middle, one, again)] == [3, 2, 1, 3]
    assert again.faces == far.faces
    assert min(face.box.width for face in far.faces) < 80 < min(face.box.width for face in middle.faces)
    assert one.faces[0].box.width > 0.36 * 360
    # The settings go on with the faces, for the sink.
    assert decode_detections(encode_detections(one), "9-0").info.settings == near


def test_it_is_so_in_videos_too(detector: Detector, near: CameraSettings) -> None:
    hints: Hints = {}
    found: dict[str, list[int]] = {"far": [], "near": []}
    for seq in range(3):
        for camera, own in (("far", None), ("near", near)):
            (result,) = detector.process_hinted([frame(camera, seq, own)], hints)
            found[camera].append(len(result.faces))
    assert found == {"far": [3, 3, 3], "near": [1, 1, 1]}


def test_how_many_faces_and_how_sure(detector: Detector) -> None:
    (one,) = detector.process([frame("a", settings=CameraSettings(max_faces=1))])
    assert len(one.faces) == 1
    strict = CameraSettings(min_neighbors=50, min_score=0.99)
    (few,) = detector.process([frame("a", settings=strict)])
    assert len(few.faces) < 3
