"""`emotion cameras`: the cameras of this machine that can be opened, or a look at some sources."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from emotion_stream.producer.cameras.device import open_device
from emotion_stream.producer.cameras.doctor import Examination, Stamps, examine
from emotion_stream.producer.cameras.permission import denied
from emotion_stream.producer.sources.spec import parse_source, printable
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import clean
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.command_options import CameraOptions
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.terminal import say

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
        return (names / f"video{index}" / "name").read_text("utf-8", "replace").strip() or None
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
    """What to try where no camera opens."""
    if tried and sys.platform.startswith("linux"):
        why = next(filter(None, map(denied, tried)), None)
        if why:
            return f"no camera found: {why}"
        there = ", ".join(f"/dev/video{index}" for index in tried)
        return f"no camera found: {there} does not open. End the program that uses it"
    return (
        "no camera found: plug one in, allow this program to use it, or hand it to the container"
        " (--device /dev/video0); without one, try: emotion run --source sample"
    )


def describe(found: Examination) -> str:
    """What was found of a source, for people. Pure."""
    if found.reason is not None:
        rows = [("no signal", found.reason)]
    else:
        rows = [
            ("format", " ".join(filter(None, (found.kind, found.transport and f"over {found.transport}")))),
            ("codec", found.codec),
            ("size", f"{found.coded[0]} x {found.coded[1]} coded, {found.shown[0]} x {found.shown[1]} shown"),
            ("rate", f"{_number(found.rate)} pictures/s measured, {_number(found.rate_told)} told"),
            ("first", f"picture after {_number(found.first_picture)} s"),
            ("key frames", f"{_number(found.key_frame_every)} s apart at the most"),
            ("time stamps", _stamps(found.stamps)),
            ("jitter", "unknown" if found.jitter_ms is None else f"{found.jitter_ms:g} ms (95 % of the pictures)"),
            ("watched", f"{found.watched:g} s"),
        ]
    rows += [("pipeline", line) for line in found.would]
    return "\n".join([clean(found.source), *(f"  {name:<12} {text}" for name, text in rows)])


def _stamps(stamps: Stamps | None) -> str:
    if stamps is None:
        return "none"
    counts = f"{stamps.missing} missing, {stamps.equal} equal, {stamps.jumps} jumps, {stamps.wraps} wraps"
    return f"healthy ({counts})" if stamps.healthy else counts


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


def look(addresses: Iterable[str], seconds: float) -> Iterator[Examination]:
    """Look at each source.

    Raises:
        UsageError, EmotionError: it is none, or a folder of pictures.
    """
    specs = [parse_source(address) for address in addresses]
    for spec in specs:
        if spec.kind == "pictures":
            raise EmotionError(
                f"source {printable(spec.target)}: pictures need no look: `emotion picture` shows them"
            )
    for spec in specs:
        yield examine(
            spec.target,
            printable(spec.target),
            seconds,
            spec.transport or "auto",
            spec.stream,
            is_file=spec.kind == "video",
            device=spec.kind == "camera",
        )


def run(values: Values) -> None:
    """Print every camera that opens, or what is found of the sources that are named.

    Raises:
        EmotionError: there is none, or one of them gives no picture.
    """
    options = build(CameraOptions, values)
    if options.address:
        silent = []
        for found in look(options.address, options.look_seconds):
            say(json.dumps(asdict(found)) if options.json else describe(found))
            silent += [found.source] * (found.reason is not None)
        if silent:
            raise EmotionError(f"no picture of {len(silent)} of {len(options.address)}: {', '.join(silent)}")
        return
    tried = indices()
    cameras = probe(tried)
    if not cameras:
        raise EmotionError(missing(tried))
    if options.json:
        for camera in cameras:
            say(json.dumps(asdict(camera)))
    else:
        say(table(cameras))


COMMAND = Command(
    "cameras",
    "List the cameras that open, with size, rate and name; or look at sources, and tell how they do.",
    (CameraOptions,),
    run,
    plain="address",
)
