"""A report as one HTML page: no script, nothing fetched, light and dark, wide and narrow. Pure functions."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from importlib.resources import files

import numpy as np

from emotion.report import figures, parts
from emotion.report.parts import colour, count, label, milliseconds, percent
from emotion.report.portraits import Portrait
from emotion.report.table import Camera
from shared import __version__

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, slots=True)
class Told:
    """What is known beside the results.

    Attributes:
        title: the page's heading.
        notice: a line to show; empty: none.
        portraits: faces for the contact sheets.
        dropped: reason to number of frames that the run gave up; None where only the results are known.
    """

    title: str
    notice: str = ""
    portraits: Sequence[Portrait] = field(default_factory=list)
    dropped: Mapping[str, int] | None = None


def page(cameras: Sequence[Camera], told: Told) -> str:
    """The whole page."""
    style = (files("sink.web") / "static" / "theme.css").read_text()
    style += (files(__package__) / "report.css").read_text()
    notice = f'<p class="notice">{escape(told.notice)}</p>' if told.notice else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape(told.title)} · Emotion Stream</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(told.title)}</h1>{_when(cameras)}{notice}</header>\n{_overview(cameras, told)}"
        "<main>\n" + "\n".join(_camera(camera, told) for camera in cameras) + "\n</main>\n"
        "<footer><p>Shows the expression that people would see in a face, not what a person feels."
        f" Made by Emotion Stream {escape(__version__)}.</p></footer>\n</body>\n</html>\n"
    )


def _when(cameras: Sequence[Camera]) -> str:
    first = min(float(camera.captured.min()) for camera in cameras)
    last = max(float(camera.captured.max()) for camera in cameras)
    a, b = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
    until = f"{b:%H:%M:%S}" if a.date() == b.date() else f"{b:%Y-%m-%d %H:%M:%S}"
    names = f"{len(cameras)} cameras" if len(cameras) > 1 else f"camera {cameras[0].name}"
    return f'<p class="sub">{escape(names)} · processed {a:%Y-%m-%d %H:%M:%S} to {until} UTC</p>'


def _overview(cameras: Sequence[Camera], told: Told) -> str:
    frames = sum(len(camera.seq) for camera in cameras)
    errors = sum(sum(camera.errors.values()) for camera in cameras)
    faces = sum(len(camera.frame) for camera in cameras)
    people = sum(len(set(camera.track.tolist())) for camera in cameras)
    seen: dict[str, float] = {}
    for camera in cameras:
        for n, share in figures.shares(camera):
            name = label(camera, n)
            seen[name] = seen.get(name, 0.0) + share * len(camera.frame)
    most = max(seen, key=lambda name: seen[name], default=None)
    latencies = np.concatenate([camera.latency for camera in cameras])
    if told.dropped is None:
        lost, why = sum(figures.absent(camera) for camera in cameras), "numbers missing in the results"
    else:
        lost, why = sum(told.dropped.values()), parts.reasons(told.dropped)
    cells = [
        ("frames", count(frames), f"{count(errors)} unreadable" if errors else "all readable"),
        ("faces followed", count(people), f"{count(faces)} sightings"),
        (
            "most often",
            escape(most) if most else "nobody",
            f"{percent(seen[most] / faces)} of sightings" if most else "no confirmed face",
        ),
        ("latency p50", milliseconds(float(np.percentile(latencies, 50))), "capture to result"),
        ("latency p99", milliseconds(float(np.percentile(latencies, 99))), "99 % take less"),
        ("not shown", count(lost), why if lost else "no frame was lost"),
    ]
    body = "".join(f"<div><dt>{a}</dt><dd>{b}<small>{escape(c)}</small></dd></div>" for a, b, c in cells)
    return f'<dl class="figures">{body}</dl>\n'


def _camera(camera: Camera, told: Told) -> str:
    along = figures.axis(camera)
    lives = figures.lives(camera, along)
    head = f"<h2>{escape(camera.name)}</h2>{_about(camera, along)}"
    legend = "".join(
        f'<li style="--c:{colour(camera.labels[n], n)}">{escape(camera.labels[n])}</li>'
        for n in range(len(camera.labels))
    )
    sections = [head]
    if len(camera.frame):
        unsure = '<li style="--c:var(--line)">uncertain</li>' if camera.uncertain.any() else ""
        sections += [
            f'<ul class="legend">{legend}{unsure}</ul>',
            parts.timeline(camera, along, lives),
            '<div class="parts">',
            parts.shares(camera),
            parts.transitions(camera, lives) if lives else "",
            parts.latency(camera),
            "</div>",
            _contact_sheet(camera, along, told.portraits),
        ]
    else:
        sections += ['<p class="line">No face was seen often enough to be believed.</p>', '<div class="parts">']
        sections += [parts.latency(camera), "</div>"]
    return f'<section class="camera" aria-label="Camera {escape(camera.name)}">{"".join(sections)}</section>'


def _about(camera: Camera, along: figures.Axis) -> str:
    what = [f"{count(len(camera.seq))} {'pictures' if along.unit == 'picture' else 'frames'}"]
    if along.unit != "picture":
        what.append(parts.clock(along.end - along.start))
    if (rate := figures.rate(camera)) is not None:
        what.append(f"{rate:.1f} per second")
    if lost := figures.absent(camera):
        what.append(f"{count(lost)} not in the results")
    if camera.unconfirmed:
        what.append(f"{count(camera.unconfirmed)} sightings left out, never confirmed")
    if len(camera.sources) == 1:
        what.insert(0, camera.sources[0])
    told = f'<p class="sub">{escape(" · ".join(what))}</p>'
    if camera.errors:
        told += f'<p class="sub">{escape("Unreadable: " + parts.reasons(camera.errors))}</p>'
    return told


def _contact_sheet(camera: Camera, along: figures.Axis, portraits: Sequence[Portrait]) -> str:
    """The surest faces of each emotion."""
    groups = []
    for n, name in enumerate(camera.labels):
        own = sorted((p for p in portraits if p[0].camera == camera.name and p[0].emotion == name), key=_surest)
        if not own:
            continue
        shown = []
        for sample, jpeg in own:
            where = f"picture {sample.seq + 1}" if along.unit == "picture" else f"face {sample.track}"
            when = "" if along.unit == "picture" else f" · {parts.clock(sample.time)}"
            picture = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
            shown.append(
                f'<figure><img src="{picture}" alt="{escape(name)}, {where}">'
                f"<figcaption>{percent(sample.confidence)}{when}<br>{where}</figcaption></figure>"
            )
        groups.append(
            f'<div class="group" style="--c:{colour(name, n)}"><p><span class="swatch"></span>{escape(name)}</p>'
            f'<div class="faces">{"".join(shown)}</div></div>'
        )
    return f'<div class="wide"><h3>Faces, the surest of each emotion</h3>{"".join(groups)}</div>' if groups else ""


def _surest(portrait: Portrait) -> tuple[float, int]:
    return -portrait[0].confidence, portrait[0].track
