"""Runs `emotion run` as a process of its own and observes it from outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from emotion_stream.benchmarks.harness.plan import Plan, Spread
from emotion_stream.benchmarks.harness.processes import Memory, Watch
from emotion_stream.shared.errors import EmotionError

ROOT = Path(__file__).resolve().parents[2]
LOOK = 0.04
"""Seconds between two looks at the processes."""
PATIENCE = 900.0
"""Seconds after which a run is given up."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One frame as the sink wrote it; wall-clock times in seconds since 1970, `media_time` in seconds."""

    camera: str
    faces: int
    media_time: float
    captured_at: float
    shown_at: float

    @property
    def latency(self) -> float:
        """Seconds from capture to result."""
        return self.shown_at - self.captured_at


@dataclass(frozen=True, slots=True)
class Observation:
    """A whole run, from the capture of its first frame to the last result.

    Attributes:
        frames: in the order in which they were shown.
        span: seconds from the first capture to the last result.
        cpu: core-seconds of each stage during that time, without what it took to start.
        others: cores that other processes of this machine, or its host, took meanwhile.
        memory: by stage, the most that one of its processes held.
        processes: of each stage.
        summary: what the run itself told at its end.
    """

    frames: Sequence[Shown]
    span: float
    cpu: Mapping[str, float]
    others: float
    memory: Mapping[str, Memory]
    processes: Mapping[str, int]
    summary: Mapping[str, Any]

    @property
    def fps(self) -> float:
        """Frames per second from the first capture to the last result."""
        return len(self.frames) / self.span

    @property
    def cpu_ms(self) -> dict[str, float]:
        """Core-milliseconds per frame of each stage."""
        return {stage: seconds * 1000 / len(self.frames) for stage, seconds in self.cpu.items()}

    @property
    def faces(self) -> int:
        """Faces of all frames together."""
        return sum(frame.faces for frame in self.frames)

    @property
    def lost(self) -> int:
        """Frames that were dropped, or are missing."""
        return int(sum(self.summary["dropped"].values()) + self.summary["missing"])

    @property
    def restarts(self) -> int:
        """Workers that died and were started again: figures of such a run tell of that, too."""
        return int(self.summary["restarts"])


def disturbances(runs: Sequence[Observation]) -> str:
    """A sentence or two on what may have spoilt the figures of these runs."""
    others = Spread.of(run.others for run in runs).text(2)
    restarts = sum(run.restarts for run in runs)
    died = f" {restarts} workers died and were started again: do not trust these figures." if restarts else ""
    return f"Other processes took {others} cores meanwhile.{died}"


def observe(
    plan: Plan, *flags: str, environ: Mapping[str, str] | None = None, checkout: Path = ROOT
) -> Observation:
    """Run the pipeline of a checkout with `flags` to the end of its sources.

    Raises:
        EmotionError: it failed, or showed nothing.
    """
    with tempfile.TemporaryDirectory(dir=plan.folder) as folder:
        results, summary = Path(folder) / "results.jsonl", Path(folder) / "summary.json"
        outputs = (f"--output=jsonl={results}", f"--summary-json={summary}")
        with started(plan, *flags, *outputs, environ=environ, checkout=checkout) as (process, watch):
            deadline = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < deadline:
                watch.look()
                time.sleep(LOOK)
            if process.poll() is None:
                raise EmotionError(f"a run of the pipeline was not over after {PATIENCE:.0f} s")
            if process.returncode != 0:
                raise EmotionError("a run of the pipeline failed")
        frames = [_shown(json.loads(line)) for line in results.read_text().splitlines()]
        told = json.loads(summary.read_text())
    if not frames:
        raise EmotionError("a run of the pipeline showed no frame")
    start, end = min(f.captured_at for f in frames), max(f.shown_at for f in frames)
    cpu = watch.cpu(start, end)
    others = (watch.machine(start, end) - sum(cpu.values())) / (end - start)
    return Observation(frames, end - start, cpu, max(others, 0.0), watch.memory(), watch.count(), told)


@contextlib.contextmanager
def started(
    plan: Plan,
    *flags: str,
    environ: Mapping[str, str] | None = None,
    pipe: bool = False,
    checkout: Path = ROOT,
) -> "Iterator[tuple[subprocess.Popen[bytes], Watch]]":
    """A running `emotion run` of a checkout; it is stopped at the end. `pipe`: its standard output is read."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EMOTION_")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages are compiled; the first run does it here
    inherited |= environ or {}
    inherited["PYTHONPATH"] = os.pathsep.join(filter(None, (str(checkout), inherited.get("PYTHONPATH"))))
    with tempfile.TemporaryFile(dir=plan.folder) as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "emotion_stream", "run", f"--config={plan.settings}", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipe else subprocess.DEVNULL,
            stderr=errors,
            env=inherited,
        )
        try:
            yield process, Watch(process.pid)
        except EmotionError as e:
            raise EmotionError(f"{e}{_words(errors)}") from e
        finally:
            stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a run as Ctrl-C does, by force if it takes long."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _words(errors: Any) -> str:
    """The last line that the run wrote to standard error, as the end of a sentence."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


def _shown(line: Mapping[str, Any]) -> Shown:
    captured_at = datetime.fromisoformat(line["captured_at"]).timestamp()
    return Shown(
        camera=line["camera"],
        faces=len(line["faces"]),
        media_time=line["time"],
        captured_at=captured_at,
        shown_at=captured_at + line["latency_ms"] / 1000,
    )
