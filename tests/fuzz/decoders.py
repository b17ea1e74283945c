"""Everything that reads bytes out of Redis, fed with mutants of real messages."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from emotion_stream.detector_worker.detector import Detector
from emotion_stream.detector_worker.haar.cascade import LARGE
from emotion_stream.detector_worker.haar.memory import Known, Memory
from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.camera import CameraSettings, pack, unpack
from emotion_stream.shared.messages.codec import (
    decode_detections,
    decode_emotions,
    decode_frame,
    encode_detections,
    encode_emotions,
    encode_frame,
    salvage,
)
from emotion_stream.shared.messages.scene import CELLS
from emotion_stream.shared.messages.sound import Piece, Sound, decode_sound, encode_sound
from emotion_stream.shared.messages.types import (
    Box,
    Crop,
    Detections,
    Emotions,
    Frame,
    FrameInfo,
    ModelSpec,
    Outcome,
    Prediction,
)
from emotion_stream.shared.settings.cameras import tuned
from emotion_stream.shared.settings.options import DetectorOptions
from emotion_stream.shared.streams import hints
from emotion_stream.shared.streams.progress import Progress
from emotion_stream.sink.results.stats import Stats
from emotion_stream.sink.tracking.follow import Follower, following
from tests.fuzz.mutate import mutations

DATA = Path(__file__).parents[1] / "data"
INFO = FrameInfo("hall-1", "clip ü.mp4", "run1", 7, 1_795_000_000.125, 0.28, 640, 360, "lossless")
SMALL = replace(INFO, seq=8, media_time=0.32, width=64, height=36)
SPEC = ModelSpec("fer-1", 4, 0.1)
LABELLED = tuple(Prediction(Box(40 * n, n, 30, 30), 0.5, (0.25, 0.75)) for n in range(5))
AREA = (0.0, 0.0), (0.3, 0.0), (0.3, 0.4)
OWN = CameraSettings(min_face=0.1, blur_faces=True, notice="ü", ignore=(AREA,), zones=(("door", AREA),))
RULES = following("2/3", 0.3, "auto")
SLOWEST = 1.0
"""Seconds of processor time that no input may take."""


def corpus() -> list[bytes]:
    """Real messages: frozen ones, and the shapes they come in today."""
    faces = tuple(Crop(Box(n, n, 9, 9), n / 7, bytes(16)) for n in range(5))
    still = replace(INFO, still=True, mode="live")
    follower = Follower(RULES)
    follower.follow(Emotions(INFO, "1-1", ("a", "b"), LABELLED))
    known = tuple(Known(Box(n, n, 60, 60), 0.28, n, 0) for n in range(3))
    memory = Memory(
        "run1",
        7,
        0.28,
        640,
        360,
        5,
        1,
        known,
        np.zeros((18, CELLS), np.uint8),
        ((0.2, known[0].box),),
        ((LARGE, known[0].box),),
        0.1,
        0.2,
        np.zeros((18, CELLS), np.uint8),
    )
    return [
        *(path.read_bytes() for path in sorted(DATA.glob("*-v1.bin"))),
        encode_frame(Frame(still, b""))[b"h"],
        encode_frame(Frame(replace(still, settings=OWN), b""))[b"h"],
        pack(OWN),
        encode_frame(Frame(INFO, b"", outcome=Outcome.error("x" * 200)))[b"h"],
        encode_detections(Detections(still, "1-1", SPEC, faces))[b"m"],
        encode_detections(Detections(INFO, "1-1", SPEC, (), Outcome.dropped("stale")))[b"m"],
        encode_sound(Sound("hall", "a", b"track", (Piece(1.5, 0.02, b"data"),)))[b"m"],
        encode_emotions(Emotions(still, "1-1", ("a", "b"), LABELLED))[b"m"],
        Stats(frames=5, emotions={"happy": 3}, latencies={7: 5}, first_captured_at=1.0).to_bytes(),
        memory.to_bytes(),
        follower.state(INFO.camera),
    ]


def _frame(data: bytes) -> None:
    decode_frame({b"h": data, b"j": b""}, "1-1")


def _settings(data: bytes) -> None:
    """Whatever is taken for settings can be applied, and sent on."""
    found = unpack(data)
    tuned(DetectorOptions(), found)
    assert unpack(pack(found)) == found


def _detections(data: bytes) -> None:
    found = decode_detections({b"m": data}, "1-1")
    assert all(len(face.pixels) == found.model.size**2 for face in found.faces)


def _emotions(data: bytes) -> None:
    found = decode_emotions({b"m": data}, "1-1")
    assert all(len(face.probabilities) == len(found.labels) for face in found.faces)


def _sound(data: bytes) -> None:
    found = decode_sound({b"m": data})
    assert decode_sound(encode_sound(found)) == found


def _salvage(data: bytes) -> None:
    for key in (b"h", b"m"):
        placed = salvage({key: data}, "1-1")
        assert placed is None or placed.info.seq >= 0


def _progress(data: bytes) -> None:
    half = len(data) // 2
    table = {b"at|" + data[:half]: data[half:], data[:half]: data[half:], b"work|x": data[:8]}
    Progress.parse(table).all_shown(["hall-1"], ended=True)


@cache
def _detectors() -> tuple[Detector, ...]:
    """Both, loaded and warm: what they take then is not what an input takes."""
    detectors = Detector(DetectorOptions(scan_width=64), SPEC), Detector(DetectorOptions("yunet"), SPEC)
    for detector in detectors:
        detector.open()
        detector.process([_picture()])
    return detectors


@cache
def _picture() -> Frame:
    done, jpeg = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (36, 64, 3), np.uint8))
    assert done
    return Frame(SMALL, jpeg.tobytes(), "1-1")


def _memory(data: bytes) -> None:
    """A detector's notes, out of the hash of hints: it has to be able to go on with what it takes for its own."""
    for hint in hints.parse({b"hall-1": b"7-0 " + data, data[:9]: data}).values():
        Memory.from_bytes(hint.data)
    for detector in _detectors():
        (found,) = detector.process_hinted([_picture()], {"hall-1": data})
        assert found.outcome.status == "ok"


