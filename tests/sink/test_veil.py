"""Faces are hidden from the first frame in which they can be seen, where frames are held back."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from emotion_stream.shared.messages.types import Box, Emotions, FrameInfo, Mode, Prediction
from emotion_stream.sink.drawing.privacy import hide, pixelate
from emotion_stream.sink.order import Released
from emotion_stream.sink.results.output import Image
from emotion_stream.sink.veil import IDLE, LOOK_FRAMES, MOST_FRAMES, Veil
from tests.support.pictures import portraits

SIZE = 640, 360
SIDE = 120
ENTERS = 20
"""The frame in which a face begins to come in from the left."""


def face_at(n: int) -> Box:
    """Where the face is in a frame; outside of the picture before it enters."""
    return Box(-SIDE + 5 * max(0, n - ENTERS), 100, SIDE, SIDE)


def frame(n: int) -> Image:
    """A textured wall, before which a portrait slides in."""
    rng = np.random.default_rng(5)
    wall = cv2.resize(rng.integers(60, 200, (36, 64, 3), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
    picture = cv2.resize(portraits()[1][20:180, 20:180], (SIDE, SIDE))
    box = face_at(n)
    left = max(0, box.x)
    if (shown := min(SIZE[0], box.x + SIDE) - left) > 0:
        wall[box.y : box.y + SIDE, left : left + shown] = picture[:, left - box.x : left - box.x + shown]
    return np.asarray(wall, np.uint8)


def jpeg(image: Image) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def message(n: int, boxes: Sequence[Box], mode: Mode = "lossless", **changes: object) -> Emotions:
    info = FrameInfo("c", "s", "e", n, 1e9 + n / 25, n / 25, *SIZE, mode, interval=0.04)
    faces = tuple(Prediction(box, 5.0, (1.0,)) for box in boxes)
    return Emotions(replace(info, **changes), f"{n + 1}-0", ("happy",), faces)  # type: ignore[arg-type]


def put(veil: Veil, told: Emotions, image: Image | None = None, now: float = 0.0) -> None:
    pictures = {} if image is None else {told.frame_id: jpeg(image)}
    veil.take([Released("c", "e", told, (told.frame_id,))], pictures, now)


def covered(box: Box, boxes: Sequence[Box]) -> float:
    """Share of what is seen of a face that is hidden."""
    before = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    before[::2, ::2] = 255
    after = before.copy()
    for one in boxes:
        pixelate(after, one)
    seen = np.s_[max(0, box.y) : box.y + box.height, max(0, box.x) : box.x + box.width]
    return float((before[seen] != after[seen]).any(axis=2).mean() / 0.75) if before[seen].size else 1.0


def test_a_face_that_is_found_late_is_hidden_along_its_way() -> None:
    veil = Veil(delay=0.0)
    for n in range(60):
        found = [face_at(n)] if n >= ENTERS + 18 else []  # the detector needs all of it, and some time
        put(veil, message(n, found), frame(n))
    shown = veil.due(0.0, all_of_them=True)
    assert [item.message.info.seq for item in shown if item.message] == list(range(60))
    for n, item in enumerate(shown):
        assert item.message is not None
        boxes = veil.lift(item.message.frame_id).boxes
        if n > ENTERS + 3:  # 15 pixels of it
            assert covered(face_at(n), boxes) > 0.95, n
        elif n < ENTERS - 5:
            assert all(b.x + b.width < SIDE / 2 for b in boxes), n  # nobody is there yet: a strip at most


def test_a_face_that_is_missed_for_a_while_stays_hidden_where_it_is() -> None:
    veil = Veil(delay=0.0)
    for n in range(40, 65):
        put(veil, message(n, [face_at(n)] if n < 45 else []), frame(n))
    for item in veil.due(0.0, all_of_them=True):
        assert item.message is not None
        seq = item.message.info.seq
        assert covered(face_at(seq), veil.lift(item.message.frame_id).boxes) > 0.95, seq


def test_lossless_frames_wait_for_those_behind_them_and_no_longer_than_they_must() -> None:
    veil = Veil(delay=0.0)
    for n in range(LOOK_FRAMES):
        put(veil, message(n, []))
        assert veil.due(0.0) == []
    put(veil, message(LOOK_FRAMES, []))
    assert [item.ids for item in veil.due(0.0)] == [("1-0",)]
    assert veil.due(IDLE) == []
    assert len(veil.due(IDLE + 0.1)) == LOOK_FRAMES  # its producer has gone, or waits for us
    for n in range(100, 110):
        put(veil, message(n, []))
    veil.end({"c": ("e", 111)})
    assert veil.due(0.0) == []
    veil.end({"c": ("e", 110), "other": ("e", 3)})
    assert len(veil.due(0.0)) == 10
    for n in range(200, 200 + MOST_FRAMES + 4):
        put(veil, message(n, [], media_time=8.0))
    assert len(veil.due(0.0)) == 4


def test_live_frames_wait_for_the_delay() -> None:
    for delay, held in ((0.0, 0), (0.5, 1)):
        veil = Veil(delay=delay)
        put(veil, message(0, [], "live"), now=10.0)
        put(veil, message(1, [], "live"), now=10.2)
        assert len(veil.due(10.6)) == 2 - held
        assert veil.holding == bool(held)


def test_a_still_waits_for_nothing_and_what_comes_between_keeps_its_place() -> None:
    veil = Veil(delay=1.0)
    put(veil, message(0, [], still=True))
    assert len(veil.due(0.0)) == 1
    put(veil, message(1, []))
    veil.take([Released("c", "e", None, ("9-9",), missing=2)], {}, 0.0)  # acknowledged behind what waits
    assert veil.due(0.0) == []
    assert [item.ids for item in veil.due(0.0, all_of_them=True)] == [("2-0",), ("9-9",)]


def test_hide_takes_what_later_frames_tell() -> None:
    image = frame(70)
    from tests.sink.tracking.test_hidden import result

    hidden = hide(image, result([]), [face_at(70)])
    box = face_at(70)
    part = np.s_[box.y : box.y + SIDE, box.x : box.x + SIDE]
    assert np.abs(np.diff(hidden[part].astype(int), axis=1)).mean() < 3


@pytest.mark.parametrize("mode", ["lossless", "live"])
def test_no_frame_of_a_run_shows_a_face_that_enters(tmp_path: Path, mode: str) -> None:
    """The whole pipeline: in no frame of the video a face can be seen, of which 16 pixels and more are in it."""
    clip, video = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for n in range(75):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(n), format="bgr24")))
        container.mux(stream.encode())
    extra = ["--blur-delay=2", "--max-age=30"] if mode == "live" else []
    done = subprocess.run(
        [sys.executable, "-m", "emotion_stream", "run", str(clip), f"--mode={mode}", "--blur-faces", *extra,
         f"--output=video={video}", f"--output=jsonl={tmp_path / 'r.jsonl'}"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    with av.open(str(video)) as container:
        shown = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]
    if mode == "live" and len(shown) != 75:
        pytest.skip("the machine is too busy to show every live frame")
    first = next(line["seq"] for line in lines if line["faces"])
    assert first > ENTERS + 4  # it is not found at once: without waiting, it would show
    assert mode == "live" or len(lines) == 75
    for n, image in enumerate(shown):
        box = face_at(n)
        right = box.x + SIDE
        if right < 16:
            continue
        part = np.s_[box.y + 15 : box.y + SIDE - 15, max(0, box.x) + 3 : right - 3]
        plain, now = frame(n)[part].astype(float), image[part].astype(float)
        fine = [(p - cv2.GaussianBlur(p, (0, 0), 4)).ravel() for p in (plain, now)]
        alike = float(np.corrcoef(fine[0], fine[1])[0, 1])  # in its details
        assert alike < 0.4, (n, alike)
