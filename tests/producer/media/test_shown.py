"""The picture as a player shows it: turned, mirrored, cut, with square pixels, and in the right colours."""

import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from emotion_stream.producer.media.shown import orientation
from emotion_stream.producer.pictures.source import Image
from tests.producer.test_sources import read_all

MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""EXIF orientation to a, b, c, d of a display matrix that says the same."""
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="compared with ffmpeg's own picture")


def corners(width: int = 96, height: int = 64) -> Image:
    """A picture in which each corner has a colour of its own."""
    image = np.full((height, width, 3), 90, np.uint8)
    y, x = height // 2, width // 2
    image[:y, :x], image[:y, x:], image[y:, :x] = (200, 60, 60), (60, 200, 60), (60, 60, 200)
    return image


def stored(image: Image, exif: int) -> Image:
    """What a camera stores that is held so that `exif` turns its picture upright."""
    if exif in (2, 3, 6, 7):
        image = image[:, ::-1]
    if exif in (3, 4, 7, 8):
        image = image[::-1]
    # Transposing comes first when a picture is turned upright, so last here; the flips are their own inverses.
    return np.ascontiguousarray(np.transpose(image, (1, 0, 2)) if exif >= 5 else image)


def clip(path: Path, image: Image, matrix: tuple[int, int, int, int] | None = None, sar: str = "") -> Path:
    """A clip of three frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", 25)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        if sar:
            stream.codec_context.sample_aspect_ratio = Fraction(sar)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))
    if matrix:
        data = bytearray(path.read_bytes())
        header = data.index(b"tkhd")
        at = header + 8 + (28 if data[header + 4] else 20) + 16
        a, b, c, d = (n * 65536 for n in matrix)
        data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)
    return path


def first(path: Path) -> Image:
    picture = read_all(str(path))[0]
    assert picture.image is not None
    assert (picture.width, picture.height) == picture.image.shape[1::-1]
    return picture.image


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True, stdin=subprocess.DEVNULL)


def by_ffmpeg(path: Path, filters: str = "null") -> Image:
    """The first frame as ffmpeg gives it, which turns pictures by itself."""
    png = path.with_suffix(".png")
    # Older ones cut on the left only to where memory is aligned, unless they are told.
    ffmpeg("-flags", "unaligned", "-i", path, "-vf", filters, "-frames:v", "1", png)
    return np.asarray(cv2.imread(str(png)), np.uint8)


def close(a: Image, b: Image, most: float = 6) -> bool:
    return a.shape == b.shape and float(cv2.absdiff(a, b).mean()) < most


@pytest.mark.parametrize("exif", MATRICES)
def test_each_of_the_eight_display_matrices_is_upright(exif: int, tmp_path: Path) -> None:
    a, b, c, d = MATRICES[exif]
    assert orientation((a, b, 0, c, d, 0, 0, 0, 1)) == exif
    path = clip(tmp_path / "clip.mp4", stored(corners(), exif), MATRICES[exif])
    assert close(first(path), corners())


@needs_ffmpeg
@pytest.mark.parametrize("exif", [2, 4, 5, 6, 7])
def test_mirrored_and_turned_clips_look_as_ffmpeg_shows_them(exif: int, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", stored(corners(), exif), MATRICES[exif])
    assert close(first(path), by_ffmpeg(path), 2)


@pytest.mark.parametrize(("sar", "width"), [("2/1", 192), ("1/2", 48), ("8/9", 85)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_pixels_that_are_not_square_become_square(sar: str, width: int, suffix: str, tmp_path: Path) -> None:
    path = clip(tmp_path / f"clip{suffix}", corners(), sar=sar)
    shown = first(path)
    assert shown.shape == (64, width, 3)
    assert close(shown, np.asarray(cv2.resize(corners(), (width, 64), interpolation=cv2.INTER_AREA), np.uint8), 10)
    if shutil.which("ffmpeg"):
        assert close(shown, by_ffmpeg(path, f"scale={width}:ih"), 3)


def test_a_turned_clip_is_stretched_before_it_is_turned(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", stored(corners(), 6), MATRICES[6], sar="2/1")
    assert first(path).shape == (2 * 64, 96, 3)


def test_nonsense_pixels_are_taken_as_square(tmp_path: Path) -> None:
    assert first(clip(tmp_path / "clip.mkv", corners(), sar="1/200")).shape == (64, 96, 3)


def with_clean_aperture(path: Path, size: tuple[int, int], offset: tuple[int, int]) -> Path:
    """Add a `clap` box to the clip: what of the picture is shown, and how far its centre lies from the centre."""
    data = bytearray(path.read_bytes())
    start = data.index(b"mp4v", data.index(b"stsd")) - 4
    end = start + int.from_bytes(data[start : start + 4])
    box = struct.pack(">I4s", 40, b"clap") + struct.pack(
        ">4IiIiI", size[0], 1, size[1], 1, offset[0], 1, offset[1], 1
    )
    for name in (b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        at = data.rindex(name, 0, start) - 4
        data[at : at + 4] = (int.from_bytes(data[at : at + 4]) + len(box)).to_bytes(4)
    data[start : start + 4] = (end - start + len(box)).to_bytes(4)
    data[end:end] = box
    path.write_bytes(data)
    return path


def test_what_the_container_cuts_off_is_not_shown(tmp_path: Path) -> None:
    path = with_clean_aperture(clip(tmp_path / "clip.mp4", corners()), (80, 40), (4, -6))
    # 96 x 64: the centre moves from (48, 32) to (52, 26); so 12 pixels go on the left, 4 on the right, 6 above.
    assert close(first(path), corners()[6:46, 12:92])


@needs_ffmpeg
def test_what_the_codec_cuts_off_is_not_shown_to_the_pixel(tmp_path: Path) -> None:
    path, whole, png = tmp_path / "clip.mkv", tmp_path / "whole.mkv", tmp_path / "in.png"
    cv2.imwrite(str(png), corners())
    ffmpeg("-i", png, "-c:v", "libx264", "-qp", "10", "-pix_fmt", "yuv420p", whole)
    sides = "crop_left=10:crop_right=6:crop_top=4:crop_bottom=2"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", f"h264_metadata={sides}", path)
    shown = first(path)
    assert close(shown, corners()[4:62, 10:90])
    assert close(shown, by_ffmpeg(path), 2)


@needs_ffmpeg
@pytest.mark.parametrize("colours", ["bt709:tv", "bt709:pc", "smpte170m:tv", "smpte170m:pc", "bt2020nc:tv"])
def test_colours_are_those_that_were_recorded(colours: str, tmp_path: Path) -> None:
    matrix, limits = colours.split(":")
    path, png = tmp_path / "clip.mkv", tmp_path / "in.png"
    cv2.imwrite(str(png), corners())
    scale = f"scale=out_color_matrix={matrix.removesuffix('nc')}:out_range={limits},format=yuv420p"
    tags = ["-colorspace", matrix, "-color_range", limits]
    ffmpeg("-i", png, "-vf", scale, "-c:v", "libx264", "-qp", "8", *tags, path)
    assert close(first(path), corners(), 4)
