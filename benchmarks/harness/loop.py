"""Our own stages in one loop, in one process, without Redis: what the pipeline costs is measured against it.

Usage: python -m benchmarks.harness.loop CLIP SECONDS BATCH SETTINGS

Decodes the clip, encodes each frame as JPEG, which the detector decodes again, and labels the faces of BATCH
frames at once; for at most SECONDS. SETTINGS is a TOML file. Prints one line of JSON.
"""

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from threading import Event

from emotion_stream.classifier_worker.classifier import Classifier
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.producer.pictures.jpeg import to_jpeg
from emotion_stream.producer.pictures.source import Context, Picture
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import parse_source
from emotion_stream.shared.messages.manifest import load_manifest, model_directory
from emotion_stream.shared.messages.types import Frame, FrameInfo
from emotion_stream.shared.settings.catalogue import ALL
from emotion_stream.shared.settings.loading import build, gather
from emotion_stream.shared.settings.options import (
    ClassifierOptions,
    DetectorOptions,
    ModelOptions,
    ProducerOptions,
)

STEPS = ("video decoding", "JPEG encoding", "detector", "classifier")
WARM_UP = 1
"""Batches before the clock starts."""


class _Nobody:
    def frames(self, n: int) -> None: ...
    def dropped(self, reason: str, n: int) -> None: ...
    def errors(self, n: int) -> None: ...
    def reconnects(self) -> None: ...


def pictures(clip: str, options: ProducerOptions) -> Iterator[Picture]:
    """The clip over and over."""
    source = make_source(parse_source(clip), "lossless", options, Context(Event(), _Nobody()))
    while True:
        source.open()
        while (picture := source.read()) is not None:
            yield picture


def measure(clip: str, seconds: float, batch: int, settings: str) -> dict[str, object]:
    """Play the clip over and over; frames per second, CPU seconds, and those of each step on this thread."""
    values = gather({"config": settings}, ALL, {})
    options = build(ProducerOptions, values)
    manifest = load_manifest(model_directory(build(ModelOptions, values).model))
    detector = Detector(build(DetectorOptions, values), manifest.spec)
    classifier = Classifier(build(ClassifierOptions, values), manifest)
    detector.open()
    classifier.open()
    hints: dict[str, bytes] = {}
    hinted = getattr(detector, "process_hinted", None)  # a detector that searches where faces were a moment ago
    source = pictures(clip, options)
    spent = dict.fromkeys(STEPS, 0.0)
    frames = faces = seq = 0
    started = cpu = 0.0

    def step(name: str, since: float) -> float:
        now = time.thread_time()
        spent[name] += now - since
        return now

    turn = -WARM_UP
    while turn <= 0 or time.perf_counter() - started < seconds:
        if turn == 0:
            spent, frames, faces = dict.fromkeys(STEPS, 0.0), 0, 0
            started, cpu = time.perf_counter(), time.process_time()
        turn += 1
        since = time.thread_time()
        decoded = list(islice(source, batch))
        since = step("video decoding", since)
        encoded = []
        for picture in decoded:
            jpeg = to_jpeg(picture, options.max_width, options.jpeg_quality)
            info = FrameInfo(
                "loop", clip, "loop", seq, time.time(), picture.media_time, jpeg.width, jpeg.height, "lossless"
            )
            encoded.append(Frame(info, jpeg.data))
            seq += 1
        since = step("JPEG encoding", since)
        found = detector.process(encoded) if hinted is None else hinted(encoded, hints)
        since = step("detector", since)
        labelled = classifier.process(found)
        step("classifier", since)
        frames += len(labelled)
        faces += sum(len(result.faces) for result in labelled)
    return {
        "frames": frames,
        "faces": faces,
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "steps": spent,
    }


if __name__ == "__main__":
    clip, seconds, batch, settings = sys.argv[1:]
    print(json.dumps(measure(clip, float(seconds), int(batch), settings)))