def _tracks(data: bytes) -> None:
    """What a sink left for its successor: whoever takes it over has to be able to go on with it."""
    follower = Follower(RULES)
    follower.resume(INFO.camera, data)
    for n in range(2):
        follower.follow(Emotions(replace(INFO, media_time=0.3 + n / 25), "1-1", ("a", "b"), LABELLED))
    follower.state(INFO.camera)


DECODERS: Mapping[str, Callable[[bytes], object]] = {
    "frame": _frame,
    "detections": _detections,
    "emotions": _emotions,
    "sound": _sound,
    "salvage": _salvage,
    "settings": _settings,
    "progress": _progress,
    "statistics": Stats.from_bytes,
    "memory": _memory,
    "tracks": _tracks,
}


@dataclass(slots=True)
class Tally:
    """Inputs by decoder, how many were accepted, and the slowest one's seconds of processor time."""

    inputs: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


def fuzz(count: int, chance: random.Random) -> Tally:
    """Give `count` inputs to the decoders, each to one of them, and now and then to all.

    Raises:
        AssertionError: a decoder raised something else than DecodeError, or took too long; the input is told.
    """
    tally = Tally()
    _detectors()
    names = [*DECODERS]
    for n, data in enumerate(mutations(corpus(), chance)):
        if n >= count:
            return tally
        for name in names if n % 100 == 0 else (names[n % len(names)],):
            began = time.thread_time()
            try:
                DECODERS[name](data)
                tally.accepted[name] += 1
            except DecodeError:
                pass
            except BaseException as e:
                raise AssertionError(f"{name} on {data.hex()}: {type(e).__name__}: {e}") from e
            taken = time.thread_time() - began
            tally.inputs[name] += 1
            tally.slowest = max(tally.slowest, taken)
            assert taken < SLOWEST, f"{name} took {taken:.1f} s on {data.hex()}"
    return tally
