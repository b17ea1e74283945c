"""Clips out of photographs: the camera pans, zooms, tilts and trembles, light goes up and down, pixels are noisy.

Nobody's face changes in them, so every change of a label is flicker.

Usage: python -m benchmarks.video.pans [DATA]

Measures what `--blur-faces` misses with each detector: in such clips of the photos of DATA/faces, whose faces are
known (see `benchmarks/cascades.py`), and in the sample clip. Every frame goes the way that it goes in the
pipeline: detector with what it remembers, tracks, and the sink's own blur. A face that lies wholly in the frame is
missed in a frame where less than three quarters of it are hidden. DATA/video/fer_test.mp4 shows one face all the
time; where is not known, so that frames are counted in which nothing at all is hidden.
"""

import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from emotion_stream.benchmarks.harness.script import data_folder, script
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.samples.making.make_sample import ACTS, pose
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.manifest import load_manifest
from emotion_stream.shared.messages.types import Box, Emotions, Frame, FrameInfo, Prediction
from emotion_stream.shared.process.stage import Hints
from emotion_stream.shared.settings.options import DetectorOptions, ProducerOptions
from emotion_stream.shared.settings.result_options import ShowOptions, SinkOptions
from emotion_stream.sink.drawing.privacy import hide
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.tracking.follow import Follower, following

FPS, SIZE = 25, (640, 360)
NOISE = 5.0
"""Standard deviation of the noise, of 255."""
HIDDEN = 0.75
"""Share of a face's box from which on it counts as hidden."""
FACE = 0.53
"""Side of a face in the sample, of the height of its portrait; it lies in the middle of it."""
DETECTORS: tuple[Literal["haar", "yunet"], ...] = ("haar", "yunet")

Mask = npt.NDArray[np.bool_]


def views(width: int, height: int, seconds: float, rng: np.random.Generator) -> list[npt.NDArray[np.float64]]:
    """What the camera does: for each frame, where the pixels of a photo go, `[2, 3]`."""
    count = round(seconds * FPS)
    tremble = np.cumsum(rng.normal(0, 0.5, (count, 2)), axis=0)
    made = []
    for n, turn in enumerate(2 * np.pi * np.linspace(0, 1, count)):
        zoom = max(SIZE[0] / width, SIZE[1] / height) * (1.1 + 0.25 * np.sin(turn))
        view = cv2.getRotationMatrix2D((width / 2, height / 2), 2 * np.sin(2 * turn), zoom)
        view[:, 2] += np.array([SIZE[0] / 2 - width / 2, SIZE[1] / 2 - height / 2])
        view[:, 2] += tremble[n] + np.array([25 * np.sin(1.5 * turn), 10 * np.cos(turn)])
        made.append(np.asarray(view, np.float64))
    return made


def pan(photo: Path, target: Path, seconds: float = 6.0, seed: int = 0) -> Path:
    """Write such a clip of a photograph to the MP4 file `target`.

    Raises:
        EmotionError: the photograph cannot be read.
    """
    image = cv2.imread(str(photo))
    if image is None:
        raise EmotionError(f"{photo} cannot be read")
    rng = np.random.default_rng(seed)
    ways = views(image.shape[1], image.shape[0], seconds, rng)
    writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE)
    for view, turn in zip(ways, 2 * np.pi * np.linspace(0, 1, len(ways)), strict=True):
        seen = cv2.warpAffine(image, view, SIZE, borderMode=cv2.BORDER_REFLECT).astype(np.float32)
        seen = seen * (1 + 0.15 * np.sin(2 * turn)) + rng.normal(0, NOISE, seen.shape)
        writer.write(np.clip(seen, 0, 255).astype(np.uint8))
    writer.release()
    return target


def frames_of(clip: Path) -> Iterator[Image]:
    """The frames of a clip, BGR."""
    video = cv2.VideoCapture(str(clip))
    while True:
        read, frame = video.read()
        if not read:
            return
        yield np.asarray(frame, np.uint8)


def faces_of_pan(boxes: Sequence[Box], shape: tuple[int, int], seconds: float, seed: int) -> list[list[Box]]:
    """Where the faces of a photo of such a height and width are, in each frame of its clip."""
    found = []
    for view in views(shape[1], shape[0], seconds, np.random.default_rng(seed)):
        here = []
        for b in boxes:
            corners = np.array([[x, y, 1] for x in (b.x, b.x + b.width) for y in (b.y, b.y + b.height)])
            (left, top), (right, bottom) = (edge(corners @ view.T, axis=0) for edge in (np.min, np.max))
            here.append(Box(round(left), round(top), round(right - left), round(bottom - top)))
        found.append(here)
    return found


