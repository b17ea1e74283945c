"""Where each process of the pipeline spends its CPU time: `emotion bench --profile DIR`.

Plays the clip once with every process under Python's profiler and writes DIR/PROCESS.pstats, for `python -m
pstats` or a viewer. The profiler slows Python code down, native code hardly: shares shift towards Python, so
compare functions with each other, and take times from `throughput`.
"""

import os
import pstats
import re
from pathlib import Path
from typing import Any

from emotion_stream.benchmarks.harness.clips import retimed
from emotion_stream.benchmarks.harness.pipeline import ROOT, observe
from emotion_stream.benchmarks.harness.plan import Plan
from emotion_stream.benchmarks.harness.report import Section, Table
from emotion_stream.benchmarks.harness.tracing import FOLDER
from emotion_stream.shared.errors import EmotionError

PROFILES = re.compile(r"(?:producer|sink|runner|other|(?:detector|classifier)-[0-9]+)\.pstats")
"""Names of what is written here; the profiles of others stay."""
ROWS = 12
"""Functions told of each process."""


def run(plan: Plan, target: Path) -> Section:
    """Profile one lossless run.

    Raises:
        EmotionError: it failed, or `target` cannot be written.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("*.pstats"):
            if PROFILES.fullmatch(old.name):
                old.unlink()
    except OSError as e:
        raise EmotionError(f"--profile {target}: no profiles can be written there ({e.strerror})") from e
    hook = plan.folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text("import emotion_stream.benchmarks.harness.tracing\n")
    clip = retimed(plan.clip, plan.folder / "profile.mp4", plan.frames, 30)
    environ = {FOLDER: str(target.resolve()), "PYTHONPATH": os.pathsep.join((str(hook), str(ROOT)))}
    seen = observe(plan, f"--source={clip}", environ=environ)
    tables, data = [], {}
    for path in sorted(target.glob("*.pstats")):
        rows = _functions(path, len(seen.frames))
        data[path.stem] = rows
        tables.append(
            Table(
                f"{path.stem}, the {ROWS} functions with the most time of their own",
                ("function", "calls per frame", "own ms per frame", "with what it calls"),
                [[name, f"{calls:.2f}", f"{own:.3f}", f"{whole:.3f}"] for name, calls, own, whole in rows],
            )
        )
    return Section("profile", tables, data)


def _functions(path: Path, frames: int) -> list[tuple[str, float, float, float]]:
    """Name, calls, own and cumulative milliseconds, all per frame; the start of the process counts, too."""
    stats: dict[tuple[str, int, str], tuple[Any, ...]] = pstats.Stats(str(path)).stats  # type: ignore[attr-defined]
    # A thread that still waits at the end is charged with the main thread's time.
    stats = {key: value for key, value in stats.items() if key[2] != "<built-in method time.sleep>"}
    ranked = sorted(stats.items(), key=lambda item: -item[1][2])[:ROWS]
    return [
        (_name(*key), calls / frames, own * 1000 / frames, whole * 1000 / frames)
        for key, (_, calls, own, whole, _) in ranked
    ]


def _name(file: str, line: int, function: str) -> str:
    if file == "~":
        return function.strip("<>").replace("|", "/")
    return f"{'/'.join(Path(file).parts[-2:])}:{line} {function}".replace("|", "/")
