"""The way of a picture, from a file to the detector, fed with mutants, bombs and liars.

Decoders are native code: they run in a process of their own, with its memory limited. Both detectors look: Haar at
every picture, YuNet at what means harm and at every fourth of the others, or one of them alone at all
(FUZZ_DETECTOR).
"""

import faulthandler
import os
import random
import resource
import struct
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from emotion_stream.detector_worker.detector import Detector
from emotion_stream.producer.pictures.jpeg import to_jpeg
from emotion_stream.producer.pictures.source import Picture
from emotion_stream.producer.sources.folder import read_picture
from emotion_stream.shared.messages.types import Frame, FrameInfo, ModelSpec
from emotion_stream.shared.settings.options import DetectorOptions
from tests.fuzz.mutate import mutations

Name = Literal["haar", "yunet"]
BOTH: tuple[Name, Name] = ("haar", "yunet")
TWICE = (
    (256, 20_000), (256, 8), (257, 20_000), (257, 8), (258, 8), (259, 1), (262, 1), (273, 0), (279, 1 << 20),
)  # fmt: skip
"""Tags and values of a TIFF: width, height, and what else a picture needs."""
SLOWEST = 20.0
"""Seconds of processor time that no picture may take."""
SHARE = 4
"""One mutant of so many is also YuNet's: a network is compiled for each new size of picture."""
MEMORY = 3 << 30
"""Bytes of address space that a process may have; a picture of MAX_PIXELS with transparency takes most of it."""


def corpus() -> list[bytes]:
    """Small pictures of all formats."""
    chance = np.random.default_rng(0)
    color = chance.integers(0, 256, (24, 32, 3), np.uint8)
    alpha = chance.integers(0, 256, (24, 32, 4), np.uint8)
    deep = chance.integers(0, 65536, (24, 32, 3), np.uint16)
    found = [_encoded(s, color) for s in (".jpg", ".png", ".bmp", ".webp", ".tiff")]
    found += [_encoded(".png", alpha), _encoded(".png", deep), _encoded(".tiff", deep), _encoded(".webp", alpha)]
    found += [_encoded(".jpg", color[:, :, 0]), _encoded(".png", color[:, :, 0])]
    found.append(_encoded(".jpg", color, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]))
    return found


def _encoded(suffix: str, image: np.ndarray[Any, Any], how: list[int] | None = None) -> bytes:
    done, data = cv2.imencode(suffix, image, how or [])
    assert done
    return data.tobytes()


def png(width: int, height: int, data: bytes, *, depth: int = 8, kind: int = 2) -> bytes:
    """A PNG that claims a size, whatever its data say."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def large_png() -> bytes:
    """A sound PNG of nearly MAX_PIXELS with transparency: 400 MB of pixels in 400 KB."""
    side = 9_999
    row = bytes(1 + 4 * side)
    packer = zlib.compressobj(9)
    data = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    return png(side, side, data, kind=6)


def bombs() -> Mapping[str, bytes]:
    """Pictures that mean harm, by name."""
    jpeg, *_ = corpus()
    whole = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    at = jpeg.index(b"\xff\xc0") + 5

    def claims(width: int, height: int) -> bytes:
        return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]

    zeros = zlib.compress(bytes(30_000_000), 9)  # 29 KB
    bmp = bytearray(_encoded(".bmp", np.zeros((8, 8, 3), np.uint8)))
    bmp[18:26] = struct.pack("<ii", 2**31 - 1, -(2**31))
    scans = jpeg[: jpeg.index(b"\xff\xda")]
    scan = jpeg[jpeg.index(b"\xff\xda") : -2]
    return {
        "decompression bomb within the limits": png(9_999, 9_999, zeros, kind=6),
        "decompression bomb beyond the limits": png(60_000, 60_000, zeros),
        "65,535 pixels each way, JPEG": claims(65_535, 65_535),
        "65,535 pixels wide, JPEG": claims(65_535, 1),
        "within the limits, but a lie, JPEG": claims(10_000, 10_000),
        "no width, JPEG": claims(0, 24),
        "no height, JPEG": claims(32, 0),
        "no size, PNG": png(0, 0, zlib.compress(b"")),
        "negative size, BMP": bytes(bmp),
        "2^31 pixels, PNG": png(2**31 - 1, 2**31 - 1, b""),
        "16 bits and transparent, large": png(9_999, 9_999, zeros, depth=16, kind=6),
        "cut off, JPEG": jpeg[: len(jpeg) // 2],
        "cut off, PNG": whole[: len(whole) // 2],
        "only its beginning": b"\xff\xd8",
        "nothing": b"",
        "a JPEG that is a ZIP file, too": jpeg + b"PK\x05\x06" + bytes(18),
        "a JPEG with a PNG in a comment": jpeg[:2]
        + b"\xff\xfe"
        + struct.pack(">H", len(whole) + 2)
        + whole
        + jpeg[2:],
        "a web page that begins like a JPEG": b"\xff\xd8\xff<html><script>alert(1)</script>",
        "a thousand scans": scans + scan * 1000 + b"\xff\xd9",
        "a hundred thousand comments": jpeg[:2] + b"\xff\xfe\0\x02" * 100_000 + jpeg[2:],
        "GIF": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(20),
        "TIFF that points to itself": b"II*\0\x08\0\0\0" + struct.pack("<H", 1000) + bytes(20),
        "TIFF of 400 million pixels that says 64 afterwards": b"II*\0\x08\0\0\0\x09\0"
        + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in TWICE)
        + bytes(4),
        "HEIC": b"\0\0\0\x18ftypheic" + bytes(100),
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    }


@dataclass(slots=True)
class Tally:
    """Pictures by what became of them, the slowest one's seconds of processor time, and the most memory taken."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    peak: int = 0


