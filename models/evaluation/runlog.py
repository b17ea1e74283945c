"""What a training run leaves behind: one folder with its settings, history, figures, charts and `log.md`.

Files: settings.json (written at the start), history.csv (a row per epoch), metrics.json (at the end), log.md and
pictures (at the end), beside the checkpoints. `emotion runs` reads these folders.
"""

import csv
import io
import json
import logging
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_stream.models.labels import LABELS
from emotion_stream.shared.errors import TRAIN_ENV, EmotionError
from emotion_stream.shared.whole import write_whole

log = logging.getLogger(__name__)

MONITOR = "val_fer2013_top1"
"""The figure that chooses the best epoch."""

History = dict[str, list[float]]
"""Column of history.csv -> a value per epoch."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its folder tells it; `metrics` is empty until it is done."""

    folder: Path
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    history: History = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def epochs(self) -> int:
        """How many are done."""
        return len(self.history.get("epoch", ()))

    @property
    def best(self) -> int:
        """Index of the epoch with the best `MONITOR`, the earliest of equals.

        Raises:
            EmotionError: no epoch is done.
        """
        values = self.history.get(MONITOR)
        if not values:
            raise EmotionError(f"run {self.folder} has no epoch with {MONITOR}")
        return int(np.argmax(values))


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Write `path` in one step."""
    write_whole(path, (json.dumps(body, indent=2) + "\n").encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise EmotionError(f"{path} cannot be read ({type(e).__name__}: {e})") from e
    if not isinstance(body, dict):
        raise EmotionError(f"{path} is not a JSON object")
    return body


def read_history(path: Path) -> History:
    """The columns of history.csv; empty where the file is not there yet.

    Raises:
        EmotionError: it cannot be read; the message names the row.
    """
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise EmotionError(f"{path} cannot be read ({e})") from e
    if not rows:
        return {}
    history: History = {name: [] for name in rows[0]}
    for number, row in enumerate(rows[1:], start=2):
        try:
            for name, text in zip(rows[0], row, strict=True):
                history[name].append(float(text))
        except ValueError:
            raise EmotionError(f"{path}, row {number}: not {len(rows[0])} numbers") from None
    return history


def write_history(path: Path, history: History) -> None:
    """The inverse of `read_history`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(history)
    writer.writerows([f"{v:.10g}" for v in row] for row in zip(*history.values(), strict=True))
    write_whole(path, text.getvalue().encode())


def read_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        EmotionError: it is not one, or a file in it is damaged.
    """
    body = _read_json(folder / "settings.json")
    metrics = folder / "metrics.json"
    return Run(
        folder,
        body.get("settings", {}),
        body.get("facts", {}),
        read_history(folder / "history.csv"),
        _read_json(metrics) if metrics.exists() else {},
    )


def read_runs(runs: Path) -> list[Run]:
    """All runs below `runs`, by name.

    Raises:
        EmotionError: there is none, or one is damaged.
    """
    found = [read_run(path.parent) for path in sorted(runs.glob("*/settings.json"))]
    if not found:
        raise EmotionError(f"no training runs in {runs}: `emotion train` makes them, --runs names the folder")
    return found


def commit() -> str:
    """The commit of the program, with `+` where files differ from it; "unknown" outside a repository."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def hardware() -> str:
    """Processor, number of usable cores, and system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text("utf-8").splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, readable as plain text too; the first row is the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def number(value: float) -> str:
    """Short, for tables."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e6 else f"{value:.4g}"


def _figures(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            rows += _figures(value, f"{prefix}{key} ")
        elif isinstance(value, (int, float)):
            rows.append((prefix + key, number(value)))
    return rows


def log_text(run: Run, charts: Sequence[str]) -> str:
    """`log.md`: what was run, on what, and what came of it."""
    seconds = sum(run.history.get("seconds", ()))
    facts = {**run.facts, "duration": f"{seconds / 60:.1f} min in {run.epochs} epochs", "best epoch": run.best + 1}
    shown = [name for name in run.history if not name.startswith("val_") or name in (MONITOR, "val_loss")]
    shown += [name for name in run.history if name.startswith("val_") and name not in shown]
    header = [name.replace("_", " ") for name in shown]
    epochs = [header]
    for i in range(run.epochs):
        epochs.append([str(i + 1) if n == "epoch" else number(run.history[n][i]) for n in shown])
    parts = [
        f"# Run {run.name}",
        table([("", ""), *((k, str(v)) for k, v in facts.items())]),
        "## Figures",
        "Of PublicTest, at the best epoch. `binary_accuracy` of a model that knows nothing is 6/7 = 0.857.",
        table([("figure", "value"), *_figures(run.metrics)]),
        "## Settings",
        table([("setting", "value"), *((k, str(v)) for k, v in run.settings.items())]),
        "## Charts",
        "\n\n".join(f"![{Path(chart).stem}]({chart})" for chart in charts) or "None: matplotlib is not installed.",
        "## Epochs",
        table(epochs),
    ]
    return "\n\n".join(parts) + "\n"


def write_log(folder: Path, confusion: NDArray[np.integer]) -> Run:
    """Draw the charts and write log.md of a finished run.

    Args:
        folder: the run's; settings.json, history.csv and metrics.json are there.
        confusion: counts [7, 7], rows are labels, columns what was predicted.
    """
    run = read_run(folder)
    drawn: list[str] = []
    try:
        from emotion_stream.models.evaluation import charts
    except ImportError:
        log.warning("no charts: matplotlib is missing: %s", TRAIN_ENV)
    else:
        charts.draw_history(run.history, folder / "history.png")
        charts.draw_confusion(confusion, LABELS, folder / "confusion.png")
        drawn = ["history.png", "confusion.png"]
    (folder / "log.md").write_text(log_text(run, drawn))
    return run
