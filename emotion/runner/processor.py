"""How busy processes and cores are, as Linux tells in /proc; elsewhere nobody knows."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def seconds_used(pids: Iterable[int]) -> float | None:
    """CPU time of these processes so far, seconds; those that have ended count nothing. None: not known."""
    if sys.platform != "linux":
        return None
    ticks = 0
    for pid in pids:
        try:
            fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return float(ticks / os.sysconf("SC_CLK_TCK"))


def seconds_idle() -> float | None:
    """Time without work of the cores that this process may use, all together, seconds since the machine started.
    None: not known."""
    if sys.platform != "linux":
        return None
    own = {f"cpu{n}" for n in os.sched_getaffinity(0)}
    try:
        lines = [line.split() for line in (PROC / "stat").read_text("utf-8").splitlines()]
        ticks = sum(int(line[4]) + int(line[5]) for line in lines if line and line[0] in own)
    except (OSError, ValueError, IndexError):
        return None
    return float(ticks / os.sysconf("SC_CLK_TCK"))
