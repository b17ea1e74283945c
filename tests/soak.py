"""`python -m tests.soak`: a live run with four cameras, and whether memory and file handles stay where they are.

SOAK_MINUTES (default 30), SOAK_FPS per camera (default 30), SOAK_CAMERAS (default 4), SOAK_JSON a file for the
figures.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError

from emotion_stream.benchmarks.harness.clips import retimed
from emotion_stream.shared.streams.connection import connect
from tests.support.pictures import SAMPLE

EVERY = 2.0
"""Seconds between two looks."""
WARM_UP = 0.25
"""Share of the time that is left out at the beginning: models load, caches fill."""
MOST_GROWTH = 8.0
"""MiB by which a process, or Redis, may grow from the first third to the last after the warm-up."""
MOST_HANDLES = 3
"""File handles by which a process may differ: connections that come and go."""
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Track:
    """What one process, or Redis, took over time: seconds, MiB, file handles."""

    times: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)

    def after(self, start: float) -> "Track":
        """Without what came before `start` seconds."""
        first = next((n for n, t in enumerate(self.times) if t >= start), len(self.times))
        return Track(self.times[first:], self.memory[first:], self.handles[first:])

    @property
    def slope(self) -> float:
        """MiB per hour, least squares."""
        count = len(self.times)
        middle, mean = sum(self.times) / count, sum(self.memory) / count
        spread = sum((t - middle) ** 2 for t in self.times)
        return 3600 * sum((t - middle) * (m - mean) for t, m in zip(self.times, self.memory, strict=True)) / spread

    @property
    def growth(self) -> float:
        """MiB from the mean of the first third to that of the last."""
        third = max(1, len(self.memory) // 3)
        return sum(self.memory[-third:]) / third - sum(self.memory[:third]) / third


def children(pid: int) -> dict[str, int]:
    """The processes of a run, by what they are."""
    found = {"runner": pid}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) != pid:
                continue
            line = (entry / "cmdline").read_bytes().decode().split("\0")
            config = next((part for part in line if part.startswith("--config=")), "")
            found[Path(config).stem or "server"] = int(entry.name)
    return found


def look(track: Track, pid: int, at: float) -> None:
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        handles = len(os.listdir(f"/proc/{pid}/fd"))
        track.times.append(at)
        track.memory.append(pages * PAGE / 2**20)
        track.handles.append(handles)


def watch(process: "subprocess.Popen[bytes]", state: Path, seconds: float) -> dict[str, Track]:
    """Look at all processes until the time is over or the run ends."""
    tracks: dict[str, Track] = {}
    began = time.monotonic()
    client = None
    while (at := time.monotonic() - began) < seconds and process.poll() is None:
        for name, pid in children(process.pid).items():
            look(tracks.setdefault(name, Track()), pid, at)
        if client is None and (socket := next(state.glob("run-*/server/server.sock"), None)):
            client = connect(f"unix://{socket}")
        with contextlib.suppress(RedisError):
            if client is not None:
                track = tracks.setdefault("Redis data", Track())
                track.memory.append(int(client.info("memory")["used_memory"]) / 2**20)
                track.times.append(at)
                track.handles.append(0)
        time.sleep(EVERY)
    return tracks


def judge(tracks: dict[str, Track], seconds: float) -> tuple[list[str], dict[str, dict[str, float]]]:
    """What is wrong, and the figures of each process."""
    wrong, figures = [], {}
    for name, track in sorted(tracks.items()):
        settled = track.after(seconds * WARM_UP)
        if len(settled.times) < 10:
            wrong.append(f"{name} did not last")
            continue
        handles = max(settled.handles) - min(settled.handles)
        figures[name] = {
            "MiB": round(settled.memory[-1], 1),
            "MiB per hour": round(settled.slope, 1),
            "MiB from first to last third": round(settled.growth, 2),
            "handles": settled.handles[-1],
            "handles differ by": handles,
        }
        if settled.growth > MOST_GROWTH:
            wrong.append(f"{name} has grown by {settled.growth:.1f} MiB")
        if handles > MOST_HANDLES:
            wrong.append(f"{name}: between {min(settled.handles)} and {max(settled.handles)} file handles")
    return wrong, figures


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0 if all stayed where it was. Further arguments go to `emotion run`."""
    seconds = 60 * float(os.environ.get("SOAK_MINUTES") or 30)
    rate = int(os.environ.get("SOAK_FPS") or 30)
    cameras = int(os.environ.get("SOAK_CAMERAS") or 4)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        state = Path(folder)
        clip = retimed(SAMPLE, state / "clip.mp4", frames=60 * rate, fps=rate)  # the sample has 25 a second
        sources = [f"cam{n}={clip}" for n in range(cameras)]
        command = [
            sys.executable, "-m", "emotion_stream", "run", "--source", *sources, "--mode=live", "--loop",
            f"--output=jsonl={state / 'results.jsonl'}", f"--state={state}",
            f"--summary-json={state / 'summary.json'}", *arguments,
        ]  # fmt: skip
        process = subprocess.Popen(command)
        tracks = watch(process, state, seconds)
        process.send_signal(signal.SIGINT)
        code = process.wait(120)
        summary = json.loads((state / "summary.json").read_text()) if code == 0 else {}
    wrong, figures = judge(tracks, seconds)
    if code != 0:
        wrong.append(f"the run ended with {code}")
    print(f"{seconds / 60:g} minutes, {cameras} cameras at {rate} frames/s each")
    for key in ("appended", "frames", "dropped", "missing", "faces", "restarts", "dead_letters"):
        print(f"  {key:<14} {summary.get(key)}")
    for name, values in figures.items():
        print(f"  {name:<14} " + ", ".join(f"{key} {value:g}" for key, value in values.items()))
    for what in wrong:
        print(f"WRONG: {what}")
    if path := os.environ.get("SOAK_JSON"):
        Path(path).write_text(
            json.dumps({"figures": figures, "summary": summary, "wrong": wrong}, indent=2) + "\n"
        )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
