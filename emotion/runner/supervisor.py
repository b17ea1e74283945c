"""Worker processes of one run: started, watched, restarted, stopped."""

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import emotion_stream
from emotion_stream.shared.errors import EmotionError, UsageError

log = logging.getLogger(__name__)

MOST_CRASHES = 5
"""Crashes of one stage in a row, without progress in between, that end the run."""
ROOT = Path(emotion_stream.__file__).resolve().parents[1]
"""Where the package `emotion_stream` lies."""
RESTART_PAUSE = 0.2
"""Seconds to wait for each crash that came before in the same row; after the first there is no reason to wait."""
NEWS_BYTES = 1 << 20
NICE = 10
"""By how much a process is nicer than others that gives way to them: it gets a tenth of their time."""
RETIRES_WITHIN = 30.0
"""Seconds that a process gets to finish what it holds when it is not needed any more."""
WORTH_TELLING = re.compile(
    r"^[0-9: .-]*(NOTICE|WARNING|ERROR|CRITICAL) |\"level\": \"(NOTICE|WARNING|ERROR|CRITICAL)\"", re.IGNORECASE
)
"""How a log line begins, or the field of a JSON line, that the user of a run should see."""
FATAL = (EmotionError.exit_code, UsageError.exit_code)
"""Exit codes of a process that said itself what is wrong: starting it again would not help."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One process to run. `module` is a stage's package; `name` is stable over restarts; `ends` says that it may
    end by itself."""

    name: str
    module: str
    arguments: Sequence[str]
    threads: int = 1
    ends: bool = False
    keep_stdout: bool = False


@dataclass(slots=True)
class _Child:
    plan: Plan
    process: "subprocess.Popen[bytes]"
    finished: bool = False
    gives_way: bool = False
    restart_at: float = 0.0
    kill_at: float | None = None


