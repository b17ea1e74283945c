"""Both detectors on real pictures, on pictures made to be difficult, and on bytes that are no picture."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.detector_worker.boxes import clip, overlap
from emotion_stream.detector_worker.crop import crop_face, upright
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.detector_worker.haar.cascade import FaceFinder, suppress
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages import jpeg as jpegs
from emotion_stream.shared.messages.codec import decode_detections, encode_detections
from emotion_stream.shared.messages.jpeg import GrayJpeg, JpegError, check_jpeg, decode_jpeg
from emotion_stream.shared.messages.types import Box, Detections, Frame, ModelSpec, Outcome
from emotion_stream.shared.process.stage import Hints
from emotion_stream.shared.settings.options import DetectorOptions
from tests.conftest import make_frame
from tests.support.pictures import SHARED_DATA, Image, encode, portraits, sample_frames, to_gray

MODEL = ModelSpec("test", 48, 0.1)


@pytest.fixture(scope="module", params=["haar", "yunet"])
def detector(request: pytest.FixtureRequest) -> Iterator[Detector]:
    stage = Detector(DetectorOptions(detector=request.param), MODEL)
    stage.open()
    yield stage
    stage.close()


def frame_of(jpeg: bytes, width: int = 0, height: int = 0) -> Frame:
    return replace(make_frame(width=width, height=height), jpeg=jpeg, frame_id="1-0")


def detect(detector: Detector, image: Image, suffix: str = ".jpg") -> Detections:
    """The detector's result for one picture, in the form it has after the journey."""
    frame = frame_of(encode(image, suffix), image.shape[1], image.shape[0])
    (result,) = detector.process([frame])
    assert decode_detections(encode_detections(result), "2-0") == result
    return result


