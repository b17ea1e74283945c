"""The parts of a report's page about one camera, as HTML with SVG where there are shapes. Pure functions."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from emotion.report import figures
from emotion.report.figures import UNCERTAIN, Axis, Life
from emotion.report.table import Camera

SPARE = ("#3aa6a6", "#c2779a", "#7d9b3c", "#a08264")
KNOWN = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Labels whose colours the theme has."""
WIDE = 1000.0
"""Units across a strip; it is stretched to the room there is."""
SPARSE = 0.005
"""Shares below are not drawn."""
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


def colour(name: str, index: int) -> str:
    """A label's colour in CSS; -1 is uncertain."""
    return f"var(--{name})" if name in KNOWN else "var(--line)" if index < 0 else SPARE[index % len(SPARE)]


def label(camera: Camera, index: int) -> str:
    """A label's name."""
    return "uncertain" if index == UNCERTAIN else camera.labels[index]


def count(n: int) -> str:
    """12345 as 12,345."""
    return f"{n:,}"


def percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def milliseconds(seconds: float) -> str:
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


def timeline(camera: Camera, along: Axis, lives: Sequence[Life]) -> str:
    """All faces together as areas, and a strip for each of those seen longest."""
    rows = [_mean(camera, along), _present(camera, along)]
    shown = figures.longest(list(lives))
    rows += [_strip(camera, along, life) for life in shown]
    more = len(lives) - len(shown)
    note = f'<p class="line muted">{count(more)} more faces were seen for shorter.</p>' if more else ""
    heading = "Emotions by picture" if along.unit == "picture" else "Emotions over time"
    return f'<div class="wide"><h3>{heading}</h3>{"".join(rows)}{_ticks(along)}{note}</div>'


def _lane(kind: str, name: str, content: str) -> str:
    return f'<div class="lane{kind}"><span>{escape(name)}</span>{content}</div>'


def _svg(content: str, height: float, told: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDE:g} {height:g}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(told)}">{content}</svg>'
    )


def _mean(camera: Camera, along: Axis) -> str:
    """Mean probabilities, stacked."""
    means, _ = figures.over_time(camera, along)
    width = WIDE / len(means)
    tops = means.cumsum(axis=1)
    paths = []
    for n, name in enumerate(camera.labels):
        pieces = [
            f"M{i * width:.1f} {100 * (1 - tops[i, n]):.1f}h{width:.2f}v{100 * means[i, n]:.1f}h{-width:.2f}z"
            for i in range(len(means))
            if means[i, n] >= SPARSE
        ]
        if pieces:
            paths.append(f'<path style="fill:{colour(name, n)}" d="{"".join(pieces)}"/>')
    best = ", ".join(f"{label(camera, n)} {percent(share)}" for n, share in figures.shares(camera)[:3])
    return _lane(" mean", "all faces", _svg("".join(paths), 100, f"Emotions of all faces: {best}"))


def _present(camera: Camera, along: Axis) -> str:
    """How many faces there were, where that changes."""
    _, present = figures.over_time(camera, along)
    top = float(present.max())
    if top <= 1:
        return ""
    width = WIDE / len(present)
    path = "".join(
        f"M{i * width:.1f} 100h{width:.2f}V{100 - 94 * n / top:.1f}h{-width:.2f}z"
        for i, n in enumerate(present)
        if n > 0
    )
    shape = f'<path style="fill:var(--muted);opacity:.55" d="{path}"/>'
    return _lane(" count", f"0 to {top:.0f}", _svg(shape, 100, f"Faces at once, {top:.0f} at the most"))


def _strip(camera: Camera, along: Axis, life: Life) -> str:
    rects = []
    for part in life.stretches:
        a, b = (WIDE * along.share(at) for at in (part.start, part.end))
        name = label(camera, part.label)
        fill = colour(name, part.label)
        rects.append(
            f'<rect x="{a:.1f}" y="0" width="{max(b - a, 1):.1f}" height="10" style="fill:{fill}">'
            f"<title>{escape(name)}, {_at(along, part.start)} to {_at(along, part.end)}</title></rect>"
        )
    told = f"Face {life.track}, seen for {clock(life.seconds)}"
    return _lane("", f"face {life.track}", _svg("".join(rects), 10, told))


