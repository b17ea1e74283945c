"""Two runs on one file: the second is told which has it, and nothing of the first's is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from emotion_stream.shared.claims import Claim
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.locks import MARK, hold, lock_path
from tests.support.pictures import SAMPLE

EMOTION = [sys.executable, "-m", "emotion_stream"]
HOLD = """
import sys, time
from pathlib import Path
from emotion_stream.shared.claims import Claim
from emotion_stream.shared.locks import hold
with hold([Claim(Path(sys.argv[1]), "x")]):
    print("held", flush=True)
    time.sleep(600)
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that holds a file."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_has_it_under_any_name(tmp_path: Path) -> None:
    path, link = tmp_path / "r.jsonl", tmp_path / "link"
    path.write_text("")
    link.symlink_to(path)
    with holder(path) as process:
        for name in (path, link, tmp_path / ".." / tmp_path.name / "r.jsonl"):
            with pytest.raises(
                UsageError, match=rf"another run is writing .*r\.jsonl \(process {process.pid} on "
            ):
                hold([Claim(tmp_path / "free", "y"), Claim(name, "x")]).__enter__()
        assert sorted(p.name for p in tmp_path.iterdir()) == [".r.jsonl.lock", "link", "r.jsonl"]
        process.send_signal(signal.SIGKILL)
    with hold([Claim(path, "x")]):  # the dead hold nothing
        assert lock_path(path).read_bytes().startswith(MARK + f"process {os.getpid()} ".encode())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "r.jsonl"]


def test_somebodys_file_of_that_name_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    lock_path(path).write_text("precious")
    with hold([Claim(path, "x")]), pytest.raises(UsageError):
        hold([Claim(path, "x")]).__enter__()
    assert lock_path(path).read_text() == "precious"


def test_devices_and_folders_that_take_no_lock_hold_nobody_up(tmp_path: Path) -> None:
    with hold(
        [Claim(Path("/dev/null"), "x"), Claim(Path("/proc/self/comm"), "y"), Claim(tmp_path / "gone" / "z", "z")]
    ):
        pass


def test_of_two_runs_on_one_file_the_second_ends_at_once(tmp_path: Path) -> None:
    results = tmp_path / "r.jsonl"
    arguments = [*EMOTION, "run", f"--source={SAMPLE}", f"--output=jsonl={results}"]
    with holder(results) as first:
        second = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
        first.kill()
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert f"(process {first.pid} on " in second.stderr
    assert not results.exists()
