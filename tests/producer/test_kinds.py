"""What a file holds is told from its content: photos of phones, animated pictures, clips in a folder."""

import io
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from emotion_stream.emotion.analyzer import Analyzer
from emotion_stream.producer.sources.folder import read_picture
from emotion_stream.producer.sources.kinds import kind_of
from emotion_stream.producer.sources.spec import parse_source
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import NOTICE
from tests.producer.test_sources import read_all
from tests.support.pictures import sample_frames


def photo(kind: str, *frames: int, **how: Any) -> bytes:
    """Frames of the sample clip as a file of Pillow's."""
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    first, *rest = [Pillow.fromarray(sample_frames()[n][:, :, ::-1]) for n in frames]
    file = io.BytesIO()
    moving = {"save_all": True, "append_images": rest, "duration": 40} if rest else {}
    first.save(file, kind, **moving, **how)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize("turned", [1, 6])
def test_photos_of_phones_are_read_upright_under_any_name(tmp_path: Path, kind: str, turned: int) -> None:
    exif = Pillow.Exif()
    exif[274] = turned
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo(kind, 115, exif=exif.tobytes()))
    assert (parse_source(str(path)).kind, kind_of(path)) == ("pictures", "picture")
    picture = read_picture(path, 0)
    assert picture.error is None
    expected = sample_frames()[115]
    upright = np.rot90(expected, -1) if turned == 6 else expected
    assert picture.image is not None
    assert (picture.width, picture.height) == upright.shape[1::-1]
    assert np.abs(picture.image.astype(int) - upright).mean() < 4


def test_a_photo_of_a_phone_has_its_faces(tmp_path: Path) -> None:
    path = tmp_path / "photo.avif"
    path.write_bytes(photo("AVIF", 115))
    with Analyzer() as analyzer:
        assert analyzer.analyze(path)


def test_without_its_reader_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(photo("HEIF", 115))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert read_picture(path, 0).error == (
        f"photo.heic: cannot be decoded: HEIC needs one more package: {sys.executable} -m pip install pillow-heif"
    )


def test_damaged_photos_are_told_as_such(tmp_path: Path) -> None:
    for kind in ("AVIF", "HEIF"):
        data = photo(kind, 115)
        for cut in (20, 60, len(data) // 2):
            (tmp_path / "a.avif").write_bytes(data[:cut])
            assert read_picture(tmp_path / "a.avif", 0).error is not None


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "PNG", "GIF"])
def test_animated_pictures_play(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "moving.png"
    path.write_bytes(photo(kind, 0, 60, 115))
    assert parse_source(str(path)).kind == "video"
    pictures = read_all(str(path))
    assert [round(p.media_time, 2) for p in pictures] == [0, 0.04, 0.08]
    assert not any(p.still or p.error for p in pictures)
    for picture, n in zip(pictures, (0, 60, 115), strict=True):
        assert picture.image is not None
        assert np.abs(picture.image.astype(int) - sample_frames()[n]).mean() < 20
    assert [round(p.media_time, 2) for p in read_all(str(path), start=2)] == [0.08]


def clip(path: Path, *frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 360))
    for n in frames:
        writer.write(sample_frames()[n])
    writer.release()


def test_the_clips_of_a_folder_play_one_after_the_other(tmp_path: Path) -> None:
    clip(tmp_path / "clip2.mp4", *range(100, 103))
    (tmp_path / "clip10.webp").write_bytes(photo("WEBP", 0, 60))
    (tmp_path / "notes.txt").write_text("nothing to see")
    pictures = read_all(str(tmp_path))
    assert [Path(str(p.source)).name for p in pictures] == ["clip2.mp4"] * 3 + ["clip10.webp"] * 2
    assert [round(p.media_time, 2) for p in pictures] == [0, 0.04, 0.08, 0.12, 0.16]
    assert [round(p.media_time, 2) for p in read_all(str(tmp_path), start=4)] == [0.16]


def test_a_folder_tells_what_it_leaves_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(NOTICE)
    (tmp_path / "a.avif").write_bytes(photo("AVIF", 115))
    for name in ("a.mp4", "b.mov", "c.gif"):
        clip(tmp_path / "clip.mp4", 0)
        (tmp_path / "clip.mp4").replace(tmp_path / name)
    for name in ("notes.txt", "a.cr2"):
        (tmp_path / name).write_bytes(b"II*\0 and so on" if name == "a.cr2" else b"unknown")
    assert len(read_all(str(tmp_path))) == 1
    assert "5 files left out: 3 videos, 2 of unknown kind" in caplog.text
    caplog.clear()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.webp").write_bytes(photo("WEBP", 115))
    assert len(read_all(f"{tmp_path}/**")) == 2


def test_an_empty_folder_says_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(EmotionError, match="AVIF, HEIC"):
        read_all(str(tmp_path))
