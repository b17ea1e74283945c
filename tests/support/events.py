"""A scripted clip for tests of events, and the schema that holds every event."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import fastjsonschema
import numpy as np

from emotion_stream.shared.messages import scene
from emotion_stream.shared.messages.types import OK, Box, Emotions, FrameInfo, Prediction
from emotion_stream.sink.events.event import Event, Moment, Subject
from emotion_stream.sink.results.output import Result
from emotion_stream.sink.tracking.follow import Follower, following

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "event.schema.json"
LABELS = ("angry", "happy", "sad")
HAPPY, SAD, UNSURE = (0.1, 0.8, 0.1), (0.1, 0.1, 0.8), (0.3, 0.4, 0.3)
FPS = 25
END = 250
"""Frames of the clip, those of its gap included."""


@cache
def validator() -> Callable[[Any], Any]:
    """Raises where an event is not as the schema says."""
    check: Callable[[Any], Any] = fastjsonschema.compile(json.loads(SCHEMA.read_text()))
    return check


def check(told: Any) -> Any:
    """`told`, if it is an event as the schema says."""
    return validator()(told)


@cache
def _looks() -> tuple[bytes, bytes]:
    """Thumbnails of two pictures that have nothing in common."""
    rng = np.random.default_rng(5)
    grays = [cv2.resize(rng.integers(0, 255, (6, 8), np.uint8), (640, 360)) for _ in range(2)]
    first, second = (scene.packed(scene.thumbnail(np.asarray(g, np.uint8), scene.shape(640, 360))) for g in grays)
    return first, second


def three_people() -> Iterator[Emotions]:
    """Ten seconds at 25 frames a second, the file `x.mp4` of the camera `hall`.

    - A, on the left, from the start; happy, sad from frame 100 on.
    - B, in the middle, from frame 10 to frame 60.
    - C, on the right, from frame 20 on; looks away in frames 40 to 51; sad in frames 110 to 119, else happy.
    - Frames 140 to 189 are missing.
    - A cut before frame 220: then all three, and B cannot be told from frame 230 on.
    """
    before, after = _looks()
    for n in range(END):
        if 140 <= n < 190:
            continue
        here = {"a": SAD if n >= 100 else HAPPY}
        if 10 <= n <= 60 or n >= 220:
            here["b"] = UNSURE if n >= 230 else HAPPY
        if n >= 20 and not 40 <= n <= 51:
            here["c"] = SAD if 110 <= n < 120 else HAPPY
        places = {"a": 50, "b": 250, "c": 450}
        faces = tuple(Prediction(Box(places[who], 100, 100, 100), 5.0, shares) for who, shares in here.items())
        look = after if n >= 220 else before
        info = FrameInfo("hall", "x.mp4", "run", n, 1e9 + n / FPS, n / FPS, 640, 360, "lossless")
        info = replace(info, interval=1 / FPS, scene=look)
        yield Emotions(info, f"{n + 1}-0", LABELS, faces, OK, 0.5)


def follower() -> Follower:
    """Without averages, so that anybody can tell which label is shown."""
    return Follower(following("4/6", 0.0, "auto"))


def result(kept: Follower, message: Emotions) -> Result:
    """A message as the sink shows it."""
    faces, unseen, cut, apart = kept.follow(message)
    return Result(message.info, message.outcome, message.labels, faces, 0.05, unseen, cut, apart)


EXPECTED = [
    # seq of the frame that tells it, kind, seq of the event, track, what else
    (3, "face_appeared", 0, 1, "happy"),
    (13, "face_appeared", 10, 2, "happy"),
    (23, "face_appeared", 20, 3, "happy"),
    (86, "face_left", 60, 2, "unseen"),
    (125, "emotion_changed", 100, 1, "happy > sad"),
    (190, "face_left", 139, 1, "unseen"),
    (190, "face_left", 139, 3, "unseen"),
    (193, "face_appeared", 190, 4, "sad"),
    (193, "face_appeared", 190, 5, "happy"),
    (220, "scene_cut", 220, None, "4 5"),
    (223, "face_appeared", 220, 6, "sad"),
    (223, "face_appeared", 220, 7, "happy"),
    (223, "face_appeared", 220, 8, "happy"),
    (250, "face_left", 249, 6, "ended"),
    (250, "face_left", 249, 7, "ended"),
    (250, "face_left", 249, 8, "ended"),
    (250, "counts", 0, None, "200 frames, 8 people"),
]
"""The events of the clip, written down by hand."""


def brief(told: dict[str, Any]) -> tuple[str, int, int | None, str]:
    """An event as EXPECTED has it, without the frame that tells it."""
    kind = told["kind"]
    if kind == "emotion_changed":
        what = f"{told['from']} > {told['to']}"
    elif kind == "scene_cut":
        what = " ".join(map(str, told["tracks"]))
    elif kind == "counts":
        what = f"{told['frames']} frames, {told['people']} people"
    else:
        what = told["reason"] if "reason" in told else told["label"]
    return kind, told["seq"], told.get("track"), what


def make_event(n: int = 0, camera: str = "cam", name: str = "Cam") -> Event:
    """Somebody appears in frame `n`."""
    subject = Subject(n + 1, Box(40, 100, 120, 120), "happy", 0.9)
    return Event("face_appeared", camera, name, Moment("e", n, n / 10, 1e9 + n / 10), 1e9 + n, subject, 0.12)


def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
