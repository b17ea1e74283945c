"""Measure what the quality of the JPEGs that travel costs and gives: bytes, time, faces and labels.

Usage: python -m benchmarks.quality [SOURCE...] [--detector haar|yunet] [--every N]

Each Nth picture of the sources (default: the bundled sample, and the photos and clips in ../shared/data where they
are), at most 1280 pixels wide, is encoded in several qualities and searched as a whole. What is found is compared
with what is found at quality 100.

KB      of a picture
ms      processor time to encode it, and to decode it to gray
dB      how close the picture is to what the source gave (PSNR): above 40 few can tell
again   faces that are found again, of those at quality 100
label   of these, with the same emotion; chance of 0.05 and more apart: how many
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from threading import Event

import cv2
import numpy as np

from emotion_stream.benchmarks.harness.script import DATA, at_least_one, script
from emotion_stream.benchmarks.video.hints import clips
from emotion_stream.classifier_worker.classifier import Classifier
from emotion_stream.detector_worker.boxes import overlap
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.models.evaluation.runlog import table
from emotion_stream.producer.pictures.jpeg import encode, scale_down
from emotion_stream.producer.pictures.pixels import pixels
from emotion_stream.producer.pictures.source import Context, Image, Nobody
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import parse_source
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.jpeg import decode_jpeg
from emotion_stream.shared.messages.manifest import Manifest, load_manifest, model_directory
from emotion_stream.shared.messages.types import Emotions, Frame, FrameInfo, Prediction
from emotion_stream.shared.settings.options import (
    ClassifierOptions,
    DetectorOptions,
    ModelOptions,
    ProducerOptions,
)

QUALITIES = (100, 95, 90, 85, 80, 75)
WIDEST = 1280
SAME = 0.5
"""Overlap from which on two boxes show one face."""
APART = 0.05


def read(source: str, every: int) -> Iterator[Image]:
    """Each picture of a folder, and of a video one of so many."""
    pictures = make_source(parse_source(source), "lossless", ProducerOptions(), Context(Event(), Nobody()))
    pictures.open()
    number = 0
    while (picture := pictures.read()) is not None:
        if picture.error is None and (picture.still or number % every == 0):
            yield scale_down(pixels(picture), WIDEST)
        number += 1
    pictures.close()


def labelled(
    images: Sequence[Image], jpegs: Sequence[bytes], options: DetectorOptions, manifest: Manifest
) -> list[Emotions]:
    """What the two stages find, each picture searched as a whole."""
    finder = Detector(options, manifest.spec)
    classifier = Classifier(ClassifierOptions(), manifest)
    finder.open()
    classifier.open()
    results: list[Emotions] = []
    for number, (image, jpeg) in enumerate(zip(images, jpegs, strict=True)):
        height, width = image.shape[:2]
        info = FrameInfo("quality", "quality", "run", number, 0.0, float(number), width, height, "lossless", True)
        results += classifier.process(finder.process([Frame(info, jpeg)]))
    finder.close()
    classifier.close()
    return results


def counterpart(face: Prediction, others: Sequence[Prediction]) -> Prediction | None:
    """The one of the others that shows the same face."""
    return next((other for other in others if overlap(face.box, other.box) > SAME), None)


def row(
    images: Sequence[Image], quality: int, sure: Sequence[Emotions], options: DetectorOptions, manifest: Manifest
) -> list[str]:
    """One quality against `sure`, what the highest one gives."""
    started = time.process_time()
    jpegs = [encode(image, quality).data for image in images]
    encoded = time.process_time()
    for jpeg in jpegs:
        decode_jpeg(jpeg, color=False)
    spent = [encoded - started, time.process_time() - encoded]
    alike = [cv2.PSNR(image, decode_jpeg(jpeg, color=True)) for image, jpeg in zip(images, jpegs, strict=True)]
    total = again = same = apart = 0
    for best, these in zip(sure, labelled(images, jpegs, options, manifest), strict=True):
        for face in best.faces:
            total += 1
            other = counterpart(face, these.faces)
            if other is not None:
                chances = np.array([face.probabilities, other.probabilities])
                again += 1
                same += int(chances[0].argmax() == chances[1].argmax())
                apart += int(abs(chances[0] - chances[1]).max() >= APART)
    return [
        str(quality),
        f"{sum(map(len, jpegs)) / len(jpegs) / 1000:.1f}",
        ", ".join(f"{1000 * seconds / len(jpegs):.2f}" for seconds in spent),
        f"{np.mean(alike):.1f}",
        f"{again} of {total}",
        f"{same / max(again, 1):.1%}; {apart}",
    ]


def main(given: argparse.Namespace) -> None:
    """Print the table.

    Raises:
        EmotionError: a source cannot be read, or there is no picture.
    """
    cv2.setNumThreads(1)
    images = [image for source in given.sources or default() for image in read(source, given.every)]
    if not images:
        raise EmotionError("no picture")
    manifest = load_manifest(model_directory(ModelOptions().model))
    options = DetectorOptions(detector=given.detector)
    sure = labelled(images, [encode(image, QUALITIES[0]).data for image in images], options, manifest)
    rows = [row(images, quality, sure, options, manifest) for quality in QUALITIES]
    print(table([["quality", "KB", "ms", "dB", "again", "label; apart"], *rows]))
    print(f"\n{len(images)} pictures, {given.detector}.")


def default() -> list[str]:
    """The sample, and what lies beside the repository."""
    return [*clips(), *(str(folder) for folder in (DATA / "faces",) if folder.is_dir())]


if __name__ == "__main__":
    with script("quality", __doc__) as parser:
        parser.add_argument("sources", nargs="*", metavar="SOURCE")
        parser.add_argument("--detector", choices=("haar", "yunet"), default="haar")
        parser.add_argument("--every", type=at_least_one, default=10)
        main(parser.parse_args())
