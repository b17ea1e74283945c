"""`--analyze-fps`: few frames are searched, every frame is shown, and the faces are carried on in between."""

import csv
import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from emotion_stream.detector_worker.detector import Detector
from emotion_stream.producer.pace import Budget
from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.codec import decode_frame, encode_frame
from emotion_stream.shared.messages.scene import cut, unpacked
from emotion_stream.shared.messages.types import Box, Emotions, Frame, FrameInfo, ModelSpec, Prediction
from emotion_stream.shared.settings.options import DetectorOptions
from emotion_stream.sink.tracking.cuts import Scene
from emotion_stream.sink.tracking.follow import Follower, following
from tests.support.pictures import SAMPLE, encode, sample_frames

HAPPY = (0.1, 0.8, 0.1)


@pytest.mark.parametrize(("rate", "budget"), [(30, 10), (25, 10), (30, 29.97), (60, 5), (12, 0.5), (7, 3)])
def test_a_budget_is_used_up_and_never_exceeded(rate: float, budget: float) -> None:
    """Over any whole number of seconds, whatever the rate of the medium."""
    allowed = Budget(budget)
    times = [n / rate for n in range(int(20 * rate))]
    searched = [time for time in times if allowed.allows(time)]
    assert len(searched) == pytest.approx(20 * budget, abs=1)
    assert all(later - earlier > 0.5 / budget - 1 / rate for earlier, later in pairwise(searched))


def test_without_a_budget_and_below_it_all_frames_are_searched() -> None:
    times = [n / 25 for n in range(50)]
    unlimited, plenty = Budget(None), Budget(30)
    assert all(unlimited.allows(time) and plenty.allows(time) for time in times)


def test_cameras_are_searched_at_different_instants() -> None:
    times = [n / 30 for n in range(90)]
    searched = []
    for phase in (0.0, 0.34, 0.67):
        budget = Budget(10)
        searched.append({n for n, time in enumerate(times) if budget.allows(time, phase)} - {0, 1, 2})
    assert [len(frames) for frames in searched] == [29, 29, 29]
    assert len(set.union(*searched)) == 87


def test_a_loop_or_a_jump_back_begins_with_a_search() -> None:
    budget = Budget(1)
    assert [budget.allows(time) for time in (5.0, 5.5, 0.0, 0.5)] == [True, False, True, False]


def test_it_travels_and_older_messages_are_searched() -> None:
    info = FrameInfo("a", "x", "e", 0, 1e9, 0.0, 640, 360, "live", analyzed=False)
    fields = encode_frame(Frame(info, b"jpeg"))
    assert decode_frame(fields, "1-0").info == info
    assert b"analyzed" not in encode_frame(Frame(replace(info, analyzed=True), b"jpeg"))[b"h"]
    broken = fields[b"h"].replace(b"\xa8analyzed\xc2", b"\xa8analyzed\x07")
    with pytest.raises(DecodeError, match="analyzed"):
        decode_frame({b"h": broken, b"j": b"jpeg"}, "1-0")


@pytest.mark.parametrize("kind", ["haar", "yunet"])
def test_a_detector_passes_over_it_but_tells_what_it_looks_like(kind: Literal["haar", "yunet"]) -> None:
    detector = Detector(DetectorOptions(detector=kind), ModelSpec("m", 48, 0.0))
    detector.open()
    image = sample_frames()[115]
    info = FrameInfo("a", "x", "e", 0, 1e9, 0.0, image.shape[1], image.shape[0], "live")
    searched, passed = detector.process_hinted(
        [Frame(info, encode(image)), Frame(replace(info, seq=1, analyzed=False), encode(image))], {}
    )
    assert searched.faces
    assert not passed.faces
    assert passed.outcome.status == "ok"
    one, other = unpacked(searched.info.scene), unpacked(passed.info.scene)
    assert one is not None
    assert other is not None
    assert not cut(other, one, 1 / 30)
    assert np.abs(one.astype(int) - other).mean() < 4  # decoded at another scale


def message(seq: int, analyzed: bool, faces: list[Box], scene: bytes = b"") -> Emotions:
    info = FrameInfo("a", "x", "e", seq, 1e9, seq / 30, 640, 360, "live", scene=scene, analyzed=analyzed)
    return Emotions(info, f"{seq + 1}-0", ("a", "b", "c"), tuple(Prediction(b, 5.0, HAPPY) for b in faces))


