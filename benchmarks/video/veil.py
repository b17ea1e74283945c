"""`python -m benchmarks.video.veil`: how many frames show a face that enters, with and without frames held back.

The clips are the sample and pans over group photographs, whose faces somebody marked by hand. A face counts
where at least half of it, and 16 pixels of its side, are in the picture. It is unblurred in a frame where less
than four fifths of what is seen of it is hidden. Faces that the detector never finds are counted apart: nothing
can hide them.
"""

import argparse
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from emotion_stream import samples
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.samples.making.make_sample import MARKS, on_stage
from emotion_stream.shared.messages.manifest import load_manifest, model_directory
from emotion_stream.shared.messages.types import Box, Emotions, Frame, FrameInfo, Mode, Prediction
from emotion_stream.shared.settings.options import DetectorOptions
from emotion_stream.sink.drawing.privacy import MARGIN
from emotion_stream.sink.order import Released
from emotion_stream.sink.results.output import Image
from emotion_stream.sink.tracking.follow import Follower, following
from emotion_stream.sink.veil import Veil

FPS, SIZE = 25, (640, 360)
PORTRAIT = 400, 498
"""Pixels of the portraits that the sample clip is made from."""
SMALLEST = 16
HIDDEN = 0.8
Seen = tuple[Image, dict[int, Box]]
"""A frame, and the faces in it by their number."""


@dataclass(frozen=True, slots=True)
class Count:
    """Frames of faces: in all, unblurred ones of faces that were ever found, and those of faces never found."""

    all: int
    unblurred: int
    never: int


def pan(photo: Image, faces: Sequence[Box], seconds: float = 6.0) -> Iterator[Seen]:
    """The camera goes from one side of a photograph to the other, nearer and slower than it is wide."""
    height, width = photo.shape[:2]
    zoom = max(SIZE[1] / height, SIZE[0] / width) * 1.7
    count = round(seconds * FPS)
    for n in range(count):
        share = n / (count - 1)
        left = (width * zoom - SIZE[0]) * share
        top = (height * zoom - SIZE[1]) * (0.35 + 0.15 * np.sin(6 * share))
        view = np.array([[zoom, 0, -left], [0, zoom, -top]], np.float64)
        image = cv2.warpAffine(photo, view, SIZE)
        boxes = {
            i: Box(
                round(b.x * zoom - left), round(b.y * zoom - top), round(b.width * zoom), round(b.height * zoom)
            )
            for i, b in enumerate(faces)
        }
        yield np.asarray(image, np.uint8), boxes


def sample() -> Iterator[Seen]:
    """The sample clip, with its faces from the brows to the chin, as its making places them."""
    clip = cv2.VideoCapture(str(Path(samples.__file__).parent / "sample.mp4"))
    number = 0
    while (read := clip.read())[0]:
        boxes = {}
        for act, who, at in on_stage(number / FPS):
            marks = MARKS[who]
            points = np.array([marks.right_eye, marks.left_eye, marks.right_mouth, marks.left_mouth])
            apart = float(np.hypot(*(points[1] - points[0])))
            away = (points.mean(axis=0) - (PORTRAIT[0] / 2, PORTRAIT[1] / 2)) * at.height / PORTRAIT[1]
            turn = np.radians(-at.tilt)
            x = at.x + away[0] * np.cos(turn) - away[1] * np.sin(turn)
            y = at.y + away[0] * np.sin(turn) + away[1] * np.cos(turn)
            side = round(1.8 * apart * at.height / PORTRAIT[1])
            boxes[act] = Box(round(x - side / 2), round(y - side / 2), side, side)
        yield np.asarray(read[1], np.uint8), boxes
        number += 1
    clip.release()


def marked(folder: Path) -> Iterator[tuple[str, Image, list[Box]]]:
    """The photographs of a folder with `training.xml`, as dlib writes it, and their boxes."""
    for image in ET.parse(folder / "training.xml").iter("image"):
        path = folder / image.get("file", "")
        photo = cv2.imread(str(path))
        if photo is not None:
            boxes = [
                Box(*(int(b.get(side, 0)) for side in ("left", "top", "width", "height")))
                for b in image.iter("box")
            ]
            yield path.stem, np.asarray(photo, np.uint8), boxes


