"""What a report's page says about one camera, ready for its template. Pure functions."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from emotion_stream.emotion.report import figures
from emotion_stream.emotion.report.figures import DAY, UNCERTAIN, Axis, Life
from emotion_stream.emotion.report.table import Camera
from emotion_stream.shared.words.words import Words
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
    """A label's name, as data have it."""
    return UNSURE if index == UNCERTAIN else camera.labels[index]


def said(camera: Camera, index: int, words: Words) -> str:
    """A label's name for people."""
    return words.emotion(label(camera, index))


def milliseconds(seconds: float, words: Words) -> str:
    """A time in seconds as text, in milliseconds or, from two seconds on, in seconds."""
    if seconds >= 1.9995:
        return words("units.s", n=words.number(seconds, 1 if seconds < 100 else 0))
    return words("units.ms", n=words.number(seconds * 1000, 1 if seconds < 0.01 else 0))


def clock(seconds: float, words: Words) -> str:
    """Seconds as 1:02:03, 2:03 or, where it is short, 0:02.4."""
    if seconds < 10:
        return f"0:{math.floor(seconds * 10) / 10:04.1f}".replace(".", words.decimal)
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def reasons(counts: Mapping[str, int], words: Words, most: int = 4) -> str:
    """What happened how often, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = [(words.reason(name), n) for name, n in ordered[:most] if n]
    told = ", ".join(f"{name} {words.number(n)}" if n > 1 else name for name, n in shown)
    return words("report.and_more", list=told, n=len(ordered) - most) if len(ordered) > most else told


def swatches(camera: Camera, words: Words) -> list[View]:
    """The legend; uncertain only where something is."""
    found = [*range(len(camera.labels)), *([UNCERTAIN] if camera.uncertain.any() else [])]
    return [_named(camera, n, words) for n in found]


def _named(camera: Camera, n: int, words: Words) -> View:
    name = label(camera, n)
    return {"name": words.emotion(name), "colour": colour(name, n), "unsure": n == UNCERTAIN}


def file_name(camera: Camera, frame: int) -> str:
    """The file that a frame came from, without its folders."""
    return PurePath(camera.sources[camera.source[frame]]).name


def timeline(camera: Camera, along: Axis, lives: Sequence[Life], words: Words) -> View:
    """All faces together as areas, and a strip for each of those seen longest."""
    shown = figures.longest(list(lives))
    present = _present(camera, along, words)
    return {
        "heading": words("report.by_picture" if along.unit == "picture" else "report.over_time"),
        "bands": [_mean(camera, along, words), *([present] if present else [])],
        "strips": [_strip(camera, along, life, words) for life in shown],
        "ticks": _ticks(camera, along, words),
        "more": words("report.more_faces", n=len(lives) - len(shown)) if len(lives) > len(shown) else "",
    }


def _mean(camera: Camera, along: Axis, words: Words) -> View:
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
    best = [f"{said(camera, n, words)} {words.percent(share)}" for n, share in figures.shares(camera)[:3]]
    told = words("report.of_all_faces", list=", ".join(best))
    name = words("report.all_faces")
    return {"kind": "mean", "name": name, "wide": WIDE, "told": told, "shapes": shapes, "spots": spots}


def _present(camera: Camera, along: Axis, words: Words) -> View | None:
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
    told, name = words("report.at_once", n=f"{top:.0f}"), words("report.zero_to", n=f"{top:.0f}")
    return {"kind": "count", "name": name, "wide": WIDE, "told": told, "shapes": shapes, "spots": []}


def _strip(camera: Camera, along: Axis, life: Life, words: Words) -> View:
    bars = []
    for part in life.stretches:
        a, b = (100 * along.share(at) for at in (part.start, part.end))
        one = _named(camera, part.label, words)
        begin, end = _at(along, part.start, words), _at(along, part.end, words)
        title = words("report.stretch", emotion=one["name"], **{"from": begin, "to": end})
        bars.append({**one, "left": f"{a:.2f}", "width": f"{b - a:.2f}", "title": title})
    return {
        "name": words("report.face", track=str(life.track)),
        "told": words("report.face_seen", track=str(life.track), time=clock(life.seconds, words)),
        "bars": bars,
    }


def _at(along: Axis, place: float, words: Words) -> str:
    if along.unit == "picture":
        return str(int(place) + 1)
    if along.unit == "clock":
        begin, end = (datetime.fromtimestamp(along.origin + at, UTC).date() for at in (along.start, along.end))
        form = "%H:%M:%S" if begin == end else "%m-%d %H:%M:%S"
        return datetime.fromtimestamp(along.origin + place, UTC).strftime(form)
    return clock(place, words)


def _ticks(camera: Camera, along: Axis, words: Words) -> list[View]:
    """About five marks at round places, the first and last within the edges; of pictures, their files."""
    span = along.end - along.start
    step = next((s for s in STEPS if span / s <= 6), STEPS[-1] * math.ceil(span / STEPS[-1] / 6))
    first = float(math.ceil(along.start / step) * step)
    days = along.unit == "clock" and span > DAY
    if days:  # marks are midnights, told by their date alone
        step = int(DAY) * math.ceil(span / DAY / 6)
        first = -along.origin % DAY
    marks = []
    last = along.end - 1 if along.unit == "picture" else along.end
    for n in range(math.floor((last - first) / step) + 1):
        place = first + n * step
        whole = clock(place, words) if place >= 10 else f"0:{place:02.0f}"
        text = whole if along.unit == "medium" else _at(along, place, words)
        if days:
            text = f"{datetime.fromtimestamp(along.origin + place, UTC):%m-%d}"
        if along.unit == "picture":
            name = file_name(camera, int(place))
            text = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
            place += 0.5  # below the middle of its picture
        at = along.share(place)
        kind = "first" if at < 0.04 else "last" if at > 0.96 else ""
        marks.append({"kind": kind, "left": f"{100 * at:.2f}", "text": text})
    return marks


def shares(camera: Camera, words: Words) -> list[View]:
    """How often each label was shown."""
    return [
        {**_named(camera, n, words), "width": f"{100 * share:.1f}", "share": words.percent(share, 1)}
        for n, share in figures.shares(camera)
    ]


def changes(camera: Camera, lives: Sequence[Life], words: Words) -> View:
    """How often faces went from one emotion to another. A rate is told where there is enough to tell one from."""
    counts = figures.transitions(list(lives), len(camera.labels))
    used = [n for n in range(len(camera.labels)) if counts[n].any() or counts[:, n].any()]
    if not used:
        return {"rows": [], "told": words("report.no_change")}
    top, total = int(counts.max()), int(counts.sum())
    rows = [
        {
            "name": words.emotion(camera.labels[a]),
            "cells": [
                None if a == b else {"strength": f"{0.6 * counts[a, b] / top:.2f}", "count": int(counts[a, b])}
                for b in used
            ],
        }
        for a in used
    ]
    seconds = sum(life.seconds for life in lives)
    told = words("report.changed", n=total, time=clock(seconds, words))
    if total >= FEW and seconds >= 60:
        told = words("report.changed_rate", text=told, rate=words.number(60 * total / seconds, 1))
    return {"names": [words.emotion(camera.labels[n]) for n in used], "rows": rows, "told": told}


def latency(camera: Camera, words: Words) -> View:
    """How long results took, and what is missing."""
    found = figures.latency(camera)
    width, top = WIDE / len(found.counts), max(found.counts)
    bars = [
        {
            "x": f"{i * width:.1f}",
            "y": f"{100 - 96 * n / top:.1f}",
            "width": f"{width * 0.86:.1f}",
            "height": f"{96 * n / top:.1f}",
            "title": words(
                "report.frames_at", n=n, time=milliseconds(found.top * (i + 0.5) / len(found.counts), words)
            ),
        }
        for i, n in enumerate(found.counts)
        if n
    ]
    half, most = (milliseconds(seconds, words) for seconds in (found.top / 2, found.top))
    marks = [("first", 0, "0"), ("", 50, half), ("last", 100, most)]
    lost = figures.absent(camera)
    return {
        "wide": WIDE,
        "bars": bars,
        "told": told_latency(found, len(camera.latency), words),
        "ticks": [{"kind": kind, "left": left, "text": text} for kind, left, text in marks],
        "absent": words("report.absent", n=lost) if lost else words("report.none_absent"),
    }


def told_latency(found: figures.Latency, frames: int, words: Words) -> str:
    """The percentiles that so many frames have: 1 % of 20 is nobody."""
    told = [f"p50 {milliseconds(found.p50, words)}"]
    if frames >= 20:
        told.append(f"p95 {milliseconds(found.p95, words)}")
    if frames >= 100:
        told.append(f"p99 {milliseconds(found.p99, words)}")
    else:
        told.append(words("report.longest", time=milliseconds(found.longest, words)))
    return ", ".join(told)


def pictures(camera: Camera, words: Words) -> View:
    """Each picture by the name of its file, with what its faces show."""
    faces: dict[int, list[str]] = {}
    for row, frame in enumerate(camera.frame.tolist()):
        n = UNCERTAIN if camera.uncertain[row] else int(camera.label[row])
        share = words.percent(float(camera.confidence[row]))
        faces.setdefault(frame, []).append(f"{said(camera, n, words)} {share}")
    rows = []
    for frame in range(min(len(camera.seq), MOST_PICTURES)):
        none = "report.not_read" if frame in camera.unread else "report.no_face"
        rows.append({"file": file_name(camera, frame), "faces": ", ".join(faces.get(frame, [words(none)]))})
    more = len(camera.seq) - len(rows)
    return {"rows": rows, "more": words("report.more_pictures", n=more) if more else ""}