def _at(along: Axis, place: float) -> str:
    if along.unit == "picture":
        return str(int(place) + 1)
    if along.unit == "clock":
        return f"{datetime.fromtimestamp(along.origin + place, UTC):%H:%M:%S}"
    return clock(place)


def _ticks(along: Axis) -> str:
    """About five marks at round places, the first and last within the edges."""
    span = along.end - along.start
    step = next((s for s in STEPS if span / s <= 6), STEPS[-1] * math.ceil(span / STEPS[-1] / 6))
    first = math.ceil(along.start / step) * step
    marks = []
    last = along.end - 1 if along.unit == "picture" else along.end
    for n in range(math.floor((last - first) / step) + 1):
        at = along.share(first + n * step)
        kind = ' class="first"' if at < 0.04 else ' class="last"' if at > 0.96 else ""
        place = first + n * step
        whole = clock(place) if place >= 10 else f"0:{place:02.0f}"
        text = whole if along.unit == "medium" else _at(along, place)
        marks.append(f'<span{kind} style="left:{100 * at:.2f}%">{text}</span>')
    return f'<div class="ticks" aria-hidden="true">{"".join(marks)}</div>'


def shares(camera: Camera) -> str:
    """How often each label was shown."""
    rows = "".join(
        f'<li style="--c:{colour(label(camera, n), n)};--w:{100 * share:.1f}%">'
        f"<span>{escape(label(camera, n))}</span><i><b></b></i><span>{100 * share:.1f} %</span></li>"
        for n, share in figures.shares(camera)
    )
    return f'<div><h3>Shares of all sightings</h3><ul class="shares">{rows}</ul></div>'


def transitions(camera: Camera, lives: Sequence[Life]) -> str:
    """How often faces went from one emotion to another."""
    counts = figures.transitions(list(lives), len(camera.labels))
    used = [n for n in range(len(camera.labels)) if counts[n].any() or counts[:, n].any()]
    heading = "<h3>Changes, from row to column</h3>"
    if not used:
        return f'<div>{heading}<p class="line muted">No face changed its emotion.</p></div>'
    top = int(counts.max())
    columns = "".join(f'<th scope="col">{escape(camera.labels[n])}</th>' for n in used)
    rows = []
    for a in used:
        cells = "".join(
            '<td class="self">·</td>'
            if a == b
            else f'<td style="--a:{0.6 * counts[a, b] / top:.2f}">{counts[a, b] or ""}</td>'
            for b in used
        )
        rows.append(f'<tr><th scope="row">{escape(camera.labels[a])}</th>{cells}</tr>')
    minutes = sum(life.seconds for life in lives) / 60
    total = int(counts.sum())
    rate = f"{count(total)} {'change' if total == 1 else 'changes'}, {total / minutes:.1f} per face and minute"
    body = f"<thead><tr><td class='self'></td>{columns}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div>{heading}<div class="scroll"><table>{body}</table></div><p class="line muted">{rate}</p></div>'


def latency(camera: Camera) -> str:
    """How long results took, and what is missing."""
    found = figures.latency(camera)
    width, top = WIDE / len(found.counts), max(found.counts)
    bars = "".join(
        f'<rect x="{i * width:.1f}" y="{100 - 96 * n / top:.1f}" width="{width * 0.86:.1f}"'
        f' height="{96 * n / top:.1f}"><title>{count(n)} frames at {milliseconds(found.top * (i + 0.5) / 48)}'
        "</title></rect>"
        for i, n in enumerate(found.counts)
        if n
    )
    told = f"p50 {milliseconds(found.p50)}, p95 {milliseconds(found.p95)}, p99 {milliseconds(found.p99)}"
    shape = _svg(bars, 100, f"Latency: {told}").replace("<svg ", '<svg class="histogram" ', 1)
    ticks = (
        f'<div class="ticks flush" aria-hidden="true"><span class="first" style="left:0">0</span>'
        f'<span style="left:50%">{milliseconds(found.top / 2)}</span>'
        f'<span class="last" style="left:100%">{milliseconds(found.top)}</span></div>'
    )
    lost = figures.absent(camera)
    absent = f"{count(lost)} frames are not in the results" if lost else "no frame is missing in the results"
    return (
        f'<div><h3>Latency, from capture to result</h3>{shape}{ticks}<p class="line">{told}</p>'
        f'<p class="line muted">{absent}</p></div>'
    )
