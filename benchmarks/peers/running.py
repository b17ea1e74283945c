"""Runs the programs that the pipeline is compared with, each in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emotion_stream.benchmarks.harness.pipeline import ROOT
from emotion_stream.benchmarks.harness.plan import Plan
from emotion_stream.shared.errors import EmotionError

HERE = Path(__file__).resolve().parent
START_SECONDS = 600.0
"""What a peer may take to load, beside the time that it plays."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one program did with the clip.

    Attributes:
        frames, faces: counts.
        seconds: wall-clock time from the first frame to the last, without loading.
        cpu: core-seconds during that time.
        what: the program and its version.
        steps: core-seconds of its steps, where it tells.
    """

    frames: int
    faces: int
    seconds: float
    cpu: float
    what: str = ""
    steps: Mapping[str, float] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Core-milliseconds per frame."""
        return self.cpu * 1000 / self.frames


def fer(plan: Plan, clip: Path) -> Outcome:
    """The `fer` package.

    Raises:
        EmotionError: it does not run in the environment of `--fer-python`.
    """
    if plan.fer_python is None:
        raise EmotionError("no environment with the fer package is named")
    return _run(plan, "fer", [plan.fer_python, str(HERE / "fer_package.py"), str(clip), str(plan.seconds)], {})


def original(plan: Plan, clip: Path) -> Outcome:
    """The original project's loop: with Keras in the environment of `fer`, otherwise with our own network.

    Raises:
        EmotionError: it does not run.
    """
    python = plan.fer_python or sys.executable
    return _run(plan, "original loop", [python, str(HERE / "original_loop.py"), str(clip), str(plan.seconds)], {})


def loop(plan: Plan, clip: Path, batch: int = 1, seconds: float | None = None) -> Outcome:
    """Our own stages in one loop.

    Raises:
        EmotionError: they do not run.
    """
    length = str(plan.seconds if seconds is None else seconds)
    arguments = [
        sys.executable,
        "-P",
        "-m",
        "emotion_stream.benchmarks.harness.loop",
        str(clip),
        length,
        str(batch),
        str(plan.settings),
    ]
    # As in a worker: one thread per native library.
    environ = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return _run(plan, "own stages in one loop", arguments, environ)


def _run(plan: Plan, name: str, arguments: list[str], more: Mapping[str, str]) -> Outcome:
    own = ("EMOTION_", "PYTHON")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    environ |= {"PYTHONSAFEPATH": "1", "TF_CPP_MIN_LOG_LEVEL": "3", **more}
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environ,
            timeout=START_SECONDS + plan.seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EmotionError(f"{name} did not end in time") from None
    except OSError as e:
        raise EmotionError(f"{name}: {arguments[0]} cannot be run ({e.strerror})") from e
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise EmotionError(f"{name} failed: {words[-1] if words else f'exit code {done.returncode}'}")
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))
