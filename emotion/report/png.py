"""A report's charts as PNG files, for documents that take no HTML. Drawn by OpenCV, on white."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from emotion.report import figures
from emotion.report.page import Told
from emotion.report.parts import SPARE, SPARSE, clock, count, label, milliseconds, percent
from emotion.report.portraits import Portrait
from emotion.report.table import Camera
from shared.errors import EmotionError
from sink.output import Image
from sink.text import Colour, fit, measure, write

WIDTH = 1600
"""Pixels across."""
PAD, LEFT = 40, 190
"""Pixels: the margin, and where strips begin."""
LETTERS = 0.75
TEXT: Colour = (34, 28, 25)
MUTED: Colour = (111, 97, 88)
TRACK: Colour = (241, 236, 233)
ACCENT: Colour = (216, 96, 37)
UNSURE: Colour = (216, 210, 205)


@cache
def _theme() -> dict[str, Colour]:
    """The light theme's colours of emotions."""
    light = (files("sink.web") / "static" / "theme.css").read_text().partition("@media")[0]
    return {name: _bgr(code) for name, code in re.findall(r"--([a-z]+): (#[0-9a-f]{6})", light)}


def _bgr(code: str) -> Colour:
    return int(code[5:7], 16), int(code[3:5], 16), int(code[1:3], 16)


def _colour(name: str, index: int) -> Colour:
    return UNSURE if index < 0 else _theme().get(name) or _bgr(SPARE[index % len(SPARE)])


def draw(cameras: Sequence[Camera], told: Told, directory: Path) -> list[Path]:
    """Write `CAMERA-timeline.png` and the like into a folder; returns what was written.

    Raises:
        OSError: a file cannot be written.
    """
    written = []
    for camera in cameras:
        own = [p for p in told.portraits if p[0].camera == camera.name]
        charts = {"latency": _latency(camera)}
        if len(camera.frame):
            charts |= {
                "timeline": _timeline(camera),
                "shares": _shares(camera),
                "transitions": _transitions(camera),
            }
        if own:
            charts["faces"] = _faces(camera, own)
        for name, image in charts.items():
            path = directory / f"{camera.name}-{name}.png"
            done, data = cv2.imencode(".png", image)
            if not done:
                raise EmotionError(f"{path} cannot be encoded")
            path.write_bytes(data.tobytes())
            written.append(path)
    return written


def _canvas(height: int, title: str) -> Image:
    out = np.full((height, WIDTH, 3), 255, np.uint8)
    _text(out, title, PAD, 46, 1.0)
    return out


def _text(out: Image, text: str, x: float, y: float, scale: float = LETTERS, colour: Colour = TEXT) -> None:
    """A line of text whose middle is at height `y`. OpenCV has ASCII letters only."""
    line = measure(text.encode("ascii", "replace").decode(), scale)
    write(out, line, round(x) - line.pad, round(y - line.size[1] / 2), colour)


def _right(out: Image, text: str, x: float, y: float, colour: Colour = MUTED) -> None:
    line = measure(text, LETTERS)
    _text(out, text, x - line.width, y, LETTERS, colour)


def _box(out: Image, x: float, y: float, right: float, bottom: float, colour: Colour) -> None:
    cv2.rectangle(
        out, (round(x), round(y)), (max(round(x), round(right) - 1), round(bottom) - 1), colour, cv2.FILLED
    )


def _timeline(camera: Camera) -> Image:
    along = figures.axis(camera)
    lives = figures.longest(figures.lives(camera, along))
    area, lane = 240, 34
    out = _canvas(120 + area + lane * len(lives) + 130, f"{camera.name}: emotions over time")
    room = WIDTH - PAD - LEFT
    means, _ = figures.over_time(camera, along)
    top = 90
    _box(out, LEFT, top, WIDTH - PAD, top + area, TRACK)
    for i, mean in enumerate(means):
        floor = top + area
        for n, share in enumerate(mean):
            if share >= SPARSE:
                x = LEFT + room * i / len(means)
                _box(out, x, floor - area * share, x + room / len(means) + 1, floor, _colour(camera.labels[n], n))
                floor -= area * share
    _right(out, "all faces", LEFT - 12, top + area / 2)
    y = top + area + 14
    for life in lives:
        _box(out, LEFT, y, WIDTH - PAD, y + lane - 6, TRACK)
        for part in life.stretches:
            a, b = (LEFT + room * along.share(at) for at in (part.start, part.end))
            _box(out, a, y, max(b, a + 1), y + lane - 6, _colour(label(camera, part.label), part.label))
        _right(out, f"face {life.track}", LEFT - 12, y + lane / 2 - 3)
        y += lane
    ends = (f"{along.start + 1:.0f}", f"{along.end:.0f}") if along.unit == "picture" else (
        clock(along.start), clock(along.end)
    )  # fmt: skip
    _text(out, ends[0], LEFT, y + 18, LETTERS, MUTED)
    _right(out, ends[1], WIDTH - PAD, y + 18)
    x = float(LEFT)
    for n, name in enumerate(camera.labels):
        _box(out, x, y + 52, x + 22, y + 74, _colour(name, n))
        _text(out, name, x + 30, y + 63)
        x += 30 + measure(name, LETTERS).width + 34
    return out


