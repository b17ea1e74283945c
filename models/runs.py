"""`emotion runs`: compares training runs in a table and one chart."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from models.runlog import MONITOR, Run, number, read_runs, table
from shared.cli import Command, Values
from shared.errors import TRAIN_ENV
from shared.options import RunsOptions
from shared.settings import build

log = logging.getLogger(__name__)

SHOWN = ("recipe", "size", "batch", "optimizer", "learning_rate", "seed", "limit")
"""Settings in the table, beside those in which the runs differ."""

FIGURES = ("val_fer2013_top1", "val_fer2013_macro_f1", "val_consensus_agreement", "val_loss")


def _short(value: object) -> str:
    return str(value).rsplit("/", 1)[-1]


def comparison(runs: Sequence[Run]) -> str:
    """A Markdown table of runs, the best `MONITOR` first; runs without a finished epoch come last."""
    ordered = sorted(runs, key=lambda run: -max(run.history.get(MONITOR) or [-1.0]))
    differing = [
        key for key in runs[0].settings
        if key not in (*SHOWN, "name", "data", "resume") and len({str(run.settings.get(key)) for run in runs}) > 1
    ]  # fmt: skip
    settings = [*SHOWN, *differing]
    figures = [name for name in FIGURES if any(name in run.history for run in runs)]
    rows = [
        ["run", "state", "best epoch", *(n.removeprefix("val_").replace("_", " ") for n in figures), *settings]
    ]
    for run in ordered:
        best = run.best if run.history.get(MONITOR) else None
        values = [number(run.history[n][best]) if best is not None and n in run.history else "-" for n in figures]
        state = "done" if run.metrics else "unfinished"
        epoch = "-" if best is None else f"{best + 1} of {run.epochs}"
        rows.append([run.name, state, epoch, *values, *(_short(run.settings.get(key, "-")) for key in settings)])
    return table(rows)


def run(values: Values) -> None:
    """Print the table and draw RUNS/comparison.png."""
    folder = Path(build(RunsOptions, values).runs)
    found = read_runs(folder)
    sys.stdout.write(comparison(found) + "\n")
    curves = {r.name: r.history[MONITOR] for r in found if r.history.get(MONITOR)}
    if not curves:
        return
    try:
        from models import charts
    except ImportError:
        log.warning("no chart: matplotlib is missing: %s", TRAIN_ENV)
        return
    charts.draw_comparison(curves, MONITOR, folder / "comparison.png")
    log.info("chart: %s", folder / "comparison.png")


COMMAND = Command("runs", "Compare training runs in a table and one chart.", (RunsOptions,), run)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