def center(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


# --- faces -------------------------------------------------------------------------------------------------


def test_faces_of_a_frame_have_boxes_and_crops(detector: Detector) -> None:
    result = detect(detector, sample_frames()[84])  # two portraits, at about 195 and 450 pixels from the left
    left, right = sorted(result.faces, key=lambda face: face.box.x)
    assert center(left.box) == pytest.approx((186, 186), abs=25)
    assert center(right.box) == pytest.approx((465, 190), abs=35)
    assert {len(face.pixels) for face in result.faces} == {48 * 48}
    jpeg = encode(sample_frames()[84])
    if left.landmarks is None:
        assert left.pixels == crop_face(decode_jpeg(jpeg, color=False), left.box, 48, 0.1)
    else:
        square = upright(left.landmarks, 0.1)
        assert square is not None
        gray = GrayJpeg(jpeg).reduced(square.side / 48)
        assert left.pixels == square.cut(gray, 48, gray.shape[1] / 640)
    assert (result.frame_id, result.model, result.outcome.status) == ("1-0", MODEL, "ok")


def test_4k_frame_has_its_boxes_in_its_own_pixels(detector: Detector) -> None:
    small = sample_frames()[84]
    large = np.asarray(cv2.resize(small, (3840, 2160), interpolation=cv2.INTER_CUBIC), np.uint8)
    before, after = detect(detector, small).faces, detect(detector, large).faces
    assert len(after) == 2
    for a, b in zip(*(sorted(faces, key=lambda f: f.box.x) for faces in (before, after)), strict=True):
        assert center(b.box) == pytest.approx([6 * v for v in center(a.box)], abs=60)
        assert b.box.width == pytest.approx(6 * a.box.width, rel=0.15)


@pytest.mark.parametrize("size", [(360, 640), (2160, 3840), (640, 100), (100, 640), (64, 48)])
def test_a_face_is_found_in_frames_of_odd_shapes(detector: Detector, size: tuple[int, int]) -> None:
    """Portrait, strips, and one of 64 x 48 pixels, where the face has 30."""
    width, height = size
    picture = np.full((height, width, 3), 120, np.uint8)
    side = min(width, height) * 19 // 20
    left, top = (width - side) // 2, (height - side) // 2
    picture[top : top + side, left : left + side] = cv2.resize(portraits()[0], (side, side))
    (face,) = detect(detector, picture).faces
    assert center(face.box) == pytest.approx((width / 2, height / 2), abs=side / 4)
    assert 0.3 * side < face.box.width == pytest.approx(face.box.height, abs=1)
    assert len(face.pixels) == 48 * 48


def test_a_still_picture_and_a_frame_of_a_film_show_the_same_faces(detector: Detector) -> None:
    """A film's first frame is as good as a picture; a still one leaves nothing to remember."""
    hints: Hints = {}
    frame = frame_of(encode(sample_frames()[84]), 640, 360)
    (film,) = detector.process_hinted([frame], hints)
    known = dict(hints)
    (still,) = detector.process_hinted([replace(frame, info=replace(frame.info, still=True))], hints)
    assert len(film.faces) == len(still.faces) == 2
    assert hints == known
    for a, b in zip(*(sorted(r.faces, key=lambda f: f.box.x) for r in (film, still)), strict=True):
        assert overlap(a.box, b.box) > 0.7


@pytest.mark.parametrize("size", [(1280, 1024), (1920, 1080), (3840, 2160)])
def test_twenty_faces_of_varied_sizes_are_all_found(detector: Detector, size: tuple[int, int]) -> None:
    width, height = size
    picture = np.full((height, width, 3), 170, np.uint8)
    cell_width, cell_height = width // 5, height // 4
    sides = np.random.default_rng(2).uniform(0.6, 0.95, 20) * min(cell_width, cell_height)
    middles = [((i % 5 + 0.5) * cell_width, (i // 5 + 0.5) * cell_height) for i in range(20)]
    for i, ((x, y), side) in enumerate(zip(middles, sides.astype(int), strict=True)):
        left, top = int(x - side / 2), int(y - side / 2)
        picture[top : top + side, left : left + side] = cv2.resize(portraits()[i % 2], (side, side))
    boxes = [face.box for face in detect(detector, picture).faces]
    assert len(boxes) == 20
    for (x, y), side in zip(middles, sides, strict=True):
        near = [box for box in boxes if np.hypot(center(box)[0] - x, center(box)[1] - y) < 0.2 * side]
        assert len(near) == 1
        assert 0.4 * side < near[0].width < side


def test_gray_jpeg_gives_the_same_faces_as_the_colored_one(detector: Detector) -> None:
    color = sample_frames()[84]
    gray = to_gray(color)
    found = detect(detector, gray).faces
    assert len(found) == 2
    for a, b in zip(found, detect(detector, color).faces, strict=True):
        assert overlap(a.box, b.box) > 0.8


def test_picture_without_faces_is_ok_and_empty(detector: Detector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    for picture in (noise, np.zeros((360, 640, 3), np.uint8), sample_frames()[0][:, 320:]):
        result = detect(detector, picture)
        assert (result.faces, result.outcome.status) == ((), "ok")


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (19, 200), (200, 19), (2, 3000), (3000, 2)])
def test_picture_smaller_than_the_window_has_no_faces(detector: Detector, shape: tuple[int, int]) -> None:
    result = detect(detector, np.full(shape, 90, np.uint8))
    assert (result.faces, result.outcome.status) == ((), "ok")


def test_most_faces_are_a_setting_and_the_surest_stay() -> None:
    gray = to_gray(sample_frames()[115])
    all_faces = FaceFinder(DetectorOptions()).find(gray)
    assert len(all_faces) == 3
    assert all_faces == sorted(all_faces, key=lambda face: -face[1])
    assert FaceFinder(DetectorOptions(max_faces=2)).find(gray) == all_faces[:2]


def test_smallest_face_is_a_setting() -> None:
    gray = to_gray(sample_frames()[115])
    found = FaceFinder(DetectorOptions(min_face=0.25)).find(gray)
    assert len(found) == 2
    assert all(box.width >= 0.25 * 360 for box, _ in found)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the shared data")
def test_known_photos_with_and_without_faces(detector: Detector) -> None:
    def faces_on(name: str) -> int:
        (result,) = detector.process([frame_of((SHARED_DATA / "faces" / name).read_bytes())])
        assert result.outcome.status == "ok"
        return len(result.faces)

    assert faces_on("dogs.jpg") <= 1  # YuNet takes one of them for a face
    assert faces_on("2008_002506.jpg") == 3
    assert faces_on("2008_004176.jpg") >= 6
    assert faces_on("bald_guys.jpg") >= 20


# --- bytes that are no sound picture -----------------------------------------------------------------------


def test_bad_pictures_are_errors_and_leave_the_good_ones_alone(detector: Detector) -> None:
    good = encode(sample_frames()[84])
    overwritten = good[:9000] + np.random.default_rng(0).bytes(3000) + good[12000:]
    bad = [b"", b"not a picture", good[:500], good[: len(good) // 2], good[:-40], overwritten]
    bad += [encode(sample_frames()[0], ".png"), b"\xff\xd8\xff\xd9", good[:2] + good[-2:]]
    batch = [frame_of(good), *(frame_of(data) for data in bad), frame_of(good)]
    results = detector.process(batch)
    assert [len(result.faces) for result in results] == [2, *[0] * len(bad), 2]
    for result in results[1:-1]:
        assert result.outcome.status == "error"
        assert "cannot be decoded" in str(result.outcome.reason)


def test_frames_of_a_batch_are_decoded_ahead_with_the_same_results(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [frame_of(encode(image)) for image in sample_frames()[84:87]]
    batch = [*good[:2], frame_of(b"no picture"), good[2]]
    alone = [detector.process([frame])[0] for frame in batch]
    threads: list[str] = []

    def noted(data: bytes, flags: int) -> Image:
        threads.append(threading.current_thread().name)
        return decoded(data, flags)

    decoded = jpegs._decode
    monkeypatch.setattr(jpegs, "_decode", noted)
    assert detector.process(batch) == alone
    assert [result.outcome.status for result in alone] == ["ok", "ok", "error", "ok"]
    assert sum(name.startswith("decode") for name in threads) == 2  # all good ones but the first


def test_frames_of_a_video_show_the_same_in_one_batch_and_one_by_one(detector: Detector) -> None:
    frames = [frame_of(encode(image)) for image in sample_frames()[80:96]]
    frames = [replace(f, info=replace(f.info, seq=n, media_time=n / 25)) for n, f in enumerate(frames)]
    together, alone = Hints(), Hints()
    in_batches = [r for n in range(0, 16, 8) for r in detector.process_hinted(frames[n : n + 8], together)]
    assert in_batches == [r for frame in frames for r in detector.process_hinted([frame], alone)]
    assert together == alone


def test_picture_of_another_size_than_announced_is_an_error(detector: Detector) -> None:
    jpeg = encode(sample_frames()[0])
    (wrong,) = detector.process([frame_of(jpeg, 640, 480)])
    assert "640 x 360" in str(wrong.outcome.reason)
    assert detector.process([frame_of(jpeg, 640, 360)])[0].outcome.status == "ok"
    assert detector.process([frame_of(jpeg, 0, 0)])[0].outcome.status == "ok"


@pytest.mark.parametrize(("width", "height"), [(65000, 8), (8, 16385), (12000, 12000)])
def test_huge_picture_is_refused_by_its_header(detector: Detector, width: int, height: int) -> None:
    jpeg = bytearray(encode(sample_frames()[0]))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = height.to_bytes(2) + width.to_bytes(2)
    (result,) = detector.process([frame_of(bytes(jpeg))])
    assert "too large" in str(result.outcome.reason)


def test_jpeg_with_many_scans_is_refused() -> None:
    jpeg = encode(sample_frames()[0][:16, :16])
    start = jpeg.index(b"\xff\xda")
    with pytest.raises(JpegError, match="scans"):
        check_jpeg(jpeg[:start] + jpeg[start:-2] * 101 + b"\xff\xd9")


def test_sound_jpegs_of_all_kinds_pass() -> None:
    image = sample_frames()[84]
    sound = [encode(image)]
    for flags in (
        (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
        (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    ):
        sound.append(cv2.imencode(".jpg", image, flags)[1].tobytes())
    thumbnail = encode(image[::8, ::8])  # has an end marker of its own, as in EXIF data
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2) + thumbnail
    sound.append(sound[0][:2] + segment + sound[0][2:])
    sound.append(sound[0] + b"trailing bytes of a phone")
    for data in sound:
        assert check_jpeg(data) == (640, 360)
        assert decode_jpeg(data, color=True).shape == (360, 640, 3)
    with pytest.raises(JpegError, match="cut off"):
        check_jpeg(sound[-2][:-5])


def test_exif_rotation_is_left_aside() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    jpeg = encode(sample_frames()[84])
    turned = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + jpeg[2:]
    plain = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert plain is not None
    assert plain.shape == (640, 360, 3)  # the tag is a real one
    assert decode_jpeg(turned, color=False).shape == (360, 640)


def test_anything_else_is_no_jpeg() -> None:
    rng = np.random.default_rng(0)
    for data in (b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"GIF89a", *(b"\xff\xd8" + rng.bytes(80),) * 3):
        with pytest.raises(JpegError):
            check_jpeg(data)


# --- parts -------------------------------------------------------------------------------------------------


def test_pass_on_keeps_the_place_in_the_order(detector: Detector) -> None:
    frame = frame_of(b"", 640, 360)
    result = detector.pass_on(frame, Outcome.dropped("stale"))
    assert result == Detections(frame.info, "1-0", MODEL, (), Outcome("dropped", "stale"))


def test_wrong_cascades_are_named_in_one_line(tmp_path: Path) -> None:
    text, other = tmp_path / "text.xml", tmp_path / "other.xml"
    text.write_text("this is no XML")
    other.write_text("<?xml version='1.0'?><opencv_storage><a>1</a></opencv_storage>")
    for name, words in (
        ("no_such_cascade", "haarcascade_frontalface_default"),
        (str(tmp_path), "no cascade"),
        (str(text), "not a cascade"),
        (str(other), "not a cascade"),
    ):
        with pytest.raises(UsageError, match=words) as caught:
            Detector(DetectorOptions(cascade=name), MODEL).open()
        assert "\n" not in str(caught.value)


def test_cascade_may_be_a_name_or_a_file() -> None:
    gray = to_gray(sample_frames()[84])
    name = "haarcascade_frontalface_default"
    path = Path(cv2.__file__).parent / "data" / f"{name}.xml"
    found = [FaceFinder(DetectorOptions(cascade=c)).find(gray) for c in (name, path.name, str(path))]
    assert len(found[0]) == 2
    assert found[0] == found[1] == found[2]


def test_one_face_keeps_one_box_and_neighbours_keep_theirs() -> None:
    face, nested, shifted = Box(100, 100, 80, 80), Box(110, 110, 40, 40), Box(120, 105, 80, 80)
    neighbour = Box(150, 100, 80, 80)  # shares three eighths
    found = [(nested, 1.0), (face, 5.0), (shifted, 2.0), (neighbour, 3.0)]
    assert suppress(found) == [(face, 5.0), (neighbour, 3.0)]
    assert overlap(face, nested) == 1.0
    assert overlap(face, Box(180, 100, 80, 80)) == 0.0


def test_boxes_stay_inside_the_frame() -> None:
    assert clip((-5, 10, 50, 200), 1, 1, 40, 100) == Box(0, 10, 40, 90)
    assert clip((10, 10, 20, 20), 2.0, 3.0, 1000, 1000) == Box(20, 30, 40, 60)


def test_crop_is_square_and_centred() -> None:
    gray = np.zeros((200, 300), np.uint8)
    gray[40:120, 100:140] = 200  # taller than wide: the square takes the longer side
    crop = np.frombuffer(crop_face(gray, Box(100, 40, 40, 80), 40, 0.0), np.uint8).reshape(40, 40)
    assert (crop[:, 10:30] == 200).all()
    assert (crop[:, :10] == 0).all()
    assert (crop[:, 30:] == 0).all()


def test_crop_margin_widens_the_view() -> None:
    gray = np.zeros((200, 200), np.uint8)
    gray[80:120, 80:120] = 255
    crop = np.frombuffer(crop_face(gray, Box(80, 80, 40, 40), 20, 0.5), np.uint8).reshape(20, 20)
    assert (crop[5:15, 5:15] == 255).all()
    assert crop.sum() == 255 * 100


def test_crop_repeats_the_edge_where_it_sticks_out() -> None:
    gray = np.repeat(np.arange(100, dtype=np.uint8)[:, None], 100, axis=1)
    crop = np.frombuffer(crop_face(gray, Box(0, 0, 20, 20), 40, 0.5), np.uint8).reshape(40, 40)
    assert (crop[:11] == 0).all()  # ten rows repeat row 0
    assert crop[11:, 0].tolist() == list(range(1, 30))
    assert (crop == crop[:, :1]).all()


@pytest.mark.parametrize(("size", "side"), [(48, 7), (48, 48), (48, 700), (1, 30), (512, 30)])
def test_crop_has_the_asked_size(size: int, side: int) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (720, 1280), np.uint8)
    assert len(crop_face(gray, Box(5, 5, side, side), size, 0.2)) == size * size
