"""Measure cascades and their settings on photos with known faces: recall, precision, false faces, CPU time.

Usage: python benchmarks/cascades.py DATA

DATA holds `faces/training.xml` and `faces/testing.xml` (dlib's format, beside their photos), `faces/dogs.jpg`, and
`video/pyfeat_no_face.mp4`. A face counts as found when a box overlaps it with IoU >= 0.4.
"""

import dataclasses
import itertools
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import cv2

from emotion_stream.benchmarks.harness.script import DATA, data_folder, script
from emotion_stream.detector_worker.contract import Gray
from emotion_stream.detector_worker.haar.cascade import FaceFinder
from emotion_stream.shared.messages.types import Box
from emotion_stream.shared.settings.options import DetectorOptions

IOU = 0.4


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1."""
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    shared = max(across, 0) * max(down, 0)
    return shared / (a.width * a.height + b.width * b.height - shared)


def read_photo(path: Path) -> Gray:
    """The gray photo in `path`."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        sys.exit(f"{path} cannot be read")
    return image  # type: ignore[return-value]


def photos(folder: Path) -> list[tuple[Gray, list[Box]]]:
    """The photos of both lists with their faces."""
    found = []
    for name in ("training.xml", "testing.xml"):
        for image in ET.parse(folder / name).getroot().iter("image"):
            boxes = [
                Box(*(int(box.attrib[key]) for key in ("left", "top", "width", "height")))
                for box in image.iter("box")
            ]
            found.append((read_photo(folder / image.attrib["file"]), boxes))
    return found


def faceless(data: Path) -> list[Gray]:
    """Pictures without a face: the dogs, and every tenth frame of a clip."""
    found = [read_photo(data / "faces" / "dogs.jpg")]
    clip = cv2.VideoCapture(str(data / "video" / "pyfeat_no_face.mp4"))
    for index in itertools.count():
        read, frame = clip.read()
        if not read:
            return found
        if index % 10 == 0:
            found.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))  # type: ignore[arg-type]
    return found


def measure(options: DetectorOptions, known: list[tuple[Gray, list[Box]]], empty: list[Gray]) -> str:
    """One row of the table."""
    finder = FaceFinder(options)
    hits = faces = reported = 0
    started = time.process_time()
    answers = [finder.find(gray) for gray, _ in known]
    ms = (time.process_time() - started) * 1000 / len(known)
    for found, (_, truth) in zip(answers, known, strict=True):
        hits += sum(any(iou(face, box) >= IOU for box, _ in found) for face in truth)
        faces, reported = faces + len(truth), reported + len(found)
    wrong = sum(len(finder.find(gray)) for gray in empty)
    name = options.cascade.removeprefix("haarcascade_frontalface_")
    return (
        f"{name:8} {options.scale_factor:6.2f} {options.min_neighbors:10d} {options.min_face:8.2f}"
        f" {options.scan_width:10d} {hits / faces:8.2f} {hits / max(reported, 1):10.2f} {reported - hits:5d}"
        f" {wrong:9d} {ms:7.1f}"
    )


def main(data: Path) -> None:
    """Print the table for a grid of settings."""
    cv2.setNumThreads(1)
    known, empty = photos(data / "faces"), faceless(data)
    print(f"{sum(len(boxes) for _, boxes in known)} faces on {len(known)} photos; {len(empty)} without a face")
    print("cascade   scale neighbours min_face scan_width   recall  precision wrong faceless      ms")
    grid = itertools.product(("default", "alt2"), (1.1, 1.15, 1.2), (3, 5), (0.04, 0.1), (320, 640))
    for cascade, scale, neighbors, least, width in grid:
        options = dataclasses.replace(
            DetectorOptions(),
            cascade=f"haarcascade_frontalface_{cascade}",
            scale_factor=scale,
            min_neighbors=neighbors,
            min_face=least,
            scan_width=width,
        )
        print(measure(options, known, empty), flush=True)


if __name__ == "__main__":
    with script("cascades", __doc__) as parser:
        parser.add_argument("data", nargs="?", type=data_folder, default=str(DATA), metavar="DATA")
        main(parser.parse_args().data)
