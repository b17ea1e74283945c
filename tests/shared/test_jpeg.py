"""JPEGs as cameras, phones and web pages write them: what a decoder reads is accepted, and nothing else."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.producer.pictures.header import read_header
from emotion_stream.producer.sources.folder import read_picture
from emotion_stream.shared.messages.jpeg import EOI, GrayJpeg, JpegError, check_jpeg, decode_jpeg, ended
from tests.support.pictures import encode, sample_frames

PLAIN = encode(sample_frames()[84])
PROGRESSIVE = cv2.imencode(".jpg", sample_frames()[84], (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))[1].tobytes()
SCAN = b"\xff\xda"


def odd(jpeg: bytes) -> dict[str, bytes]:
    """The same picture, written as other programs do."""
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"
    return {
        "no end marker": jpeg[:-2],
        "half of the end marker": jpeg[:-1],
        "fill bytes instead of the end marker": jpeg[:-2] + b"\xff" * 9,
        "junk before the scan": jpeg.replace(SCAN, b"junk\0" + SCAN, 1),
        "stuffed zeros before the scan": jpeg.replace(SCAN, b"\xff\0\xff\0" + SCAN, 1),
        "fill bytes after the beginning": jpeg[:2] + b"\xff" * 50 + jpeg[2:],
        "fill bytes before the scan": jpeg.replace(SCAN, b"\xff" * 7 + SCAN, 1),
        "a restart marker in the header": jpeg[:2] + b"\xff\xd0\xff\x01" + jpeg[2:],
        "an Adobe marker": jpeg[:2] + adobe + jpeg[2:],
        "an empty comment": jpeg[:2] + b"\xff\xfe\x00\x02" + jpeg[2:],
        "zeros before the end marker": jpeg[:-2] + bytes(99) + EOI,
        "zeros after the end marker": jpeg + bytes(700),
        "a second picture behind it": jpeg + PLAIN,
        "a comment behind the scans": jpeg[:-2] + b"\xff\xfe\x00\x04hi" + EOI,
    }


@pytest.mark.parametrize("kind", ["plain", "progressive"])
@pytest.mark.parametrize("name", list(odd(PLAIN)))
def test_what_decoders_read_is_accepted_with_the_same_pixels(kind: str, name: str, tmp_path: Path) -> None:
    jpeg = PLAIN if kind == "plain" else PROGRESSIVE
    data = odd(jpeg)[name]
    assert check_jpeg(data) == (640, 360)
    assert np.array_equal(decode_jpeg(data, color=True), decode_jpeg(jpeg, color=True))
    assert GrayJpeg(data).reduced(4).shape == (90, 160)
    header = read_header(data)
    assert (header.width, header.height, header.plain) == (640, 360, True)
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    picture = read_picture(path, 0.0)
    assert (picture.error, picture.width) == (None, 640)


@pytest.mark.parametrize("jpeg", [PLAIN, PROGRESSIVE], ids=["plain", "progressive"])
def test_a_picture_that_is_cut_off_is_told_from_one_without_an_end_marker(jpeg: bytes) -> None:
    assert ended(jpeg) is jpeg
    assert ended(jpeg[:-2]) == jpeg
    for size in (len(jpeg) // 10, len(jpeg) // 2, len(jpeg) * 9 // 10, len(jpeg) - 200):
        with pytest.raises(JpegError, match="cut off"):
            check_jpeg(jpeg[:size])


def test_a_turned_picture_without_an_end_marker_is_turned() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = PLAIN[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + b"junk" + PLAIN[2:-2]
    assert read_header(turned).orientation == 6


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + PLAIN,
        b"\r\n" + PLAIN,
        PLAIN[:2] + EOI + PLAIN[2:],
        PLAIN[:2] + b"\xff\x02\x00\x04ab" + PLAIN[2:],
        PLAIN[:2] + b"\xff\xf7\x00\x04ab" + PLAIN[2:],
        PLAIN[:2] + b"abc" + PLAIN[2:],
    ],
)
def test_what_no_decoder_reads_is_refused(data: bytes) -> None:
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is None
    with pytest.raises(JpegError):
        check_jpeg(data)


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\x00", b"\x00", b"\xff\xd8\xff"])
def test_junk_without_end_takes_no_time(filler: bytes) -> None:
    started = time.process_time()
    with pytest.raises(JpegError):
        check_jpeg(b"\xff\xd8\xff" + filler * 4_000_000)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("begun", [1, 2, 4, 8])
def test_what_another_thread_began_to_decode_changes_no_pixel(begun: int) -> None:
    jpeg, alone = GrayJpeg(PLAIN), GrayJpeg(PLAIN)
    with ThreadPoolExecutor(1) as thread:
        jpeg.begin(thread, begun)
        for wanted in (2, 4, 1):
            assert np.array_equal(jpeg.reduced(wanted), alone.reduced(wanted))


def test_what_another_thread_cannot_decode_is_told_to_who_wants_it() -> None:
    damaged = GrayJpeg(PLAIN[:2] + PLAIN[PLAIN.index(b"\xff\xc0") :])  # without its tables
    with ThreadPoolExecutor(1) as thread:
        damaged.begin(thread, 1)
        with pytest.raises(JpegError):
            damaged.reduced(1)
