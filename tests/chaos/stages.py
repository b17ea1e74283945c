"""Workers of the chaos program: stages that take no time, in the worker loop that all stages run in.

`python -m tests.chaos.stages detector|slow-detector|classifier --config=FILE`. The pictures say in a
comment what is to happen to those who decode them: some kill the process, some hang it, some raise. Results carry
the frame's number, so that a result that belongs to another frame is noticed.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from emotion_stream.shared.messages.codec import (
    decode_detections,
    decode_frame,
    encode_detections,
    encode_emotions,
)
from emotion_stream.shared.messages.jpeg import decode_jpeg
from emotion_stream.shared.messages.types import (
    Box,
    Crop,
    Detections,
    Emotions,
    Frame,
    Message,
    ModelSpec,
    Outcome,
    Prediction,
)
from emotion_stream.shared.process.worker import Route, serve
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.options import LinkOptions

SPEC = ModelSpec("chaos", 4, 0.1)
LABELS = ("yes", "no")
POISONS = ("crash-detector", "stall-detector", "raise-detector", "crash-classifier", "raise-classifier")
SLOWLY = 0.008
"""Seconds that a slow detector takes for a frame, so that a run lasts until all faults have occurred."""


def picture(poison: str = "") -> bytes:
    """A small JPEG with `poison` in its comment."""
    done, data = cv2.imencode(".jpg", np.full((24, 32, 3), 99, np.uint8))
    assert done
    comment = poison.encode()
    return data.tobytes()[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + data.tobytes()[2:]


def write_folder(folder: Path, count: int, poisons: dict[int, str]) -> None:
    """`count` pictures, those of `poisons` poisoned, or `broken`."""
    folder.mkdir(parents=True)
    kinds = {kind: folder.parent / f"{kind}.jpg" for kind in ("", *POISONS, "broken")}
    for kind, path in kinds.items():
        if not path.exists():
            path.write_bytes(b"\xff\xd8 no picture" if kind == "broken" else picture(kind))
    for n in range(count):
        (folder / f"{n}.jpg").hardlink_to(kinds[poisons.get(n, "")])


def numbered(seq: int) -> bytes:
    return seq.to_bytes(16)


def suffer(poison: bytes, stage: str) -> None:
    """Do what the poison says, if it is for this stage."""
    what, _, where = poison.decode(errors="replace").partition("-")
    if where != stage:
        return
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "stall":
        time.sleep(3600)
    if what == "raise":
        raise ValueError("a picture that no decoder likes")


class Detector:
    """Finds one face in each picture, at x = seq, with the seq as its pixels, after some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def open(self) -> None:
        pass

    def process(self, batch: Sequence[Frame]) -> Sequence[Detections]:
        return [self._find(frame) for frame in batch]

    def _find(self, frame: Frame) -> Detections:
        time.sleep(self._seconds)
        decode_jpeg(frame.jpeg, color=False)
        length = int.from_bytes(frame.jpeg[4:6])
        poison = frame.jpeg[6 : 4 + length]
        suffer(poison, "detector")
        seq = frame.info.seq
        pixels = poison[:16].ljust(16) if poison else numbered(seq)
        return Detections(frame.info, frame.frame_id, SPEC, (Crop(Box(seq % 10_000, 0, 8, 8), 1.0, pixels),))

    def pass_on(self, message: Message, outcome: Outcome) -> Detections:
        return Detections(message.info, message.frame_id, SPEC, (), outcome)

    def close(self) -> None:
        pass


class Classifier:
    """Labels a face `yes` if its pixels tell the seq of its frame."""

    def open(self) -> None:
        pass

    def process(self, batch: Sequence[Detections]) -> Sequence[Emotions]:
        return [self._label(message) for message in batch]

    def _label(self, message: Detections) -> Emotions:
        faces = []
        for face in message.faces:
            poison = next((p for p in POISONS if face.pixels == p.encode()[:16].ljust(16)), "")
            suffer(poison.encode(), "classifier")
            right = face.pixels == numbered(message.info.seq)
            faces.append(Prediction(face.box, face.weight, (1.0, 0.0) if right else (0.0, 1.0)))
        return Emotions(message.info, message.frame_id, LABELS, tuple(faces))

    def pass_on(self, message: Message, outcome: Outcome) -> Emotions:
        return Emotions(message.info, message.frame_id, LABELS, (), outcome)

    def close(self) -> None:
        pass


def run_detector(values: Values, seconds: float = 0.001) -> None:
    """Serve until told to stop."""
    serve(
        "detector",
        Detector(seconds),
        lambda s: Route(
            "detector",
            s.keys.frames,
            s.keys.faces,
            decode_frame,
            lambda d: encode_detections(d)[b"m"],
            lambda metrics, results: None,
        ),
        values,
        8,
        lambda metrics: None,
    )


def run_classifier(values: Values) -> None:
    """Serve until told to stop."""
    serve(
        "classifier",
        Classifier(),
        lambda s: Route(
            "classifier",
            s.keys.faces,
            s.keys.emotions,
            decode_detections,
            lambda e: encode_emotions(e)[b"m"],
            lambda metrics, results: None,
        ),
        values,
        32,
        lambda metrics: None,
        patience=6,
    )


COMMANDS = {
    "detector": Command("chaos-detector", "A detector for the chaos program.", (LinkOptions,), run_detector),
    "slow-detector": Command(
        "chaos-detector", "One that takes its time.", (LinkOptions,), partial(run_detector, seconds=SLOWLY)
    ),
    "classifier": Command("chaos-classifier", "A classifier for it.", (LinkOptions,), run_classifier),
}

if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]].main(sys.argv[2:]))
