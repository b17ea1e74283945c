"""The chaos program in its short form, as `make chaos` runs it, and whether it sees what it looks for."""

import json
import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emotion_stream.shared.messages.codec import encode_frame
from emotion_stream.shared.messages.types import Frame
from emotion_stream.shared.streams.shard import Streams
from tests.chaos.checks import Tail, Verdict, check_faces, check_set_aside
from tests.chaos.faults import LETTERS, nobody
from tests.chaos.live import recovered
from tests.chaos.lossless import MOST_IDLE, detectors, least_busy
from tests.chaos.report import Outcome, Report


@pytest.mark.timeout(900)
def test_nothing_is_lost_whatever_happens(short_path: Path) -> None:
    env = {**os.environ, "CHAOS_KEEP": str(short_path)}
    command = [sys.executable, "-m", "tests.chaos"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, env=env, check=False)
    print(done.stdout)  # with the seed
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_process_that_spins_is_told_from_one_that_starts() -> None:
    """It is looked at until it is quiet: one that imports its libraries soon is, one that spins never."""
    began = time.monotonic()

    def used() -> dict[str, float]:
        passed = time.monotonic() - began
        return {"starts": min(passed, 1.5), "spins": passed, "spins half": passed / 2, "waits": passed / 50}

    busy = least_busy(used, 3)
    assert busy["starts"] < MOST_IDLE > busy["waits"]
    assert busy["spins"] > busy["spins half"] >= MOST_IDLE


def test_a_detector_without_any_face_is_noticed(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    frame = {
        "camera": "c",
        "epoch": "e",
        "seq": 0,
        "status": "ok",
        "error": None,
        "captured_at": "",
        "latency_ms": 1,
    }
    face = {"box": [0, 0, 9, 9], "emotion": "yes"}

    def wrong(*landmarks: object) -> list[str]:
        results.write_text(
            "".join(json.dumps(frame | {"faces": [face | {"landmarks": x}]}) + "\n" for x in landmarks)
        )
        verdict = Verdict()
        check_faces(verdict, results, {"haar", "yunet"})
        return verdict.wrong

    assert wrong(None, [[1, 2]] * 5) == []
    assert wrong(None, None) == ["faces of ['haar'], not of ['haar', 'yunet']"]
    assert wrong([[1, 2]] * 5) == ["faces of ['yunet'], not of ['haar', 'yunet']"]


def test_both_detectors_work_beside_each_other_unless_one_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAOS_DETECTOR", raising=False)
    assert [options.detector for options in detectors()] == ["haar", "yunet"]
    monkeypatch.setenv("CHAOS_DETECTOR", "yunet")
    assert [options.detector for options in detectors()] == ["yunet", "yunet"]


def test_a_view_that_takes_too_long_to_recover_fails_the_run() -> None:
    report = Report(1, most_recovery=2)
    report.add("live", Outcome(Verdict(), recovery={"SIGKILL sink": 1.9}))
    assert not report.failed
    report.add("live", Outcome(Verdict(), recovery={"SIGKILL sink": 2.1}))
    assert report.failed


def test_poison_that_is_not_set_aside_is_noticed(streams: Streams) -> None:
    """One dead letter for each piece of it, with its reason."""
    names = dict.fromkeys(LETTERS, 1)
    group, reason = {b"group": b"detector"}, {b"reason": b"not a message: x"}
    frame = {b"field:" + k: v for k, v in encode_frame(Frame(nobody(random.Random(1)), b"")).items()}

    def wrong() -> list[str]:
        verdict = Verdict()
        check_set_aside(verdict, streams, names)
        return [text.partition(":")[0] for text in verdict.wrong]

    for letter, count in ((group | reason, 20), (group | frame, 5)):  # these five without a reason
        for _ in range(count):
            streams.client.xadd(streams.keys.dead, letter)  # type: ignore[arg-type]
    assert wrong() == ["poison messages"]
    for _ in range(5):
        streams.client.xadd(streams.keys.dead, group | frame | reason)  # type: ignore[arg-type]
    assert wrong() == []
    names["garbage into every stream"] = 2
    assert wrong() == ["garbage into every stream"]


def test_a_view_has_recovered_when_it_is_young_and_stays_so(tmp_path: Path) -> None:
    """One young picture is not enough: what is on the screen until the next one comes ages, too."""
    results = tmp_path / "results.jsonl"
    fault = time.time() - 20

    def show(camera: str, *pictures: tuple[float, float]) -> None:
        """Lines with their seconds of capture and of being shown, both from the fault on."""
        with results.open("a") as file:
            for captured, shown in pictures:
                at = datetime.fromtimestamp(fault + captured, UTC).isoformat()
                line = {"camera": camera, "epoch": "e", "seq": 0, "status": "ok", "error": None, "faces": []}
                file.write(json.dumps(line | {"captured_at": at, "latency_ms": 1000 * (shown - captured)}) + "\n")

    steady = [(t / 10, t / 10 + 0.05) for t in range(-10, 60)]
    show("left", *steady)
    show("right", *steady[:12])  # until 0.15 s after the fault
    show("right", *((t, t + 1.2) for t in (0.2, 0.3)))  # too old
    show("right", (1.45, 1.5), (3.05, 3.1))  # young, but then nothing for too long
    show("right", *((t / 10, t / 10 + 0.05) for t in range(32, 60)))
    assert recovered(Tail(results), fault) == pytest.approx(3.1, abs=1e-3)
    assert recovered(Tail(results), fault + 4) == 0
