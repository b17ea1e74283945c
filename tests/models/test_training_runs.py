"""The run log and the comparison of runs, without Keras; charts where matplotlib is installed."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from emotion_stream.models.evaluation import runlog
from emotion_stream.models.evaluation.runlog import MONITOR
from emotion_stream.models.training import runs
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.settings.command_options import TrainOptions


def make_run(folder: Path, top1: list[float], done: bool = True, **settings: object) -> Path:
    """A run's folder as `emotion train` leaves it."""
    folder.mkdir(parents=True)
    body = {"settings": {**asdict(TrainOptions()), **settings}, "facts": {"seed": 1, "commit": "abc"}}
    runlog.write_json(folder / "settings.json", body)
    history = {
        "epoch": [float(i) for i in range(len(top1))],
        "loss": [2.0 - t for t in top1],
        "val_loss": [2.1 - t for t in top1],
        MONITOR.removeprefix("val_"): top1,
        MONITOR: top1,
        "seconds": [30.0] * len(top1),
    }
    runlog.write_history(folder / "history.csv", history)
    if done:
        runlog.write_json(folder / "metrics.json", {"fer2013": {"top1": max(top1), "recall": [0.5] * 7}})
    return folder


def test_history_survives_writing_and_reading(tmp_path: Path) -> None:
    history = {"epoch": [0.0, 1.0], "loss": [1.25, 0.123456789]}
    runlog.write_history(tmp_path / "history.csv", history)
    assert runlog.read_history(tmp_path / "history.csv") == history
    assert (tmp_path / "history.csv").read_text().splitlines()[1] == "0,1.25"


def test_log_tells_settings_figures_and_epochs(tmp_path: Path) -> None:
    make_run(tmp_path / "one", [0.2, 0.5, 0.4], label_smoothing=0.07)
    text = runlog.log_text(runlog.read_run(tmp_path / "one"), ["history.png"])
    cells = {tuple(c.strip() for c in line.strip("|").split("|")) for line in text.splitlines() if "|" in line}
    for row in [("label_smoothing", "0.07"), ("commit", "abc"), ("fer2013 top1", "0.5"), ("best epoch", "2")]:
        assert row in cells
    assert ("duration", "1.5 min in 3 epochs") in cells
    assert "![history](history.png)" in text


def test_runs_are_compared_best_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    make_run(tmp_path / "worse", [0.3, 0.4], dropout=0.5)
    make_run(tmp_path / "better", [0.6, 0.5], done=False, dropout=0.2)
    make_run(tmp_path / "empty", [], done=False)
    assert runs.COMMAND.main(["--runs", str(tmp_path)]) == 0
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()[:-2]]
    header, _, *body = rows
    assert [row[0] for row in body] == ["better", "worse", "empty"]
    assert [row[:4] for row in body] == [
        ["better", "unfinished", "1 of 2", "0.6"],
        ["worse", "done", "2 of 2", "0.4"],
        ["empty", "unfinished", "-", "-"],
    ]
    assert body[0][header.index("dropout")] == "0.2"
    assert "label_smoothing" not in header  # the same in all


def test_runs_are_compared_with_the_frozen_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "mine", [0.5, 0.6])
    assert runs.COMMAND.main(["--runs", str(tmp_path)]) == 0
    header, _, row, _, last = capsys.readouterr().out.splitlines()
    at = [cell.strip() for cell in header.split("|")].index("over baseline")
    assert row.split("|")[at].strip() == "+13.7"
    assert last == "Baseline: frozen, as documented, 46.3 % of PublicTest"
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "training.md").read_text()
    assert f"| {100 * runs.FROZEN_TOP1:.1f} % | 0.395 |" in page
    make_run(tmp_path / "base", [0.44, 0.45, 0.43], recipe="frozen")
    assert runs.COMMAND.main(["--runs", str(tmp_path)]) == 0
    _, _, mine, base, _, last = capsys.readouterr().out.splitlines()
    assert [row.split("|")[at].strip() for row in (mine, base)] == ["+15.0", "+0.0"]
    assert last == "Baseline: base, 45.0 % of PublicTest"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("settings.json", "{", "settings.json cannot be read"),
        ("settings.json", "[]", "settings.json is not a JSON object"),
        ("history.csv", "epoch,loss\n0,1\n1\n", "history.csv, row 3: not 2 numbers"),
        ("metrics.json", "x", "metrics.json cannot be read"),
    ],
)
def test_a_damaged_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, content: str, message: str
) -> None:
    (make_run(tmp_path / "one", [0.5]) / file).write_text(content)
    assert runs.COMMAND.main(["--runs", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_no_runs_at_all(tmp_path: Path) -> None:
    with pytest.raises(EmotionError, match="no training runs"):
        runlog.read_runs(tmp_path)


@pytest.mark.needs("matplotlib")
def test_charts_are_drawn(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "one", [0.2, 0.5])
    runlog.write_log(folder, np.eye(7, dtype=np.int64))
    for name in ("history.png", "confusion.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
        assert f"({name})" in (folder / "log.md").read_text()
    assert runs.COMMAND.main(["--runs", str(tmp_path)]) == 0
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_commit_and_hardware_say_something() -> None:
    assert json.dumps(runlog.commit())
    assert "cores" in runlog.hardware()
