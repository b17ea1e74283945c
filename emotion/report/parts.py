"""What a report's page says about one camera, ready for its template. Pure functions."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from emotion_stream.emotion.report import figures
from emotion_stream.emotion.report.figures import UNCERTAIN, Axis, Life
from emotion_stream.emotion.report.table import Camera
from emotion_stream.sink.results.output import UNCERTAIN as UNSURE

View = dict[str, Any]
"""What a template shows, by name."""

SPARE = ("#3aa6a6", "#c2779a", "#7d9b3c", "#a08264")
KNOWN = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Labels whose colours the theme has."""
WIDE = 1000.0
"""Units across a strip; it is stretched to the room there is."""
SPARSE = 0.005
"""Shares below are not drawn."""
LONGEST_NAME = 18
"""Letters of a file's name that fit below a timeline."""
MOST_PICTURES = 200
"""Pictures that are listed by name."""
FEW = 5
"""Changes from which on a rate is told: one or two say nothing about a minute."""
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


def colour(name: str, index: int) -> str:
    """A label's colour in CSS; -1 is uncertain."""
    return f"var(--{name})" if name in KNOWN else "var(--unsure)" if index < 0 else SPARE[index % len(SPARE)]


def label(camera: Camera, index: int) -> str:
    """A label's name."""
    return UNSURE if index == UNCERTAIN else camera.labels[index]


def count(n: int) -> str:
    """12345 as 12,345."""
    return f"{n:,}"


def percent(share: float) -> str:
    """A share from 0 to 1 as text: `42 %`."""
    return f"{share * 100:.0f} %"


