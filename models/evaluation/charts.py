"""Pictures of training runs and of what models say. The only module of `models` that imports matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from emotion_stream.models.evaluation.metrics import RiskCoverage

COLUMNS = 3


def draw_history(history: Mapping[str, Sequence[float]], path: Path) -> None:
    """One chart per metric, training against validation, over epochs from 1."""
    names = [name for name in history if f"val_{name}" in history]
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 3 * rows), layout="constrained")
    for i, name in enumerate(names, start=1):
        axes = figure.add_subplot(rows, COLUMNS, i)
        epochs = np.arange(1, len(history[name]) + 1)
        marker = "o" if len(epochs) == 1 else None
        axes.plot(epochs, history[name], label="train", marker=marker)
        axes.plot(epochs, history[f"val_{name}"], label="validation", marker=marker)
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    FigureCanvasAgg(figure).print_png(str(path))


def draw_confusion(counts: NDArray[np.integer], labels: Sequence[str], path: Path) -> None:
    """Counts [classes, classes] as shares of each row's label."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6, 5.2), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(
        range(len(labels)), [f"{name} ({n})" for name, n in zip(labels, counts.sum(axis=1), strict=True)]
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("label (images)")
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=color, fontsize=9)
    axes.set_title("% of each label")
    FigureCanvasAgg(figure).print_png(str(path))


def draw_comparison(
    curves: Mapping[str, Sequence[float]], metric: str, path: Path, baseline: tuple[str, float]
) -> None:
    """One curve per run, and a line at what the baseline of this name has."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, values in curves.items():
        axes.plot(np.arange(1, len(values) + 1), values, label=name, marker="o" if len(values) == 1 else None)
    axes.axhline(baseline[1], color="#54698a", linestyle="--", linewidth=1, label=f"baseline: {baseline[0]}")
    axes.set_xlabel("epoch")
    axes.set_ylabel(metric.replace("_", " "))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    FigureCanvasAgg(figure).print_png(str(path))


def draw_reliability(
    counts: NDArray[np.integer], confidence: NDArray[np.floating], accuracy: NDArray[np.floating], path: Path
) -> None:
    """Accuracy over confidence per bin (`models.evaluate.reliability`), and how many images each bin holds."""
    bins = len(counts)
    middle = (np.arange(bins) + 0.5) / bins
    filled = counts > 0
    figure = Figure(figsize=(5.5, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    upper.bar(middle[filled], accuracy[filled], width=0.9 / bins, color="#4c78a8", label="accuracy")
    upper.plot(confidence[filled], confidence[filled], "o-", color="#e45756", label="mean confidence")
    upper.set_ylabel("accuracy")
    upper.set_ylim(0, 1)
    upper.grid(alpha=0.3)
    upper.legend(fontsize=8)
    gap = (counts * np.abs(confidence - accuracy)).sum() / counts.sum()
    upper.set_title(f"reliability, calibration error {gap:.3f}")
    lower.bar(middle, counts, width=0.9 / bins, color="#9a9a9a")
    lower.set_xlim(0, 1)
    lower.set_xlabel("highest probability")
    lower.set_ylabel("images")
    FigureCanvasAgg(figure).print_png(str(path))


def draw_risk_coverage(curve: RiskCoverage, threshold: float | None, path: Path) -> None:
    """Errors among the images answered, over the share answered; with the place of `threshold` marked."""
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(100 * curve.coverage, 100 * curve.risk, color="#4c78a8")
    if threshold is not None and (answered := int((curve.threshold >= threshold).sum())):
        x, y = 100 * curve.coverage[answered - 1], 100 * curve.risk[answered - 1]
        axes.plot([x], [y], "o", color="#e45756")
        text = f"uncertain below {threshold:.2f}:\n{x:.0f} % answered, {y:.1f} % of them wrong"
        axes.annotate(text, (x, y), (-12, 6), textcoords="offset points", ha="right", fontsize=9)
    axes.set_xlabel("% of images answered, the surest first")
    axes.set_ylabel("% of answers that are wrong")
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.set_title("risk and coverage")
    FigureCanvasAgg(figure).print_png(str(path))
