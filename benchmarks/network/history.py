"""Draws how the shipped weights were trained, from the logs that lie beside them.

Usage: python -m benchmarks.network.history WEIGHTS PICTURE.png

WEIGHTS holds `full/history-1.csv` (of `emotion train`), `full/log-2.jsonl`, `half/log-1.jsonl` and
`half/log-2.jsonl` (of the programs in plain PyTorch, a line an epoch). Needs matplotlib.
"""

import json
import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from emotion_stream.models.evaluation.runlog import read_history

Curves = dict[str, list[float]]
HEADS = {"fer2013": ("fer2013, top-1", "#4c78a8"), "consensus": ("consensus, agreement", "#e45756")}
KERAS = {"fer2013": "val_fer2013_top1", "consensus": "val_consensus_agreement", "s": "seconds"}


def of_lines(path: Path) -> Curves:
    """The columns of a log with a JSON object a line."""
    rows = [json.loads(line) for line in path.read_text().splitlines() if line]
    return {name: [float(row[name]) for row in rows] for name in KERAS}


def of_train(path: Path) -> Curves:
    """The same columns of a run's history."""
    history = read_history(path)
    return {name: history[column] for name, column in KERAS.items()}


def draw(networks: dict[str, list[tuple[str, Curves]]], path: Path) -> None:
    """A panel for each network: both heads on PublicTest over all epochs, a line where a part begins."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, len(networks), sharey=True)
    for axes, (network, parts) in zip(panels, networks.items(), strict=True):
        start = 0
        for number, (told, curves) in enumerate(parts):
            epochs = range(start + 1, start + 1 + len(curves["s"]))
            for head, (name, color) in HEADS.items():
                values = [100 * value for value in curves[head]]
                axes.plot(epochs, values, color=color, marker=".", label=None if number else name)
            if start:
                axes.axvline(start + 0.5, color="#9a9a9a", linestyle="--", linewidth=1)
            axes.text(start + 1, 89.5, told, fontsize=8)
            start += len(curves["s"])
        axes.set_title(network, fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_ylim(53, 92)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower right")
    panels[0].set_ylabel("% of PublicTest")
    FigureCanvasAgg(figure).print_png(str(path))


def main(weights: Path, picture: Path) -> None:
    """Draw, and print the hours of each part."""
    networks = {
        "full": [
            ("emotion train", of_train(weights / "full" / "history-1.csv")),
            ("plain PyTorch, one more cosine", of_lines(weights / "full" / "log-2.jsonl")),
        ],
        "half, taught by full": [
            ("24 epochs", of_lines(weights / "half" / "log-1.jsonl")),
            ("11 more", of_lines(weights / "half" / "log-2.jsonl")),
        ],
    }
    draw(networks, picture)
    for network, parts in networks.items():
        for told, curves in parts:
            hours = f"{sum(curves['s']) / 3600:.1f} h, fastest {min(curves['s']):.0f} s"
            best = ", ".join(f"{head} {100 * max(curves[head]):.1f} %" for head in HEADS)
            print(f"{network}, {told}: {len(curves['s'])} epochs, {hours}; {best}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("history: name the folder with full/ and half/, and the picture")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
