"""A report's charts as PNG files, for documents that take no HTML. Drawn by Matplotlib, on white."""

import importlib.util
import re
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emotion_stream.emotion.report import figures, parts
from emotion_stream.emotion.report.figures import UNCERTAIN
from emotion_stream.emotion.report.page import Told
from emotion_stream.emotion.report.parts import SPARE, clock, label, milliseconds, said
from emotion_stream.emotion.report.portraits import Portrait
from emotion_stream.emotion.report.table import Camera
from emotion_stream.shared.errors import EmotionError, to_install
from emotion_stream.shared.whole import write_whole
from emotion_stream.shared.words.words import Words
from emotion_stream.sink.marks import mark

WIDTH, DOTS = 10.0, 160
"""Inches across, and pixels of an inch."""
TEXT, MUTED, TRACK, ACCENT, UNSURE = "#191c22", "#58616f", "#e9ecf1", "#2560d8", "#6b7585"
STRIPES = "/////"
CHARTS = ("latency", "timeline", "shares", "transitions", "faces")
FEW_FILES = 30
"""Pictures that a chart names by their files."""


def check_library() -> None:
    """
    Raises:
        EmotionError: what draws the charts is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise EmotionError(f"--png needs one more package: {to_install('matplotlib')}")


@cache
def _theme() -> dict[str, str]:
    """The light theme's colours of emotions."""
    light = (files("emotion_stream.sink.web") / "static" / "theme.css").read_text("utf-8").partition("@media")[0]
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", light))


def _style(name: str, index: int) -> dict[str, Any]:
    """How a label's bar is filled: uncertain is striped, as on the page."""
    if index == UNCERTAIN:
        return {"facecolor": "white", "edgecolor": UNSURE, "hatch": STRIPES, "linewidth": 0}
    return {"facecolor": _theme().get(name) or SPARE[index % len(SPARE)], "linewidth": 0}


def paths(cameras: Sequence[Camera], directory: Path) -> list[Path]:
    """All that `draw` may write. Pure."""
    return [directory / f"{camera.name}-{name}.png" for camera in cameras for name in CHARTS]


def draw(cameras: Sequence[Camera], told: Told, directory: Path) -> list[Path]:
    """Write `CAMERA-timeline.png` and the like into a folder; returns what was written.

    Raises:
        OSError: a file cannot be written.
    """
    words = told.words
    written = []
    for camera in cameras:
        own = [p for p in told.portraits if p[0].camera == camera.name]
        charts = {"latency": _latency(camera, words)}
        if len(camera.frame):
            charts |= {"timeline": _timeline(camera, words), "shares": _shares(camera, words)}
            if figures.axis(camera).unit != "picture":  # there, no face is seen twice
                charts["transitions"] = _transitions(camera, words)
        if own:
            charts["faces"] = _faces(camera, own, words)
        for name, chart in charts.items():
            path = directory / f"{camera.name}-{name}.png"
            write_whole(path, mark(_encoded(chart)))
            written.append(path)
    return written


def _encoded(chart: Any) -> bytes:
    data = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # letters that its font has not are drawn as boxes
        chart.savefig(data, format="png", dpi=DOTS)
    return data.getvalue()


def _chart(height: float, title: str) -> tuple[Any, Any]:
    """A figure of so many inches, and its axes without a frame."""
    from matplotlib.figure import Figure  # an extra: only where charts are asked for

    chart = Figure(figsize=(WIDTH, height), facecolor="white", layout="constrained")
    axes = chart.subplots()
    axes.set_title(title, loc="left", color=TEXT, fontsize=13, pad=12)
    axes.tick_params(length=0, colors=TEXT)
    for side in axes.spines.values():
        side.set_visible(False)
    return chart, axes


def _timeline(camera: Camera, words: Words) -> Any:
    along = figures.axis(camera)
    lives = figures.longest(figures.lives(camera, along))
    area, how = 5.0, "by_picture" if along.unit == "picture" else "over_time"
    chart, axes = _chart(3.2 + 0.28 * len(lives), words(f"report.chart_{how}", camera=camera.name))
    means, _ = figures.over_time(camera, along)
    edges = np.linspace(along.start, along.end, len(means) + 1)
    axes.barh(-area / 2, along.end - along.start, area, along.start, facecolor=TRACK)
    floor = np.full(len(means), -area)
    for n, name in enumerate(camera.labels):
        tall = np.nan_to_num(means[:, n]) * area
        axes.bar(edges[:-1], tall, np.diff(edges), floor, align="edge", **_style(name, n))
        floor += tall
    places, names = [-area / 2], [words("report.all_faces")]
    for row, life in enumerate(lives, 1):
        y = -area - row
        axes.barh(y, along.end - along.start, 0.75, along.start, facecolor=TRACK)
        for part in life.stretches:
            axes.barh(y, part.end - part.start, 0.75, part.start, **_style(label(camera, part.label), part.label))
        places.append(y)
        names.append(words("report.face", track=str(life.track)))
    axes.set_yticks(places, names)
    axes.set_xlim(along.start, along.end)
    axes.set_ylim(-area - len(lives) - 0.6, 0.1)
    if along.unit == "picture" and len(camera.seq) <= FEW_FILES:
        files_named = [parts.file_name(camera, n) for n in range(len(camera.seq))]
        axes.set_xticks(along.at + 0.5, files_named, rotation=40, ha="right", fontsize=8)
    else:
        axes.xaxis.set_major_formatter(
            lambda at, _: str(int(at) + 1) if along.unit == "picture" else clock(max(0.0, at), words)
        )
    from matplotlib.patches import Patch

    shown = [*range(len(camera.labels)), *([UNCERTAIN] if camera.uncertain.any() else [])]
    patches = [Patch(label=said(camera, n, words), **_style(label(camera, n), n)) for n in shown]
    chart.legend(handles=patches, loc="outside lower center", ncols=len(shown), frameon=False, fontsize=9)
    return chart


