"""`emotion runs`: compares training runs in a table and one chart."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from emotion_stream.models.evaluation.runlog import MONITOR, Run, number, read_runs, table
from emotion_stream.shared.errors import TRAIN_ENV
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.command_options import RunsOptions
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.terminal import say

log = logging.getLogger(__name__)

SHOWN = ("recipe", "size", "batch", "optimizer", "learning_rate", "seed", "limit")
"""Settings in the table, beside those in which the runs differ."""

FROZEN_TOP1 = 0.463
"""`MONITOR` of the recipe `frozen` on all of FER-2013, for where no run of it is: docs/how-to/training.md."""

FIGURES = ("val_fer2013_top1", "val_fer2013_macro_f1", "val_consensus_agreement", "val_loss")


def baseline(runs: Sequence[Run]) -> tuple[str, float]:
    """What all runs are compared with: the best one of the recipe `frozen`, else the documented one. Its name, and
    `MONITOR` at its best epoch."""
    frozen = [
        (max(run.history[MONITOR]), run.name)
        for run in runs
        if run.settings.get("recipe") == "frozen" and run.history.get(MONITOR)
    ]
    top1, name = max(frozen, default=(FROZEN_TOP1, "frozen, as documented"))
    return name, top1


def _short(value: object) -> str:
    return str(value).rsplit("/", 1)[-1]


def comparison(runs: Sequence[Run]) -> str:
    """A Markdown table of runs, the best `MONITOR` first; runs without a finished epoch come last. "over baseline"
    is in points of top-1."""
    _, base = baseline(runs)
    ordered = sorted(runs, key=lambda run: -max(run.history.get(MONITOR) or [-1.0]))
    differing = [
        key for key in runs[0].settings
        if key not in (*SHOWN, "name", "data", "resume") and len({str(run.settings.get(key)) for run in runs}) > 1
    ]  # fmt: skip
    settings = [*SHOWN, *differing]
    figures = [name for name in FIGURES if any(name in run.history for run in runs)]
    names = [n.removeprefix("val_").replace("_", " ") for n in figures]
    rows = [["run", "state", "best epoch", *names, "over baseline", *settings]]
    for run in ordered:
        best = run.best if run.history.get(MONITOR) else None
        values = [number(run.history[n][best]) if best is not None and n in run.history else "-" for n in figures]
        state = "done" if run.metrics else "unfinished"
        epoch = "-" if best is None else f"{best + 1} of {run.epochs}"
        over = "-" if best is None else f"{100 * (run.history[MONITOR][best] - base):+.1f}"
        rows.append(
            [run.name, state, epoch, *values, over, *(_short(run.settings.get(key, "-")) for key in settings)]
        )
    return table(rows)


def run(values: Values) -> None:
    """Print the table and draw RUNS/comparison.png."""
    folder = Path(build(RunsOptions, values).runs)
    found = read_runs(folder)
    name, top1 = baseline(found)
    say(f"{comparison(found)}\n\nBaseline: {name}, {100 * top1:.1f} % of PublicTest")
    curves = {r.name: r.history[MONITOR] for r in found if r.history.get(MONITOR)}
    if not curves:
        return
    try:
        from emotion_stream.models.evaluation import charts
    except ImportError:
        log.warning("no chart: matplotlib is missing: %s", TRAIN_ENV)
        return
    charts.draw_comparison(curves, MONITOR, folder / "comparison.png", (name, top1))
    log.info("chart: %s", folder / "comparison.png")


COMMAND = Command("runs", "Compare training runs in a table and one chart.", (RunsOptions,), run)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