def measure(clip: Sequence[Seen], options: DetectorOptions, delay: float, mode: Mode) -> Count:
    """Count over a clip. `mode` is lossless or live; live with a `delay` of 0 holds nothing back."""
    spec = load_manifest(model_directory(None)).spec
    detector = Detector(options, spec)
    detector.open()
    follower, veil = Follower(following("4/6", 0.3, "off")), Veil(delay=delay)
    hints: dict[str, bytes] = {}
    hidden: dict[int, list[Box]] = {}
    found: set[int] = set()

    def show(items: Sequence[Released]) -> None:
        for item in items:
            assert item.message is not None
            faces, unseen, *_ = follower.follow(item.message)
            known = veil.lift(item.message.frame_id)
            hidden[item.message.info.seq] = [f.box for f in (*faces, *unseen)] + list(known.boxes)

    for n, (image, boxes) in enumerate(clip):
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        height, width = image.shape[:2]
        info = FrameInfo("c", "c", "e", n, n / FPS, n / FPS, width, height, mode, interval=1 / FPS)
        (got,) = detector.process_hinted([Frame(info, jpeg, f"{n + 1}-0")], hints)
        faces = tuple(Prediction(f.box, f.weight, (1.0,)) for f in got.faces)
        message = Emotions(replace(info, scene=got.info.scene), f"{n + 1}-0", ("face",), faces)
        found |= {i for i, box in boxes.items() if any(_share(box, [f.box]) > 0.3 for f in faces)}
        veil.take([Released("c", "e", message)], {message.frame_id: jpeg}, n / FPS)
        show(veil.due(n / FPS))
    show(veil.due(0.0, all_of_them=True))
    detector.close()
    total = unblurred = never = 0
    for n, (image, boxes) in enumerate(clip):
        for i, box in boxes.items():
            inside = _visible(box, image.shape[1], image.shape[0])
            if min(inside.width, inside.height) < SMALLEST or _area(inside) < 0.5 * _area(box):
                continue
            total += 1
            if _share(inside, [_enlarged(b) for b in hidden[n]]) < HIDDEN:
                unblurred += i in found
                never += i not in found
    return Count(total, unblurred, never)


def _visible(box: Box, width: int, height: int) -> Box:
    x, y = max(0, box.x), max(0, box.y)
    return Box(x, y, max(0, min(width, box.x + box.width) - x), max(0, min(height, box.y + box.height) - y))


def _area(box: Box) -> int:
    return box.width * box.height


def _enlarged(box: Box) -> Box:
    across, down = round(box.width * MARGIN), round(box.height * MARGIN)
    return Box(box.x - across, box.y - down, box.width + 2 * across, box.height + 2 * down)


def _share(box: Box, others: Sequence[Box]) -> float:
    """How much of a box these cover together, 0 to 1."""
    covered = np.zeros((max(1, box.height), max(1, box.width)), bool)
    for other in others:
        x, y = other.x - box.x, other.y - box.y
        covered[max(0, y) : max(0, y + other.height), max(0, x) : max(0, x + other.width)] = True
    return float(covered.mean())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder with photographs and training.xml")
    folder = parser.parse_args().photos
    ways: tuple[tuple[float, Mode], ...] = ((0, "live"), (0.5, "live"), (0, "lossless"))
    clips = [("sample", list(sample()))]
    clips += [(name, list(pan(photo, boxes))) for name, photo, boxes in marked(folder)]
    for name, clip in clips:
        for options in (DetectorOptions(detector="haar"), DetectorOptions(detector="yunet")):
            told = [measure(clip, options, delay, mode) for delay, mode in ways]
            print(
                f"{name:24} {options.detector:6} faces x frames {told[0].all:5}  unblurred: held back not at all"
                f" {told[0].unblurred:4}, live 0.5 s {told[1].unblurred:4}, lossless {told[2].unblurred:4};"
                f" never found {told[2].never}",
                flush=True,
            )


if __name__ == "__main__":
    main()