def _shares(camera: Camera, words: Words) -> Any:
    found = figures.shares(camera)
    title = words("report.chart_shares", camera=camera.name, n=len(camera.frame))
    chart, axes = _chart(0.9 + 0.38 * len(found), title)
    for row, (n, share) in enumerate(found):
        axes.barh(-row, 100, 0.7, facecolor=TRACK)
        axes.barh(-row, 100 * share, 0.7, **_style(label(camera, n), n))
        axes.text(101, -row, words.percent(share, 1), va="center", color=TEXT)
    axes.set_yticks([-row for row in range(len(found))], [said(camera, n, words) for n, _ in found])
    axes.set_xticks([])
    axes.set_xlim(0, 110)
    return chart


def _transitions(camera: Camera, words: Words) -> Any:
    lives = figures.lives(camera, figures.axis(camera))
    counts = figures.transitions(lives, len(camera.labels))
    chart, axes = _chart(1.4 + 0.55 * len(counts), words("report.chart_changes", camera=camera.name))
    names = [words.emotion(name) for name in camera.labels]
    top = max(1, int(counts.max()))
    ground, full = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for c in (TRACK, ACCENT))
    cells = ground + (full - ground) * 0.6 * (counts / top)[:, :, np.newaxis]
    cells[np.eye(len(counts), dtype=bool)] = 1.0
    axes.imshow(cells, aspect="auto")
    for a, b in np.argwhere(counts):
        axes.text(b, a, words.number(int(counts[a, b])), ha="center", va="center", color=TEXT)
    axes.set_xticks(range(len(counts)), names)
    axes.set_yticks(range(len(counts)), names)
    axes.xaxis.tick_top()
    return chart


def _latency(camera: Camera, words: Words) -> Any:
    found = figures.latency(camera)
    chart, axes = _chart(2.9, words("report.chart_latency", camera=camera.name))
    edges = np.linspace(0, found.top, len(found.counts) + 1)
    axes.bar(edges[:-1], found.counts, np.diff(edges) * 0.86, align="edge", facecolor=ACCENT)
    axes.spines["bottom"].set_visible(True)
    axes.set_yticks([])
    axes.set_xlim(0, found.top)
    axes.xaxis.set_major_formatter(lambda at, _: "0" if at <= 0 else milliseconds(at, words))
    axes.set_xlabel(parts.told_latency(found, len(camera.latency), words), color=TEXT, loc="left")
    return chart


def _faces(camera: Camera, portraits: Sequence[Portrait], words: Words) -> Any:
    from matplotlib.figure import Figure

    across = 8
    rows: list[tuple[str, Sequence[Portrait]]] = []
    for name in camera.labels:
        own = sorted((p for p in portraits if p[0].emotion == name), key=lambda p: -p[0].confidence)
        rows += [(words.emotion(name) if i == 0 else "", own[i : i + across]) for i in range(0, len(own), across)]
    stills = figures.axis(camera).unit == "picture"
    of = {int(seq): parts.file_name(camera, n) for n, seq in enumerate(camera.seq)}
    tall = 0.9 + (1.75 if stills else 1.6) * len(rows)
    chart = Figure(figsize=(WIDTH, tall), facecolor="white")
    title = words("report.chart_faces", camera=camera.name)
    chart.text(0.01, 1 - 0.3 / tall, title, color=TEXT, fontsize=13)
    grid = chart.subplots(len(rows), across, squeeze=False)
    chart.subplots_adjust(0.01, 0.4 / tall, 0.99, 1 - 0.75 / tall, wspace=0.08, hspace=0.55)
    for axes in grid.flat:
        axes.axis("off")
    for r, (name, row) in enumerate(rows):
        for i, (sample, jpeg) in enumerate(row):
            axes = grid[r, i]
            image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            if image is not None:
                axes.imshow(image[:, :, ::-1])
            where = f"\n{of.get(sample.seq, '')[: parts.LONGEST_NAME]}" if stills else ""
            told = f"{words.percent(sample.confidence)}{where}"
            axes.text(0, -0.04, told, transform=axes.transAxes, fontsize=8, color=MUTED, va="top")
        grid[r, 0].text(0, 1.03, name, transform=grid[r, 0].transAxes, color=TEXT, fontsize=10, va="bottom")
    return chart
