"""Pictures of folders: formats, orientation, what cannot be read."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.producer.pictures.header import read_header
from emotion_stream.producer.pictures.jpeg import to_jpeg
from emotion_stream.producer.pictures.source import Picture
from emotion_stream.producer.sources.folder import natural_key, read_picture
from emotion_stream.shared.errors import EmotionError
from tests.producer.test_sources import encoded, noise, read_all

# --- pictures ----------------------------------------------------------------------------------------------


def test_natural_order() -> None:
    names = ["img10.png", "img2.png", "IMG1.png", "a/b3.png", "img2b.png", "2.png", "10.png"]
    ordered = [str(p) for p in sorted(map(Path, names), key=natural_key)]
    assert ordered == ["2.png", "10.png", "a/b3.png", "IMG1.png", "img2.png", "img2b.png", "img10.png"]


def test_a_folder_in_order_with_errors_in_their_place(tmp_path: Path) -> None:
    jpeg = encoded(".jpg", noise())
    (tmp_path / "img10.jpg").write_bytes(jpeg)
    (tmp_path / "img2.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "img1.PNG").write_bytes(encoded(".png", noise()))
    (tmp_path / "img3.bmp").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("left out")
    (tmp_path / "folder.png").mkdir()
    pictures = read_all(str(tmp_path))
    assert [p.error is None for p in pictures] == [True, False, False, True]
    assert pictures[1].error == "img2.jpg: cannot be decoded: JPEG is cut off"
    assert pictures[2].error is not None
    assert pictures[2].error.startswith("img3.bmp: cannot be decoded: ")
    assert [p.media_time for p in pictures] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert all(p.still for p in pictures)
    assert pictures[3].jpeg == jpeg  # untouched
    assert pictures[3].source == str(tmp_path / "img10.jpg")
    assert [p.source for p in read_all(str(tmp_path), start=3)] == [pictures[3].source]


def test_globs_go_deep(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for path in ("1.jpg", "a/2.jpg", "a/b/3"):
        (tmp_path / path).write_bytes(encoded(".jpg", noise()))
    (tmp_path / "a/b/4.jpg.txt").write_text("no picture")
    assert len(read_all(f"{tmp_path}/**/*")) == 3
    assert len(read_all(f"{tmp_path}/*.jpg")) == 1


def test_hidden_files_of_a_folder_are_no_pictures(tmp_path: Path) -> None:
    """What is copied, or thrown away, often lies there as `.x.jpg` or `._x.jpg` for a while."""
    for name in ("1.jpg", ".1.jpg", "._2.jpg"):
        (tmp_path / name).write_bytes(encoded(".jpg", noise()))
    assert len(read_all(str(tmp_path))) == len(read_all(f"{tmp_path}/*.jpg")) == 1


def test_an_empty_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(EmotionError, match=r"no pictures in .*: supported are JPEG, PNG, BMP, WebP, TIFF"):
        read_all(str(tmp_path))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_headers_tell_the_size(suffix: str) -> None:
    header = read_header(encoded(suffix, noise(70, 50)))
    assert header.kind == {".jpg": "jpeg"}.get(suffix, suffix[1:])
    assert (header.width, header.height, header.orientation) == (70, 50, 1)


@pytest.mark.parametrize("kind", [4, 5])
def test_a_tiff_that_tells_two_sizes_has_the_one_that_its_decoder_makes(kind: int) -> None:
    """390 KB took 1.6 GB so: the decoder goes by the first of two tags, and by sorts of numbers nobody uses."""
    tags = [(256, kind, 30_000), (256, 4, 8), (257, 4, 30_000), (257, 4, 8)]
    entries = b"".join(struct.pack("<HHII", tag, sort, 1, value) for tag, sort, value in tags)
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    if kind == 4:
        header = read_header(data)
        assert (header.width, header.height) == (30_000, 30_000)
    else:
        with pytest.raises(ValueError, match="damaged"):
            read_header(data)


def test_a_png_begins_with_its_header() -> None:
    data = encoded(".png", noise(70, 50))
    other = struct.pack(">I4sII", 8, b"abCd", 8, 8) + bytes(4)
    with pytest.raises(ValueError, match="no picture"):
        read_header(data[:8] + other + data[8:])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_damaged_headers_are_refused_without_a_traceback(suffix: str, tmp_path: Path) -> None:
    data = encoded(suffix, noise())
    rng = np.random.default_rng(1)
    path = tmp_path / f"a{suffix}"
    for length in range(0, min(len(data), 60), 3):
        path.write_bytes(data[:length])
        assert read_picture(path, 0).error is not None
    for _ in range(25):
        mangled = bytearray(data)
        for at in rng.integers(2, min(len(data), 80), 3):
            mangled[at] = rng.integers(256)
        path.write_bytes(mangled)
        read_picture(path, 0)  # any result will do, an exception will not


def test_size_is_checked_before_decoding(tmp_path: Path) -> None:
    data = bytearray(encoded(".png", noise()))
    data[16:24] = struct.pack(">II", 16_000, 16_000)
    (tmp_path / "bomb.png").write_bytes(data)
    picture = read_picture(tmp_path / "bomb.png", 0)
    assert picture.error is not None
    assert "16000 x 16000 pixels is too large" in picture.error


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 274, 3, 1, orientation, 0) + b"\0\0\0\0"
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_opencv_understands_it(orientation: int, tmp_path: Path) -> None:
    data = with_exif(encoded(".jpg", noise(seed=3)), orientation)
    (tmp_path / "a.jpg").write_bytes(data)
    picture = read_picture(tmp_path / "a.jpg", 0)
    wanted = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert wanted is not None
    assert (picture.height, picture.width) == wanted.shape[:2]
    assert (picture.jpeg is None) == (orientation != 1)
    if picture.image is not None:
        assert np.array_equal(picture.image, wanted)


def test_png_and_webp_orientation(tmp_path: Path) -> None:
    exif = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 274, 3, 1, 6, 0) + b"\0\0\0\0"
    png = encoded(".png", noise())
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif
    (tmp_path / "a.png").write_bytes(png[:33] + chunk + struct.pack(">I", 0) + png[33:])
    header = read_header((tmp_path / "a.png").read_bytes())
    assert header.orientation == 6


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_become_8(suffix: str, tmp_path: Path) -> None:
    image = noise()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded(suffix, image.astype(np.uint16) * 257))
    picture = read_picture(path, 0)
    assert picture.image is not None
    assert np.array_equal(picture.image, image)


def test_gray_alpha_and_float(tmp_path: Path) -> None:
    image = noise()
    gray = image[:, :, 0].copy()
    alpha = np.dstack([image, np.full(gray.shape, 255, np.uint8)])
    alpha[:10, :, 3] = 0
    for name, pixels in (("gray.png", gray), ("alpha.png", alpha), ("float.tiff", (image / 255).astype("f4"))):
        (tmp_path / name).write_bytes(encoded(name[name.index(".") :], pixels))
    by_name = {Path(p.source or "").name: np.asarray(p.image) for p in read_all(str(tmp_path))}
    assert np.array_equal(by_name["gray.png"], np.dstack([gray] * 3))
    assert (by_name["alpha.png"][:10] == 255).all()
    assert np.array_equal(by_name["alpha.png"][10:], image[10:])
    assert np.array_equal(by_name["float.tiff"], image)


def test_scaling_keeps_the_aspect_and_small_pictures() -> None:
    jpeg = encoded(".jpg", noise(200, 100))
    picture = Picture(None, jpeg, 200, 100, 0, 0)
    assert to_jpeg(picture, 0, 90).data is jpeg
    assert to_jpeg(picture, 200, 90).data is jpeg
    small = to_jpeg(picture, 50, 90)
    assert (small.width, small.height) == (50, 25)
    decoded = cv2.imdecode(np.frombuffer(small.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (25, 50, 3)
    line = Picture(np.zeros((1, 5000, 3), np.uint8), None, 5000, 1, 0, 0)
    assert to_jpeg(line, 100, 90).height == 1