class Supervisor:
    """Runs processes in sessions of their own, so that Ctrl-C reaches only the runner, which drains them."""

    def __init__(self, logs: Path, package: str = "") -> None:
        """`logs` is the folder for their standard error, `package` (optional) what holds their modules."""
        self._logs = logs
        self._package = f"{package}." if package else ""
        self._children: dict[str, _Child] = {}
        self._crashes: dict[str, int] = {}
        self._marks: dict[str, int] = {}
        self._read: dict[str, int] = {}
        self.restarts = 0

    def start(self, plan: Plan) -> None:
        """Start one process. Its name must be free."""
        self._children.pop(plan.name, None)  # the newest one is the last
        self._children[plan.name] = _Child(plan, self._spawn(plan))

    def _spawn(self, plan: Plan) -> "subprocess.Popen[bytes]":
        self._logs.mkdir(parents=True, exist_ok=True)
        # One thread per native library unless told otherwise: a process per core scales better.
        threads = {"OMP_NUM_THREADS": str(plan.threads), "OPENBLAS_NUM_THREADS": "1"}
        # The runner has merged every setting into a file; the environment must not win over that.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("EMOTION_")}
        # -P: a folder that holds a models.py of its own must not hide ours. Ours are found where this file lies.
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with (self._logs / f"{plan.name}.log").open("ab") as errors, _waiting_hang_ups():
            return subprocess.Popen(
                [sys.executable, "-P", "-m", f"{self._package}{plan.module}", *plan.arguments],
                stdin=subprocess.DEVNULL,
                stdout=None if plan.keep_stdout else subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                env={**inherited, **threads, "PYTHONPATH": path},
            )

    def running(self, module: str) -> int:
        """Processes of a stage that have not finished."""
        return len(self.pids(module))

    def pids(self, module: str) -> Mapping[str, int]:
        """The processes of a stage that have not finished, by name, in the order of their start."""
        children = self._children.values()
        return {c.plan.name: c.process.pid for c in children if c.plan.module == module and not c.finished}

    def is_free(self, name: str) -> bool:
        """Whether no process of this name runs, not even one that is about to end."""
        child = self._children.get(name)
        return child is None or (child.finished and child.process.poll() is not None)

    def retire(self, name: str) -> None:
        """Ask one process to finish what it holds and to leave, and do not start it again. Returns at once."""
        child = self._children[name]
        child.finished, child.kill_at = True, time.monotonic() + RETIRES_WITHIN
        if child.process.poll() is None:
            child.process.terminate()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one process, if it runs."""
        child = self._children.get(name)
        if child is not None and child.process.poll() is None:
            child.process.send_signal(number)

    def give_way(self, name: str) -> None:
        """From now on other processes go before this one where cores are short."""
        child = self._children[name]
        child.gives_way = True
        if child.process.poll() is None:
            _give_way(child.process.pid)

    def check(self, marks: Mapping[str, int]) -> None:
        """Restart what crashed. `marks` gives for each stage's module a number that grows with its progress.

        Raises:
            EmotionError: a process gave up with a reason, or a stage crashes again and again.
        """
        for child in self._children.values():
            code = child.process.poll()
            if code is None and child.kill_at is not None and time.monotonic() > child.kill_at:
                log.warning("%s does not stop: killing it", child.plan.name)
                child.process.kill()  # another one takes over what it held
                child.kill_at = None
            if code is None or child.finished:
                continue
            if code == 0 and child.plan.ends:
                child.finished = True
                continue
            if code in FATAL:
                words = self.last_words(child.plan.name).removeprefix("emotion ")
                raise UsageError(words) if code == UsageError.exit_code else EmotionError(words)
            if child.restart_at == 0.0:
                again = self._crashed(child, code, marks.get(child.plan.module, 0)) - 1
                child.restart_at = time.monotonic() + again * RESTART_PAUSE
            if time.monotonic() >= child.restart_at:
                child.restart_at = 0.0
                child.process = self._spawn(child.plan)
                if child.gives_way:
                    _give_way(child.process.pid)
                self.restarts += 1

    def _crashed(self, child: _Child, code: int, mark: int) -> int:
        """Crashes of this stage in a row, this one included."""
        module = child.plan.module
        if mark > self._marks.get(module, -1):
            self._crashes[module] = 0
        self._marks[module] = mark
        self._crashes[module] = self._crashes.get(module, 0) + 1
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if self._crashes[module] >= MOST_CRASHES:
            raise EmotionError(
                f"{child.plan.name} ended {MOST_CRASHES} times in a row without getting anything done"
                f" (last: {how}): {self.last_words(child.plan.name)}"
            )
        log.warning("%s ended (%s): starting it again", child.plan.name, how)
        return self._crashes[module]

    def news(self) -> list[str]:
        """Notices, warnings and worse that the processes have logged since the last call."""
        found = []
        for name in self._children:
            with contextlib.suppress(OSError), (self._logs / f"{name}.log").open("rb") as f:
                f.seek(self._read.get(name, 0))
                lines = f.read(NEWS_BYTES).splitlines(keepends=True)
                whole = [line for line in lines if line.endswith(b"\n")]
                self._read[name] = self._read.get(name, 0) + sum(map(len, whole))
                found += [
                    text for line in whole if WORTH_TELLING.search(text := line.decode(errors="replace").rstrip())
                ]
        return found

    def last_words(self, name: str) -> str:
        """The last line that a process wrote to standard error."""
        try:
            with (self._logs / f"{name}.log").open("rb") as f:
                lines = _tail(f).decode(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else f"{name} said nothing"

    def stop(self, module: str | None = None, patience: float = 10.0) -> None:
        """Ask the processes of a stage (or all) to finish, and wait for them. Kill those that do not finish."""
        children = [c for c in self._children.values() if module is None or c.plan.module == module]
        for child in children:
            child.finished = True
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + patience
        for child in children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s does not stop: killing it", child.plan.name)
                child.process.kill()
                child.process.wait()


def _give_way(pid: int) -> None:
    """Let other processes go before this one, which leads a session of its own. Linux weighs sessions against each
    other before it looks at processes (sched(7), autogroup)."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # it has ended, or may not, or this is no Linux: slower at the most
        # Relative to ours, which it has inherited: under `nice` a fixed one could put it before the others.
        # The group, not the process: Linux would leave out the threads that run already.
        os.setpriority(os.PRIO_PGRP, pid, os.getpriority(os.PRIO_PROCESS, pid) + NICE)
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE), "ascii")


def _tail(f: IO[bytes], size: int = 4096) -> bytes:
    f.seek(0, os.SEEK_END)
    f.seek(max(0, f.tell() - size))
    return f.read()


@contextlib.contextmanager
def _waiting_hang_ups() -> Iterator[None]:
    """A process that is started now gets a SIGHUP when its service has begun, not before: it would end it."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
