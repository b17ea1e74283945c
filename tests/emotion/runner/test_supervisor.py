"""The supervisor with real processes that crash."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from emotion_stream.emotion.runner.supervisor import MOST_CRASHES, NICE, RESTART_PAUSE, Plan, Supervisor
from emotion_stream.shared.errors import EmotionError, UsageError


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that says something on standard error and ends with the code it is told."""
    (tmp_path / "ends.py").write_text(
        "import sys, os, signal\n"
        "print('emotion ends: the last word', file=sys.stderr, flush=True)\n"
        "code = int(sys.argv[1])\n"
        "os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "ends"


def check_until_over(supervisor: Supervisor, marks: list[int]) -> None:
    deadline = time.monotonic() + 30
    while supervisor.running("ends"):
        supervisor.check({"ends": marks.pop(0) if len(marks) > 1 else marks[0]})
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_crash_loop_ends_with_the_reason(tmp_path: Path, module: str) -> None:
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(Plan("ends-0", module, ["-9"]))
    with pytest.raises(EmotionError, match=r"5 times in a row .* \(last: SIGKILL\): .*the last word"):
        check_until_over(supervisor, [0])
    assert supervisor.restarts == MOST_CRASHES - 1
    supervisor.stop()


def test_progress_between_crashes_is_forgiven(tmp_path: Path, module: str) -> None:
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(Plan("ends-0", module, ["-9"]))
    with pytest.raises(EmotionError):
        check_until_over(supervisor, [*range(100), 100])
    assert supervisor.restarts > MOST_CRASHES
    supervisor.stop()


@pytest.mark.parametrize(("code", "error"), [(1, EmotionError), (2, UsageError)])
def test_a_process_that_gives_up_is_believed(
    tmp_path: Path, module: str, code: int, error: type[EmotionError]
) -> None:
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(Plan("ends-0", module, [str(code)]))
    with pytest.raises(error, match=r"^ends: the last word$"):
        check_until_over(supervisor, [0])
    supervisor.stop()


WAITS = """\
import threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at threads in /proc")
@pytest.mark.parametrize(("gives_way", "nice"), [(False, 0), (True, NICE)])
def test_a_process_can_let_the_others_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gives_way: bool, nice: int
) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(Plan("waits-0", "waits", []))
    pid = supervisor.pids("waits")["waits-0"]
    threads = Path(f"/proc/{pid}/task")
    try:
        while len(list(threads.iterdir())) < 2:
            time.sleep(0.01)
        if gives_way:
            supervisor.give_way("waits-0")
        for thread in threads.iterdir():
            now = os.getpriority(os.PRIO_PROCESS, int(thread.name))
            assert now == min(19, os.getpriority(os.PRIO_PROCESS, 0) + nice)
        group = Path(f"/proc/{pid}/autogroup")
        told = group.read_text("ascii").split() if group.exists() else []  # not every kernel has them
        if told and os.geteuid() == 0:  # others are refused where another one wrote within the last 0.1 s
            assert told[-1] == str(nice)
    finally:
        supervisor.stop()


def test_a_process_that_is_started_again_lets_the_others_go_first_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(Plan("waits-0", "waits", []))
    supervisor.give_way("waits-0")
    first = supervisor.pids("waits")["waits-0"]
    try:
        os.kill(first, signal.SIGKILL)
        while (pid := supervisor.pids("waits")["waits-0"]) == first:
            time.sleep(0.01)
            supervisor.check({})
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE)
    finally:
        supervisor.stop()


def test_no_process_gets_ahead_of_others_because_all_are_nice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to = []
    monkeypatch.setattr(os, "getpriority", lambda which, pid: 15)
    monkeypatch.setattr(os, "setpriority", lambda which, pid, nice: set_to.append(nice))
    (tmp_path / "waits.py").write_text(WAITS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(Plan("waits-0", "waits", []))
    supervisor.give_way("waits-0")
    supervisor.stop()
    assert set_to == [15 + NICE]  # the system makes that 19


def test_a_finished_process_is_not_restarted(tmp_path: Path, module: str) -> None:
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(Plan("ends-0", module, ["0"], ends=True))
    check_until_over(supervisor, [0])
    assert supervisor.restarts == 0


def test_a_worker_must_not_just_leave(tmp_path: Path, module: str) -> None:
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(Plan("ends-0", module, ["0"]))
    with pytest.raises(EmotionError, match=r"5 times in a row .* \(last: exit code 0\)"):
        check_until_over(supervisor, [0])
    supervisor.stop()


def test_the_first_crash_is_mended_at_once(tmp_path: Path, module: str) -> None:
    """A live view waits for it; only what crashes again has to wait."""
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(Plan("ends-0", module, ["-9"]))
    restarts = []
    for _ in range(2):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # its only child
        supervisor.check({"ends": 0})
        restarts.append(supervisor.restarts)
    time.sleep(RESTART_PAUSE)
    supervisor.check({"ends": 0})
    assert [*restarts, supervisor.restarts] == [1, 1, 2]
    supervisor.stop()


def test_a_sighup_waits_until_a_service_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is just being started again is not ended by it."""
    (tmp_path / "ends.py").write_text(
        "import os, signal, sys\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "from emotion_stream.shared.process.service import Service\n"
        "from emotion_stream.shared.settings.options import CommonOptions\n"
        "service = Service('producer', '0', CommonOptions())\n"
        "service.start()\n"
        "print('asked', service.asked.is_set(), file=sys.stderr)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(Plan("ends-0", "ends", [], ends=True))
    check_until_over(supervisor, [0])
    assert supervisor.restarts == 0
    assert supervisor.last_words("ends-0") == "asked True"
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