def faces_of_sample(count: int) -> list[list[Box]]:
    """Where the faces of the sample's portraits are, in each frame; those behind another one are left out."""
    found = []
    for n in range(count):
        places = [at for _, way in ACTS if (at := pose(way, n / FPS)) is not None]
        here = []
        for index, at in enumerate(places):
            front = places[index + 1 :]
            if all(abs(at.x - o.x) > (at.height + o.height) / 2 or abs(at.y - o.y) > o.height for o in front):
                side = FACE * at.height
                here.append(Box(round(at.x - side / 2), round(at.y - side / 2), round(side), round(side)))
        found.append(here)
    return found


def hidden(name: Literal["haar", "yunet"], frames: Iterable[Image]) -> Iterator[Mask]:
    """What the sink hides of each frame."""
    stage = Detector(DetectorOptions(name), load_manifest().spec)
    stage.open()
    follower = Follower(following(SinkOptions().confirm, SinkOptions().smoothing, ShowOptions().uncertain))
    hints: Hints = {}
    labels = tuple("0123456")
    equal = (1 / len(labels),) * len(labels)
    quality = [cv2.IMWRITE_JPEG_QUALITY, ProducerOptions().jpeg_quality]
    for n, image in enumerate(frames):
        height, width = image.shape[:2]
        info = FrameInfo("clip", "", "", n, 0.0, n / FPS, width, height, "lossless")
        jpeg = cv2.imencode(".jpg", image, quality)[1].tobytes()
        (found,) = stage.process_hinted([Frame(info, jpeg, f"{n + 1}-0")], hints)
        people = tuple(Prediction(face.box, face.weight, equal, face.landmarks) for face in found.faces)
        faces, unseen, *_ = follower.follow(Emotions(found.info, found.frame_id, labels, people))
        noise = np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)
        shown = hide(noise, Result(info, found.outcome, labels, faces, 0.0, unseen))
        yield np.asarray((shown != noise).any(axis=2), np.bool_)


def missed(masks: Iterable[Mask], truth: Sequence[Sequence[Box]]) -> tuple[int, int]:
    """Faces that are not hidden, frame by frame, and how many there are."""
    wrong = total = 0
    for mask, faces in zip(masks, truth, strict=True):
        height, width = mask.shape
        for b in faces:
            if b.x >= 0 and b.y >= 0 and b.x + b.width <= width and b.y + b.height <= height:
                total += 1
                wrong += mask[b.y : b.y + b.height, b.x : b.x + b.width].mean() < HIDDEN
    return int(wrong), total


def photos(folder: Path) -> Iterator[tuple[Path, list[Box]]]:
    """Photos with their faces, of both of dlib's lists."""
    for name in ("training.xml", "testing.xml"):
        for image in ET.parse(folder / name).getroot().iter("image"):
            sides = ("left", "top", "width", "height")
            yield (
                folder / image.attrib["file"],
                [Box(*(int(box.attrib[key]) for key in sides)) for box in image.iter("box")],
            )


def row(name: str, counts: Sequence[tuple[int, int]]) -> None:
    """One line: what each detector misses."""
    cells = [f"{wrong} of {total} ({wrong / max(total, 1):.1%})" for wrong, total in counts]
    print("|", " | ".join([name, *cells]), "|", flush=True)


def main(data: Path | None, seconds: float = 6.0) -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    print("| not hidden |", " | ".join(DETECTORS), "|\n" + "|---" * (len(DETECTORS) + 1) + "|")
    sample = list(frames_of(Path(__file__).parents[2] / "samples" / "sample.mp4"))
    truth = faces_of_sample(len(sample))
    row("sample", [missed(hidden(name, sample), truth) for name in DETECTORS])
    if data is None:
        return
    whole = [[0, 0] for _ in DETECTORS]
    with tempfile.TemporaryDirectory() as folder:
        for seed, (photo, boxes) in enumerate(photos(data / "faces")):
            clip = list(frames_of(pan(photo, Path(folder) / "pan.mp4", seconds, seed)))
            height, width = cv2.imread(str(photo)).shape[:2]  # type: ignore[union-attr]
            there = faces_of_pan(boxes, (height, width), seconds, seed)
            counts = [missed(hidden(name, clip), there) for name in DETECTORS]
            row(f"pan over {photo.stem}", counts)
            for total, count in zip(whole, counts, strict=True):
                total[0], total[1] = total[0] + count[0], total[1] + count[1]
    row("all pans", [(wrong, total) for wrong, total in whole])
    film = list(frames_of(data / "video" / "fer_test.mp4"))
    nothing = [sum(not mask.any() for mask in hidden(name, film)) for name in DETECTORS]
    row("fer_test: frames", [(count, len(film)) for count in nothing])


if __name__ == "__main__":
    with script("video.pans", __doc__) as parser:
        parser.add_argument("data", nargs="?", type=data_folder, metavar="DATA")
        main(parser.parse_args().data)
