"""What a run refuses in one line, and what it leaves behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from emotion_stream.emotion.runner import launch
from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.shard import Streams
from tests.conftest import append_frames
from tests.emotion.conftest import Launch, command
from tests.emotion.test_run import FAST, LIMIT, check_lossless, emotion, lines, sample_frames, wait_for, write_clip

BAD = {
    "no source": ((), 2, "--source"),
    "unknown flag": (("--sauce=sample",), 2, "--sauce"),
    "wrong value": (("--source=sample", "--detectors=many"), 2, "--detectors"),
    "unknown output": (("--source=sample", "--output=hologram=x"), 2, "hologram"),
    "no such file": (("--source=nowhere.mp4",), 1, "nowhere.mp4"),
    "a text file": (("--source={tmp}/text.mp4",), 1, "text.mp4"),
    "an empty folder": (("--source={tmp}/empty",), 1, "no pictures"),
    "no such camera": (("--source=97",), 1, "97"),
    "a URL without a host": (("rtsp:///stream",), 2, "no host"),
    "a URL with a port and no host": (("http://:8080/video",), 2, "no host"),
    "an unknown host": (("rtsp://user:secret@nobody.invalid/stream",), 1, "unknown host nobody.invalid"),
    "unreachable server": (("--source=sample", "--redis=redis://:secret@127.0.0.1:1/0"), 1, "cannot be reached"),
    "no such cascade": (("--source=sample", "--cascade=cat"), 2, "cat"),
    "no such model": (("--source=sample", "--model={tmp}"), 1, "manifest.json"),
    "no such precision": (("--source=sample", "--precision=int2"), 2, "int2"),
    "no such head": (("--source=sample", "--head=valence"), 2, "valence"),
    "no such prior": (("--source=sample", "--prior=lots"), 2, "natural, balanced or a number from 0 to 1"),
    "several shards": (("--source=sample", "--shards=2"), 2, "--shards"),
    "no file for the summary": (("--source=sample", "--summary-json={tmp}"), 1, "it is a folder"),
    "no folder for the summary": (("--source=sample", "--summary-json={tmp}/none/s.json"), 1, "no folder"),
    "nowhere to write": (("--source=sample", "--output=jsonl=/proc/none/x.jsonl"), 1, "/proc/none"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case: str, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("I am a text")
    (tmp_path / "empty").mkdir()
    arguments, code, word = BAD[case]
    done = emotion("run", *(a.format(tmp=tmp_path) for a in arguments))
    assert done.returncode == code, done.stderr
    told = [line for line in done.stderr.splitlines() if " INFO " not in line]
    if "secret" in " ".join(arguments):
        assert "a password on the command line" in told.pop(0)
    assert len(told) == 1, done.stderr
    assert word in told[0]
    assert "secret" not in done.stderr


def test_an_output_must_not_overwrite_a_source(tmp_path: Path) -> None:
    picture = tmp_path / "face.jpg"
    cv2.imwrite(str(picture), sample_frames(1)[0])
    before = picture.read_bytes()
    for source in (picture, tmp_path):
        done = emotion("run", "--source", str(source), f"--output=jsonl={picture}")
        assert done.returncode == 2
        assert "would overwrite a source" in done.stderr
    assert picture.read_bytes() == before


def test_a_wrong_setting_in_the_environment_is_told() -> None:
    done = emotion("run", "--source=sample", EMOTION_DETECTRS="2")
    assert done.returncode == 2
    assert "EMOTION_DETECTRS" in done.stderr
    assert "did you mean 'detectors'" in done.stderr


def test_stages_can_be_run_by_hand(tmp_path: Path, server: EmbeddedServer, streams: Streams) -> None:
    """Each stage by its own command, as containers run them; every one ends on SIGTERM."""
    append_frames(streams, 6)
    out = tmp_path / "results.jsonl"
    link = [f"--redis={server.url}", f"--namespace={streams.keys.namespace}"]
    stages = [
        [sys.executable, "-m", "emotion_stream.detector_worker", *link, *FAST],
        command("classifier", *link),
        command("sink", *link, f"--output=jsonl={out}"),
    ]
    processes = [subprocess.Popen(stage, stderr=subprocess.PIPE, text=True) for stage in stages]
    try:
        wait_for(out, 6, processes[-1])
    finally:
        for process in processes:
            process.terminate()
        told = [process.communicate(timeout=20)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told
    check_lossless(lines(out), 6)
    own = connect(server.url)
    assert own.hgetall(streams.keys.workers) == {}
    own.close()


def test_nobody_else_may_look_into_the_folder_of_a_run(tmp_path: Path, start: Launch) -> None:
    """Settings with passwords and pictures of people lie in it."""
    clip = write_clip(tmp_path / "clip.mp4", 200)
    out = tmp_path / "results.jsonl"
    start("run", "--source", str(clip), f"--output=jsonl={out}", f"--state={tmp_path}", "--detectors=1", *FAST)
    deadline = time.monotonic() + LIMIT
    while not (found := list(tmp_path.glob("run-*/producer.toml"))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert found[0].stat().st_mode & 0o777 == 0o600
    assert found[0].parent.stat().st_mode & 0o777 == 0o700


def test_a_password_does_not_stay_in_the_folder_of_a_run_that_failed(tmp_path: Path) -> None:
    """Logs and data stay, for whoever wants to know why."""
    environment = {**os.environ, "EMOTION_SOURCE": "rtsp://me:2026,geheim@127.0.0.1:1/x"}
    state = tmp_path / "state"
    command = [
        sys.executable,
        "-P",
        "-m",
        "emotion_stream",
        "run",
        f"--output=jsonl={tmp_path}/r",
        "--mode=lossless",
    ]
    done = subprocess.run(
        [*command, f"--state={state}", "--detectors=1", *FAST],
        env=environment, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert (done.returncode, "rtsp://me:***@127.0.0.1:1/x: cannot be opened" in done.stderr) == (1, True)
    assert "geheim" not in done.stderr
    assert list(state.glob("run-*/logs/*"))
    assert [path for path in state.rglob("*") if path.is_file() and b"geheim" in path.read_bytes()] == []


def test_the_server_answers_before_the_workers_are_started(tmp_path: Path) -> None:
    """They give up after a while, and on a busy machine the runner takes longer than that to load."""
    processes = launch.Launch({"source": ("sample",)}, tmp_path)
    try:
        processes.begin()
        assert processes.embedded is not None
        assert connect(processes.embedded.url).ping()
        assert processes.supervisor.running("classifier_worker") == 1
    finally:
        processes.stop()


def test_serving_imports_no_tensorflow() -> None:
    code = (
        "import sys\nfrom emotion_stream.emotion.commands import run\n"
        "from emotion_stream import classifier_worker, detector_worker, producer, sink\n"
        "import emotion_stream.producer.__main__, emotion_stream.detector_worker.__main__\n"
        "import emotion_stream.classifier_worker.__main__, emotion_stream.sink.__main__\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
