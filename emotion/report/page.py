"""A report as one HTML page: no script, nothing fetched, light and dark, wide and narrow. Pure functions."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from emotion_stream import __version__
from emotion_stream.emotion.report import figures, parts
from emotion_stream.emotion.report.parts import View, colour, count, label, milliseconds, percent
from emotion_stream.emotion.report.portraits import Portrait
from emotion_stream.emotion.report.table import Camera
from emotion_stream.sink.events.event import in_words

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, slots=True)
class Told:
    """What is known beside the results.

    Attributes:
        title: the page's heading.
        notice: a line to show; empty: none.
        portraits: faces for the contact sheets.
        dropped: reason to number of frames that the run gave up; None where only the results are known.
        labels: by which rules faces got their labels; empty where only the results are known.
        events: kind to number of events that the run told.
    """

    title: str
    notice: str = ""
    portraits: Sequence[Portrait] = field(default_factory=list)
    dropped: Mapping[str, int] | None = None
    labels: str = ""
    events: Mapping[str, int] = field(default_factory=dict)


@cache
def _environment() -> Environment:
    folder = Path(str(files(__package__) / "templates"))
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,  # results may come from anybody
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def page(cameras: Sequence[Camera], told: Told) -> str:
    """The whole page."""
    style = (files("emotion_stream.sink.web") / "static" / "theme.css").read_text("utf-8")
    style += (files(__package__) / "report.css").read_text("utf-8")
    text = (
        _environment()
        .get_template("page.html")
        .render(
            policy=Markup(POLICY),
            title=told.title,
            style=Markup(style),  # our own files
            when=_when(cameras),
            labels=told.labels,
            notice=told.notice,
            overview=_overview(cameras, told),
            events=in_words(told.events) if told.events else "",
            cameras=[_camera(camera, told) for camera in cameras],
            version=__version__,
        )
    )
    return text.lstrip() + "\n"


def _when(cameras: Sequence[Camera]) -> str:
    first = min(float(camera.captured.min()) for camera in cameras)
    last = max(float(camera.captured.max()) for camera in cameras)
    a, b = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
    until = f"{b:%H:%M:%S}" if a.date() == b.date() else f"{b:%Y-%m-%d %H:%M:%S}"
    names = f"{len(cameras)} cameras" if len(cameras) > 1 else f"camera {cameras[0].name}"
    return f"{names} · processed {a:%Y-%m-%d %H:%M:%S} to {until} UTC"


def _overview(cameras: Sequence[Camera], told: Told) -> list[tuple[str, str, str]]:
    """Name, value and what it is about of each figure at the head."""
    frames = sum(len(camera.seq) for camera in cameras)
    errors = sum(sum(camera.errors.values()) for camera in cameras)
    faces = sum(len(camera.frame) for camera in cameras)
    seen: dict[str, float] = {}
    for camera in cameras:
        for n, share in figures.shares(camera):
            name = label(camera, n)
            seen[name] = seen.get(name, 0.0) + share * len(camera.frame)
    most = max(seen, key=lambda name: seen[name], default=None)
    latencies = np.concatenate([camera.latency for camera in cameras])
    many = len(latencies) >= 100
    if told.dropped is None:
        lost, why = sum(figures.absent(camera) for camera in cameras), "numbers missing in the results"
    else:
        lost, why = sum(told.dropped.values()), parts.reasons(told.dropped)
    return [
        (
            "frames" if any(_moves(camera) for camera in cameras) else "pictures",
            count(frames),
            f"{count(errors)} unreadable" if errors else "all readable",
        ),
        _people(cameras),
        (
            "most often",
            most or "nobody",
            f"{percent(seen[most] / faces)} of sightings" if most else "no confirmed face",
        ),
        ("latency p50", milliseconds(float(np.percentile(latencies, 50))), "capture to result"),
        (
            "latency p99" if many else "longest latency",
            milliseconds(float(np.percentile(latencies, 99) if many else latencies.max())),
            "99 % take less" if many else f"of {count(len(latencies))} frames",
        ),
        ("not shown", count(lost), why if lost else "no frame was lost"),
    ]


def _moves(camera: Camera) -> bool:
    return figures.axis(camera).unit != "picture"


def _people(cameras: Sequence[Camera]) -> tuple[str, str, str]:
    """How many faces there were: followed ones, where anything was followed."""
    followed = [camera for camera in cameras if _moves(camera)]
    people = sum(len(set(camera.track.tolist())) for camera in followed)
    stills = sum(len(camera.frame) for camera in cameras if not _moves(camera))
    if not followed:
        return "faces", count(stills), "in pictures"
    sightings = sum(len(camera.frame) for camera in followed)
    return (
        "faces followed",
        count(people),
        f"{count(sightings)} sightings" + (f", {count(stills)} faces in pictures" if stills else ""),
    )


def _camera(camera: Camera, told: Told) -> View:
    along = figures.axis(camera)
    lives = figures.lives(camera, along)
    anybody = bool(len(camera.frame))
    return {
        "name": camera.name,
        "about": _about(camera, along),
        "unreadable": parts.reasons(camera.errors) if camera.errors else "",
        "legend": parts.swatches(camera),
        "timeline": parts.timeline(camera, along, lives) if anybody else None,
        "shares": parts.shares(camera) if anybody else None,
        "changes": parts.changes(camera, lives) if lives else None,
        "latency": parts.latency(camera),
        "pictures": parts.pictures(camera) if along.unit == "picture" else None,
        "sheet": _contact_sheet(camera, along, told.portraits) if anybody else None,
    }


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
    return " · ".join(what)


def _contact_sheet(camera: Camera, along: figures.Axis, portraits: Sequence[Portrait]) -> list[View]:
    """The surest faces of each emotion. Of pictures, the file says which one it is."""
    files_of = {int(seq): parts.file_name(camera, n) for n, seq in enumerate(camera.seq)}
    groups = []
    for n, name in enumerate(camera.labels):
        own = sorted((p for p in portraits if p[0].camera == camera.name and p[0].emotion == name), key=_surest)
        shown: list[dict[str, Any]] = []
        for sample, jpeg in own:
            still = along.unit == "picture"
            about = percent(sample.confidence) + ("" if still else f" · {parts.clock(sample.time)}")
            where = files_of.get(sample.seq, f"picture {sample.seq + 1}") if still else f"face {sample.track}"
            picture = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
            shown.append({"picture": picture, "about": about, "where": where})
        if shown:
            groups.append({"name": name, "colour": colour(name, n), "faces": shown})
    return groups


def _surest(portrait: Portrait) -> tuple[float, int]:
    return -portrait[0].confidence, portrait[0].track
