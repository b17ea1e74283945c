"""What people type: sources without a flag, help in either order, Ctrl-C at any time."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from emotion_stream.emotion.__main__ import COMMANDS, main
from emotion_stream.emotion.commands.picture import COMMAND as PICTURE
from emotion_stream.emotion.commands.run import COMMAND as RUN
from emotion_stream.shared.interrupt import interrupt
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.options import CommonOptions
from tests.support.pictures import SAMPLE, sample_frames

EMOTION = [sys.executable, "-m", "emotion_stream"]


@pytest.mark.parametrize(
    ("arguments", "sources"),
    [
        (["a.mp4"], ("a.mp4",)),
        (["a.mp4", "hall=rtsp://x/y"], ("a.mp4", "hall=rtsp://x/y")),
        (["a.mp4", "--mode", "live", "b.mp4"], ("a.mp4", "b.mp4")),
        (["--mode=live", "a.mp4", "--source", "b.mp4", "c.mp4"], ("a.mp4", "b.mp4", "c.mp4")),
        (["--source", "b.mp4"], ("b.mp4",)),
        (["--loop", "a.mp4"], ("a.mp4",)),
        (["--", "-x.mp4"], ("-x.mp4",)),
    ],
)
def test_sources_need_no_flag(
    arguments: list[str], sources: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Values] = []
    monkeypatch.setenv("EMOTION_SOURCE", "of.the.environment")
    for command, name in ((RUN, "source"), (PICTURE, "image")):
        given = [a.replace("--source", "--image") for a in arguments] if name == "image" else arguments
        given = [a for a in given if name == "source" or a not in ("--mode", "live", "--mode=live", "--loop")]
        assert replace(command, run=seen.append).main(given) == 0
        assert seen[-1][name] == sources


def test_help_in_either_order(capsys: pytest.CaptureFixture[str]) -> None:
    told = {}
    for command in ("run", "picture", "dead"):
        for arguments in (["help", command], [command, "--help"]):
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            assert ended.value.code == 0
            told[arguments[0], arguments[1]] = capsys.readouterr().out
        assert told["help", command] == told[command, "--help"]
    assert "usage: emotion run [SRC ...] [options]" in told["help", "run"]
    assert "usage: emotion picture [FILE ...] [options]" in told["help", "picture"]
    assert main(["help"]) == 0
    overview = capsys.readouterr().out
    assert all(name in overview for name in COMMANDS)
    assert main(["help", "pictur"]) == 2
    assert "did you mean 'picture'" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_fails_from_run_as_from_picture(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.jpg", tmp_path / "good.jpg"
    bad.write_bytes(b"no picture")
    cv2.imwrite(str(good), sample_frames()[0])
    results = tmp_path / "r.jsonl"
    done = subprocess.run(
        [*EMOTION, "run", str(bad), f"--output=jsonl={results}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "the picture could not be read" in done.stderr.splitlines()[-1]
    assert json.loads(results.read_text())["status"] == "error"
    done = subprocess.run(
        [*EMOTION, "run", str(bad), str(good), f"--output=jsonl={results}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0  # one of two: told, and the rest is there


def test_ctrl_c_behind_another_error_is_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    """A library that is stopped while it loads, such as OpenVINO, tells "initialization failed"."""

    def loads(values: Values) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as e:
            raise ImportError("initialization failed") from e

    assert Command("x", "", (), loads).main([]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["run", str(SAMPLE), "--mode=live", "--loop"], ["picture", str(SAMPLE.parent)]]
)
def test_ctrl_c_at_any_time_leaves_no_traceback(command: list[str], tmp_path: Path) -> None:
    """From the first 50 ms on, through loading and starting, to where results come."""
    results = tmp_path / "r.jsonl"
    more = [f"--output=jsonl={results}"] if command[0] == "run" else []
    for wait in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0):
        process = subprocess.Popen(
            [*EMOTION, *command, *more],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
        )
        stat = Path(f"/proc/{process.pid}/stat")
        while stat.exists() and sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13])) < 5:
            time.sleep(0.01)  # it has had 50 ms of its own, also on a busy machine
            if process.poll() is not None:
                break
        time.sleep(wait - 0.05)
        while (
            wait == 3.0 and more and process.poll() is None and not (results.exists() and results.stat().st_size)
        ):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=120)[1]
        if wait < 0.1 and "in main" not in told:
            continue  # Python was still starting itself
        assert "Traceback" not in told, (wait, told)
        assert "KeyboardInterrupt" not in told, (wait, told)
        assert process.returncode in (0, 1, 130, -signal.SIGINT), (wait, told)
    if command[0] == "run":
        assert "frames       " in told  # the summary of what there is
    assert not list(tmp_path.glob(".*.lock"))


def test_a_ctrl_c_that_nobody_heard_ends_a_run_all_the_same() -> None:
    """Python drops what is raised within a weak reference's callback, as while modules load."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGINT, interrupt)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        service = Service("run", "", CommonOptions())
        service.start()
        assert service.stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