class Way:
    """A file that becomes one picture after the other, and the stages that read it."""

    def __init__(self, directory: Path, detector: Name) -> None:
        self._file = directory / "picture.jpg"
        options = DetectorOptions(detector, scan_width=64, scale_factor=1.5)
        self._detector = Detector(options, ModelSpec("m", 8, 0.1))
        self._detector.open()

    def take(self, data: bytes) -> str:
        """What becomes of these bytes as a picture of a folder, and as a frame of a stream."""
        self._file.write_bytes(data)
        picture = read_picture(self._file, 0.0)
        as_file = picture.error is None
        jpeg, width, height = data, 0, 0
        if as_file:
            jpeg, width, height = self._travel(picture)
        info = FrameInfo("cam", "x", "e", 0, 1.0, 0.0, width, height, "live")
        (found,) = self._detector.process([Frame(info, jpeg, "1-1")])
        assert found.outcome.status in ("ok", "error")
        return f"{'read' if as_file else 'refused'} as a file, {found.outcome.status} as a frame"

    def _travel(self, picture: Picture) -> tuple[bytes, int, int]:
        made = to_jpeg(picture, 0, 90)
        return made.data, made.width, made.height


def fuzz(count: int, seed: int, only: Name | None = None, *, large: bool = False) -> Tally:
    """Send all bombs, then `count` mutants, down the whole way. Call it in a process of its own. `only`: with this
    detector alone. `large`: also a bomb that is a sound picture and takes seconds.

    Raises:
        AssertionError: something else than an error message came out, or it took too long.
    """
    faulthandler.enable(os.fdopen(os.dup(2), "w"))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what native decoders complain of
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    tally = Tally()
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        ways = {name: Way(Path(folder), name) for name in ([only] if only else BOTH)}
        for data in (*bombs().values(), *([large_png()] if large else [])):
            for name, way in ways.items():
                _one(name, way, data, tally)
        for data, n in zip(mutations(corpus(), chance), range(count), strict=False):
            for name, way in ways.items():
                if only or name == BOTH[0] or n % SHARE == 0:
                    _one(name, way, data, tally)
    tally.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return tally


def _one(name: Name, way: Way, data: bytes, tally: Tally) -> None:
    began = time.process_time()
    try:
        tally.outcomes[f"{name}: {way.take(data)}"] += 1
    except BaseException as e:
        raise AssertionError(f"{type(e).__name__}: {e} on {data[:2000].hex()}") from e
    taken = time.process_time() - began
    tally.slowest = max(tally.slowest, taken)
    assert taken < SLOWEST, f"{taken:.1f} s on {data[:2000].hex()}"
