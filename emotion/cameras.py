"""`emotion cameras`: the cameras of this machine that can be opened."""

import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from producer.camera import open_device
from shared.cli import Command, Values
from shared.errors import EmotionError
from shared.options import PrintOptions
from shared.settings import build

DEVICES = Path("/dev")
NAMES = Path("/sys/class/video4linux")
PROBED = 10
"""Indices tried where the system does not tell which there are."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that opens.

    Attributes:
        index: what `--source` takes.
        width, height: pixels.
        fps: frames per second as it says itself; None where it does not.
        name: what the system calls it; None where it does not tell.
        readable: whether it delivered a picture.
    """

    index: int
    width: int
    height: int
    fps: float | None
    name: str | None
    readable: bool


def indices(platform: str = sys.platform, devices: Path = DEVICES) -> list[int]:
    """The indices worth trying: on Linux those of the devices that are there, elsewhere the first ten."""
    if not platform.startswith("linux"):
        return list(range(PROBED))
    found = (re.fullmatch(r"video([0-9]{1,4})", path.name) for path in devices.glob("video*"))
    return sorted(int(match[1]) for match in found if match)


def probe(
    candidates: Iterable[int],
    opener: Callable[[int], cv2.VideoCapture] = open_device,
    names: Path = NAMES,
) -> list[Camera]:
    """Open each index and read one picture. Those that do not open are left out."""
    found = []
    for index in candidates:
        device = opener(index)
        try:
            if device.isOpened():
                found.append(_camera(index, device, names))
        finally:
            device.release()
    return found


def _camera(index: int, device: cv2.VideoCapture, names: Path) -> Camera:
    try:
        done, image = device.read()
    except cv2.error:
        done, image = False, None
    readable = done and image is not None and image.size > 0
    if image is not None and readable:
        height, width = image.shape[:2]
    else:
        width, height = (int(device.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    fps = round(float(device.get(cv2.CAP_PROP_FPS)), 3)
    return Camera(index, width, height, fps if fps > 0 else None, _name(index, names), readable)


def _name(index: int, names: Path) -> str | None:
    try:
        return (names / f"video{index}" / "name").read_text(errors="replace").strip() or None
    except OSError:
        return None


def table(cameras: Iterable[Camera]) -> str:
    """The cameras for people. Pure."""
    rows = [f"{'index':>5}  {'size':<11}  {'rate':<8}  {'picture':<7}  name"]
    for c in cameras:
        rate = "unknown" if c.fps is None else f"{c.fps:g} fps"
        size = f"{c.width} x {c.height}"
        rows.append(f"{c.index:>5}  {size:<11}  {rate:<8}  {'yes' if c.readable else 'none':<7}  {c.name or '-'}")
    return "\n".join(rows)


def missing(tried: list[int]) -> str:
    """What to try where no camera opens. Pure."""
    if tried and sys.platform.startswith("linux"):
        there = ", ".join(f"/dev/video{index}" for index in tried)
        return (
            f"no camera found: {there} does not open. End the program that uses it, and join the group that may"
            " read it: sudo usermod -aG video $USER, then log in again"
        )
    return (
        "no camera found: plug one in, allow this program to use it, or hand it to the container"
        " (--device /dev/video0); without one, try: emotion run --source sample"
    )


def run(values: Values) -> None:
    """Print every camera that opens.

    Raises:
        EmotionError: there is none.
    """
    tried = indices()
    cameras = probe(tried)
    if not cameras:
        raise EmotionError(missing(tried))
    if build(PrintOptions, values).json:
        for camera in cameras:
            print(json.dumps(asdict(camera)))
    else:
        print(table(cameras))


COMMAND = Command("cameras", "List the cameras that open, with size, rate and name.", (PrintOptions,), run)