def milliseconds(seconds: float) -> str:
    """A time in seconds as text, in milliseconds or, from two seconds on, in seconds."""
    if seconds >= 1.9995:
        return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def clock(seconds: float) -> str:
    """Seconds as 1:02:03, 2:03 or, where it is short, 0:02.4."""
    if seconds < 10:
        return f"0:{math.floor(seconds * 10) / 10:04.1f}"
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def reasons(counts: Mapping[str, int], most: int = 4) -> str:
    """What happened how often, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    told = [f"{name} {count(n)}" if n > 1 else name for name, n in ordered[:most] if n]
    return ", ".join(told) + (f" and {len(ordered) - most} more" if len(ordered) > most else "")


def swatches(camera: Camera) -> list[View]:
    """The legend; uncertain only where something is."""
    found = [*range(len(camera.labels)), *([UNCERTAIN] if camera.uncertain.any() else [])]
    return [_named(camera, n) for n in found]


def _named(camera: Camera, n: int) -> View:
    name = label(camera, n)
    return {"name": name, "colour": colour(name, n), "unsure": n == UNCERTAIN}


def file_name(camera: Camera, frame: int) -> str:
    """The file that a frame came from, without its folders."""
    return PurePath(camera.sources[camera.source[frame]]).name


def timeline(camera: Camera, along: Axis, lives: Sequence[Life]) -> View:
    """All faces together as areas, and a strip for each of those seen longest."""
    shown = figures.longest(list(lives))
    present = _present(camera, along)
    return {
        "heading": "Emotions by picture" if along.unit == "picture" else "Emotions over time",
        "bands": [_mean(camera, along), *([present] if present else [])],
        "strips": [_strip(camera, along, life) for life in shown],
        "ticks": _ticks(camera, along),
        "more": count(len(lives) - len(shown)) if len(lives) > len(shown) else "",
    }


def _mean(camera: Camera, along: Axis) -> View:
    """Mean probabilities, stacked; of pictures, each says its name."""
    means, _ = figures.over_time(camera, along)
    width = WIDE / len(means)
    tops = means.cumsum(axis=1)
    shapes = []
    for n, name in enumerate(camera.labels):
        pieces = [
            f"M{i * width:.1f} {100 * (1 - tops[i, n]):.1f}h{width:.2f}v{100 * means[i, n]:.1f}h{-width:.2f}z"
            for i in range(len(means))
            if means[i, n] >= SPARSE
        ]
        if pieces:
            shapes.append({"colour": colour(name, n), "path": "".join(pieces)})
    spots = []
    if along.unit == "picture" and len(means) == len(camera.seq):
        spots = [
            {"x": f"{i * width:.1f}", "width": f"{width:.2f}", "title": file_name(camera, i)}
            for i in range(len(means))
        ]
    best = ", ".join(f"{label(camera, n)} {percent(share)}" for n, share in figures.shares(camera)[:3])
    told = f"Emotions of all faces: {best}"
    return {"kind": "mean", "name": "all faces", "wide": WIDE, "told": told, "shapes": shapes, "spots": spots}


def _present(camera: Camera, along: Axis) -> View | None:
    """How many faces there were, where that changes."""
    _, present = figures.over_time(camera, along)
    top = float(present.max())
    if top <= 1:
        return None
    width = WIDE / len(present)
    path = "".join(
        f"M{i * width:.1f} 100h{width:.2f}V{100 - 94 * n / top:.1f}h{-width:.2f}z"
        for i, n in enumerate(present)
        if n > 0
    )
    shapes = [{"colour": "var(--muted);opacity:.55", "path": path}]
    told = f"Faces at once, {top:.0f} at the most"
    return {"kind": "count", "name": f"0 to {top:.0f}", "wide": WIDE, "told": told, "shapes": shapes, "spots": []}


def _strip(camera: Camera, along: Axis, life: Life) -> View:
    bars = []
    for part in life.stretches:
        a, b = (100 * along.share(at) for at in (part.start, part.end))
        one = _named(camera, part.label)
        title = f"{one['name']}, {_at(along, part.start)} to {_at(along, part.end)}"
        bars.append({**one, "left": f"{a:.2f}", "width": f"{b - a:.2f}", "title": title})
    return {
        "name": f"face {life.track}",
        "told": f"Face {life.track}, seen for {clock(life.seconds)}",
        "bars": bars,
    }


def _at(along: Axis, place: float) -> str:
    if along.unit == "picture":
        return str(int(place) + 1)
    if along.unit == "clock":
        return f"{datetime.fromtimestamp(along.origin + place, UTC):%H:%M:%S}"
    return clock(place)


def _ticks(camera: Camera, along: Axis) -> list[View]:
    """About five marks at round places, the first and last within the edges; of pictures, their files."""
    span = along.end - along.start
    step = next((s for s in STEPS if span / s <= 6), STEPS[-1] * math.ceil(span / STEPS[-1] / 6))
    first = math.ceil(along.start / step) * step
    marks = []
    last = along.end - 1 if along.unit == "picture" else along.end
    for n in range(math.floor((last - first) / step) + 1):
        place = float(first + n * step)
        whole = clock(place) if place >= 10 else f"0:{place:02.0f}"
        text = whole if along.unit == "medium" else _at(along, place)
        if along.unit == "picture":
            name = file_name(camera, int(place))
            text = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
            place += 0.5  # below the middle of its picture
        at = along.share(place)
        kind = "first" if at < 0.04 else "last" if at > 0.96 else ""
        marks.append({"kind": kind, "left": f"{100 * at:.2f}", "text": text})
    return marks


def shares(camera: Camera) -> list[View]:
    """How often each label was shown."""
    return [
        {**_named(camera, n), "width": f"{100 * share:.1f}", "share": f"{100 * share:.1f} %"}
        for n, share in figures.shares(camera)
    ]


def changes(camera: Camera, lives: Sequence[Life]) -> View:
    """How often faces went from one emotion to another. A rate is told where there is enough to tell one from."""
    counts = figures.transitions(list(lives), len(camera.labels))
    used = [n for n in range(len(camera.labels)) if counts[n].any() or counts[:, n].any()]
    if not used:
        return {"rows": [], "told": "No face changed its emotion."}
    top, total = int(counts.max()), int(counts.sum())
    rows = [
        {
            "name": camera.labels[a],
            "cells": [
                None if a == b else {"strength": f"{0.6 * counts[a, b] / top:.2f}", "count": int(counts[a, b])}
                for b in used
            ],
        }
        for a in used
    ]
    seconds = sum(life.seconds for life in lives)
    told = f"{count(total)} {'change' if total == 1 else 'changes'} in {clock(seconds)} of faces"
    if total >= FEW and seconds >= 60:
        told += f", {60 * total / seconds:.1f} per face and minute"
    return {"names": [camera.labels[n] for n in used], "rows": rows, "told": told}


def latency(camera: Camera) -> View:
    """How long results took, and what is missing."""
    found = figures.latency(camera)
    width, top = WIDE / len(found.counts), max(found.counts)
    bars = [
        {
            "x": f"{i * width:.1f}",
            "y": f"{100 - 96 * n / top:.1f}",
            "width": f"{width * 0.86:.1f}",
            "height": f"{96 * n / top:.1f}",
            "title": f"{count(n)} frames at {milliseconds(found.top * (i + 0.5) / len(found.counts))}",
        }
        for i, n in enumerate(found.counts)
        if n
    ]
    marks = [("first", 0, "0"), ("", 50, milliseconds(found.top / 2)), ("last", 100, milliseconds(found.top))]
    lost = figures.absent(camera)
    return {
        "wide": WIDE,
        "bars": bars,
        "told": told_latency(found, len(camera.latency)),
        "ticks": [{"kind": kind, "left": left, "text": text} for kind, left, text in marks],
        "absent": f"{count(lost)} frames are not in the results" if lost else "no frame is missing in the results",
    }


def told_latency(found: figures.Latency, frames: int) -> str:
    """The percentiles that so many frames have: 1 % of 20 is nobody."""
    told = f"p50 {milliseconds(found.p50)}"
    told += f", p95 {milliseconds(found.p95)}" if frames >= 20 else ""
    return told + (
        f", p99 {milliseconds(found.p99)}" if frames >= 100 else f", longest {milliseconds(found.longest)}"
    )


def pictures(camera: Camera) -> View:
    """Each picture by the name of its file, with what its faces show."""
    faces: dict[int, list[str]] = {}
    for row, frame in enumerate(camera.frame.tolist()):
        n = UNCERTAIN if camera.uncertain[row] else int(camera.label[row])
        faces.setdefault(frame, []).append(f"{label(camera, n)} {percent(float(camera.confidence[row]))}")
    rows = [
        {"file": file_name(camera, frame), "faces": ", ".join(faces.get(frame, ["no face"]))}
        for frame in range(min(len(camera.seq), MOST_PICTURES))
    ]
    more = len(camera.seq) - len(rows)
    return {"rows": rows, "more": count(more) if more else ""}