def _shares(camera: Camera) -> Image:
    found = figures.shares(camera)
    out = _canvas(100 + 52 * len(found), f"{camera.name}: shares of {count(len(camera.frame))} sightings")
    for row, (n, share) in enumerate(found):
        y, name = 86 + 52 * row, label(camera, n)
        right = WIDTH - PAD - 130
        _right(out, name, LEFT - 12, y + 18, TEXT)
        _box(out, LEFT, y, right, y + 36, TRACK)
        _box(out, LEFT, y, LEFT + (right - LEFT) * share, y + 36, _colour(name, n))
        _right(out, f"{100 * share:.1f} %", WIDTH - PAD, y + 18, TEXT)
    return out


def _transitions(camera: Camera) -> Image:
    lives = figures.lives(camera, figures.axis(camera))
    counts = figures.transitions(lives, len(camera.labels))
    side, wide = 76, 170
    out = _canvas(170 + side * len(counts), f"{camera.name}: changes of emotion, from row to column")
    top = max(1, int(counts.max()))
    for a, name in enumerate(camera.labels):
        y = 140 + side * a
        _right(out, name, LEFT - 12, y + side / 2, TEXT)
        heading = fit(name, LETTERS, wide)
        _text(out, name, LEFT + wide * a + (wide - heading.width) / 2, 116, LETTERS, MUTED)
        for b in range(len(counts)):
            x = LEFT + wide * b
            if a == b:
                continue
            strength = 0.6 * counts[a, b] / top
            mixed = tuple(round(t + (c - t) * strength) for t, c in zip(TRACK, ACCENT, strict=True))
            _box(out, x, y, x + wide - 4, y + side - 4, (mixed[0], mixed[1], mixed[2]))
            if counts[a, b]:
                text = count(int(counts[a, b]))
                _text(out, text, x + (wide - measure(text, LETTERS).width) / 2, y + side / 2)
    return out


def _latency(camera: Camera) -> Image:
    found = figures.latency(camera)
    out = _canvas(460, f"{camera.name}: latency from capture to result")
    floor, room = 360, WIDTH - 2 * PAD
    width = room / len(found.counts)
    for i, n in enumerate(found.counts):
        height = 260 * n / max(found.counts)
        if n:
            _box(out, PAD + i * width, floor - max(height, 2), PAD + (i + 1) * width - 3, floor, ACCENT)
    _box(out, PAD, floor, WIDTH - PAD, floor + 2, MUTED)
    _text(out, "0", PAD, floor + 24, LETTERS, MUTED)
    _right(out, milliseconds(found.top), WIDTH - PAD, floor + 24)
    told = f"p50 {milliseconds(found.p50)}, p95 {milliseconds(found.p95)}, p99 {milliseconds(found.p99)}"
    _text(out, told, PAD, floor + 68)
    return out


def _faces(camera: Camera, portraits: Sequence[Portrait]) -> Image:
    tile, step = 150, 162
    across = (WIDTH - PAD - LEFT) // step
    rows: list[tuple[str, Sequence[Portrait]]] = []
    for name in camera.labels:
        own = sorted((p for p in portraits if p[0].emotion == name), key=lambda p: -p[0].confidence)
        rows += [(name if i == 0 else "", own[i : i + across]) for i in range(0, len(own), across)]
    out = _canvas(100 + 196 * len(rows), f"{camera.name}: faces, the surest of each emotion")
    for r, (name, row) in enumerate(rows):
        y = 90 + 196 * r
        _right(out, name, LEFT - 16, y + 20, TEXT)
        for i, (sample, jpeg) in enumerate(row):
            x = LEFT + i * step
            image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            if image is not None:
                out[y : y + tile, x : x + tile] = cv2.resize(image, (tile, tile), interpolation=cv2.INTER_CUBIC)
            _text(out, percent(sample.confidence), x, y + tile + 18, 0.6, MUTED)
    return out
