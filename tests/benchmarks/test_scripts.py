"""The small benchmarks explain themselves, and tell bad input in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = (
    "cascades", "detectors", "engines", "jitter", "quality", "smaller", "turned", "turns",
    "outputs.events", "outputs.web", "video.near", "video.pans", "video.tracks",
)  # fmt: skip


def call(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, timeout=60)


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_explains_itself(name: str) -> None:
    done = call(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: python -m benchmarks.{name}" in done.stdout
    assert "Measure" in done.stdout or "Compare" in done.stdout


@pytest.mark.parametrize(
    ("name", "argument", "code", "words"),
    [
        ("cascades", "/nowhere", 2, "/nowhere holds no faces/training.xml"),
        ("engines", "nothing", 1, "engines: no model in nothing"),
        ("jitter", "/nowhere", 1, "jitter: no data at /nowhere"),
        ("quality", "/nowhere.mp4", 1, "quality: source /nowhere.mp4: no such file"),
        ("video.near", "/nowhere.mp4", 1, "video.near: source /nowhere.mp4: no such file"),
        ("smaller", "/nowhere.mp4", 1, "smaller: source /nowhere.mp4: no such file"),
        ("turns", "/nowhere", 1, "turns: /nowhere is no checkout of this project"),
        ("turned", "/nowhere.npz", 1, "No such file"),
        ("outputs.web", "soon", 2, "'soon' is no number of seconds"),
        ("outputs.events", "0", 2, "'0' is no whole number from 1 on"),
    ],
)
def test_bad_input_is_told_in_one_line(name: str, argument: str, code: int, words: str) -> None:
    done = call(name, argument)
    assert done.returncode == code
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_two_checkouts_take_turns() -> None:
    root = Path(__file__).resolve().parents[2]
    done = call("turns", str(root), "--frames=20", "--rounds=1")
    assert done.returncode == 0, done.stderr
    assert f"| {root.name} " in done.stdout
    assert "| this one " in done.stdout
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        f"round 1, {root.name}",
        "round 1, this one",
    ]
