"""CPU time and memory of a runner and the processes it starts, from /proc (Linux)."""

import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

STAGES = {
    "emotion_stream.producer": "producer",
    "emotion_stream.detector_worker": "detector",
    "emotion_stream.classifier_worker": "classifier",
    "emotion_stream.sink": "sink",
}
"""Module that a worker runs to the name of its stage."""
LOOK_FOR_NEW = 0.1, 1.0
"""Seconds between two searches for new processes, until the producer, the last one, is there, and then."""
LOOK_AT_MEMORY = 0.3, 3.0
"""Seconds to the first look at a process's memory, and from then on to the next: each holds it up a little."""
PROC = Path("/proc")
_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """The most that one process of a stage held, bytes. `pss` counts shared pages in part, `rss` in full."""

    pss: int
    rss: int


@dataclass(slots=True)
class _Process:
    stage: str
    next_memory: float = 0.0
    memory: Memory = Memory(0, 0)
    series: list[tuple[float, float]] = field(default_factory=list)  # wall-clock time, CPU seconds used until then


class Watch:
    """Follows the runner `root` and its children. Call `look` every few hundredths of a second."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._processes = {root: _Process("runner")}
        self._machine: list[tuple[float, float]] = []
        self._next_search = 0.0

    def look(self) -> None:
        """Note what every process has used until now."""
        now = time.monotonic()
        if now >= self._next_search:
            self._next_search = now + LOOK_FOR_NEW[self.running("producer")]
            self._machine.append((time.time(), _machine_seconds()))
            for pid in _children(self._root):
                stage = None if pid in self._processes else _stage(pid)
                if stage is not None:
                    self._processes[pid] = _Process(stage, now + LOOK_AT_MEMORY[0])
        for pid, process in self._processes.items():
            with suppress(OSError, ValueError, IndexError):  # it has ended
                process.series.append((time.time(), _cpu_seconds(pid)))
                if now >= process.next_memory:
                    process.next_memory = now + LOOK_AT_MEMORY[1]
                    held = _memory(pid)
                    process.memory = Memory(max(held.pss, process.memory.pss), max(held.rss, process.memory.rss))

    def running(self, stage: str) -> bool:
        """Whether a process of this stage has been seen."""
        return any(process.stage == stage for process in self._processes.values())

    def cpu(self, start: float, end: float) -> dict[str, float]:
        """CPU seconds by stage between two wall-clock times, all processes of a stage together."""
        used: dict[str, float] = {}
        for process in self._processes.values():
            spent = _between(process.series, start, end)
            used[process.stage] = used.get(process.stage, 0.0) + spent
        return used

    def machine(self, start: float, end: float) -> float:
        """CPU seconds between two wall-clock times that anything here used, or that the host kept to itself."""
        return _between(self._machine, start, end)

    def memory(self) -> dict[str, Memory]:
        """By stage, the most that one of its processes held."""
        most: dict[str, Memory] = {}
        for p in self._processes.values():
            known = most.get(p.stage, Memory(0, 0))
            most[p.stage] = Memory(max(known.pss, p.memory.pss), max(known.rss, p.memory.rss))
        return most

    def count(self) -> Mapping[str, int]:
        """Processes seen of each stage."""
        counts: dict[str, int] = {}
        for process in self._processes.values():
            counts[process.stage] = counts.get(process.stage, 0) + 1
        return counts


def _between(series: list[tuple[float, float]], start: float, end: float) -> float:
    return _at(series, end) - _at(series, start)


def _at(series: list[tuple[float, float]], when: float) -> float:
    """The value at a time, on straight lines between what is known."""
    if not series:
        return 0.0
    after = bisect_right(series, (when, float("inf")))
    if after == 0:
        return series[0][1]
    if after == len(series):
        return series[-1][1]
    (t0, v0), (t1, v1) = series[after - 1], series[after]
    return v0 + (v1 - v0) * (when - t0) / (t1 - t0)


def _children(root: int) -> Iterator[int]:
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, ValueError, IndexError):
                if int(_stat(int(entry.name))[1]) == root:
                    yield int(entry.name)


def _stage(pid: int) -> str | None:
    """What a child runs; None for one that is none of ours, or not yet: it is a copy of the runner at first."""
    try:
        arguments = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    if "valkey-server" in arguments[0] or "redis-server" in arguments[0]:  # it puts more into its title
        return "server"
    module = arguments[arguments.index("-m") + 1] if "-m" in arguments[:-1] else ""
    return STAGES.get(module)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat behind the name, which may hold anything: 0 is the state, 1 the parent."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) * _TICK


def _machine_seconds() -> float:
    """Busy, or stolen by the host: all but idle and waiting for disks. Guests are in `user` already."""
    user, nice, system, _, _, irq, softirq, steal, *_ = (PROC / "stat").read_text().splitlines()[0].split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) * _TICK


def _memory(pid: int) -> Memory:
    kilobytes = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        kilobytes[name] = int(value.split()[0])
    return Memory(kilobytes["Pss"] * 1024, kilobytes["Rss"] * 1024)