def test_faces_are_carried_on_along_their_way() -> None:
    """Somebody walks by 3 pixels a frame, and every third is searched: the box follows, the label stays."""
    follower = Follower(following("4/6", 0.5, "off"))
    off = []
    for seq in range(60):
        box = Box(40 + 3 * seq, 100, 90, 90)
        faces, unseen, ended, _ = follower.follow(message(seq, seq % 3 == 0, [box] if seq % 3 == 0 else []))
        assert len(faces) == 1
        assert (faces[0].track, faces[0].label, unseen, ended) == (1, 1, (), False)
        assert faces[0].confirmed == (seq >= 9)  # four of the frames that were searched
        assert (faces[0].missed > 0) == (seq % 3 > 0)
        off.append(abs(faces[0].box.x - box.x))
    assert max(off[20:]) <= 8


def test_a_face_that_was_missed_stays_missed_until_it_is_found() -> None:
    follower = Follower(following("4/6", 0.5, "off"))
    box = Box(100, 100, 90, 90)
    for seq in range(30):
        follower.follow(message(seq, seq % 3 == 0, [box] if seq % 3 == 0 else []))
    follower.follow(message(30, True, []))
    faces, unseen, *_ = follower.follow(message(31, False, []))
    assert faces == ()
    assert [(face.track, face.box) for face in unseen] == [(1, box)]


def test_a_cut_is_seen_in_a_frame_that_is_not_searched() -> None:
    frames = sample_frames()
    detector = Detector(DetectorOptions(), ModelSpec("m", 48, 0.0))
    detector.open()

    def look(image: object) -> bytes:
        data = encode(image)  # type: ignore[arg-type]
        info = FrameInfo("a", "x", "e", 0, 1e9, 0.0, 640, 360, "live", analyzed=False)
        return detector.process([Frame(info, data)])[0].info.scene

    one, other = look(frames[115]), look(frames[115][::-1, ::-1])
    assert Scene(one, 0.0).ends(replace(message(1, False, []).info, scene=other))
    follower = Follower(following("1/1", 0.5, "off"))
    faces, *_ = follower.follow(message(0, True, [Box(100, 100, 90, 90)], one))
    assert len(faces) == 1
    assert follower.follow(message(1, False, [], other)) == ((), (), True, False)
    assert follower.follow(message(2, False, [], other)) == ((), (), False, False)


def test_a_successor_carries_on_as_the_sink_before_it_would() -> None:
    rules = following("4/6", 0.5, "off")
    first, second = Follower(rules), Follower(rules)
    for seq in range(20):
        first.follow(message(seq, seq % 4 == 0, [Box(100 + seq, 100, 90, 90)] if seq % 4 == 0 else []))
    second.resume("a", first.state("a"))
    assert second.follow(message(20, False, [])) == first.follow(message(20, False, []))


def test_a_run_shows_every_frame_and_says_which_were_searched(tmp_path: Path) -> None:
    outputs = [f"--output={kind}={tmp_path / kind}" for kind in ("jsonl", "csv", "sqlite")]
    command = [sys.executable, "-m", "emotion_stream", "run", str(SAMPLE), "--mode=lossless", "--analyze-fps=5"]
    done = subprocess.run([*command, *outputs], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    assert len(records) == len(sample_frames())
    searched = [record for record in records if record["analyzed"]]
    assert len(searched) == pytest.approx(records[-1]["time"] * 5, abs=2)
    assert all(face["score"] == 0 for r in records if not r["analyzed"] for face in r["faces"])
    carried = sum(bool(r["faces"]) for r in records if not r["analyzed"])
    assert carried > len(records) / 2
    with (tmp_path / "csv").open() as file:
        told = {int(row["seq"]): row["analyzed"] == "1" for row in csv.DictReader(file)}
    with sqlite3.connect(tmp_path / "sqlite") as db:
        stored = {seq: bool(analyzed) for seq, analyzed in db.execute("SELECT seq, analyzed FROM frames")}
    assert told == stored == {record["seq"]: record["analyzed"] for record in records}
