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
from emotion_stream.emotion.labels import told_labels
from emotion_stream.emotion.report import figures, parts
from emotion_stream.emotion.report.parts import View, colour, label, milliseconds
from emotion_stream.emotion.report.portraits import Portrait
from emotion_stream.emotion.report.table import Camera
from emotion_stream.shared.words.words import ENGLISH, Words
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
        labels: by which rules faces got their labels, as the summary tells it; None where only the results are
            known.
        events: kind to number of events that the run told.
        words: the language.
    """

    title: str
    notice: str = ""
    portraits: Sequence[Portrait] = field(default_factory=list)
    dropped: Mapping[str, int] | None = None
    labels: Mapping[str, Any] | None = None
    events: Mapping[str, int] = field(default_factory=dict)
    words: Words = ENGLISH


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
    words = told.words
    style = (files("emotion_stream.sink.web") / "static" / "theme.css").read_text("utf-8")
    style += (files(__package__) / "report.css").read_text("utf-8")
    text = (
        _environment()
        .get_template("page.html")
        .render(
            policy=Markup(POLICY),
            title=told.title,
            style=Markup(style),  # our own files
            words=words,
            when=_when(cameras, words),
            labels=told_labels(told.labels, words) if told.labels else "",
            notice=told.notice,
            overview=_overview(cameras, told),
            events=in_words(told.events, words),
            cameras=[_camera(camera, told) for camera in cameras],
            version=__version__,
        )
    )
    return text.lstrip() + "\n"


def _when(cameras: Sequence[Camera], words: Words) -> str:
    first = min(float(camera.captured.min()) for camera in cameras)
    last = max(float(camera.captured.max()) for camera in cameras)
    a, b = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
    form = words("report.date")
    until = f"{b:%H:%M:%S}" if a.date() == b.date() else b.strftime(form)
    many = len(cameras) > 1
    names = words("report.cameras", n=len(cameras)) if many else words("report.camera", name=cameras[0].name)
    return words("report.processed", cameras=names, **{"from": a.strftime(form), "to": until})


def _overview(cameras: Sequence[Camera], told: Told) -> list[tuple[str, str, str]]:
    """Name, value and what it is about of each figure at the head."""
    words = told.words
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
        lost, why = sum(figures.absent(camera) for camera in cameras), words("report.numbers_missing")
    else:
        lost, why = sum(told.dropped.values()), parts.reasons(told.dropped, words)
    return [
        (
            words("report.frames" if any(_moves(camera) for camera in cameras) else "report.pictures"),
            words.number(frames),
            words("report.unreadable", n=errors) if errors else words("report.all_readable"),
        ),
        _people(cameras, words),
        (
            words("report.most_often"),
            words.emotion(most) if most else words("report.nobody"),
            words("report.of_sightings", share=words.percent(seen[most] / faces))
            if most
            else words("report.no_confirmed"),
        ),
        (
            words("report.latency_half"),
            milliseconds(float(np.percentile(latencies, 50)), words),
            words("report.to_result"),
        ),
        (
            words("report.latency_most" if many else "report.latency_longest"),
            milliseconds(float(np.percentile(latencies, 99) if many else latencies.max()), words),
            words("report.most_take_less") if many else words("report.of_frames", n=len(latencies)),
        ),
        (words("report.not_shown"), words.number(lost), why if lost else words("report.none_lost")),
    ]


def _moves(camera: Camera) -> bool:
    return figures.axis(camera).unit != "picture"


def _people(cameras: Sequence[Camera], words: Words) -> tuple[str, str, str]:
    """How many faces there were: followed ones, where anything was followed."""
    followed = [camera for camera in cameras if _moves(camera)]
    people = sum(len({*zip(c.epoch[c.frame].tolist(), c.track.tolist(), strict=True)}) for c in followed)
    stills = sum(len(camera.frame) for camera in cameras if not _moves(camera))
    if not followed:
        return words("report.faces"), words.number(stills), words("report.in_pictures")
    sightings = sum(len(camera.frame) for camera in followed)
    seen = words("report.sightings", n=sightings)
    if stills:
        seen = words("report.and_in_pictures", sightings=seen, n=stills)
    return words("report.followed"), words.number(people), seen


def _camera(camera: Camera, told: Told) -> View:
    words = told.words
    along = figures.axis(camera)
    lives = figures.lives(camera, along)
    anybody = bool(len(camera.frame))
    return {
        "name": camera.name,
        "about": _about(camera, along, words),
        "unreadable": parts.reasons(camera.errors, words) if camera.errors else "",
        "legend": parts.swatches(camera, words),
        "timeline": parts.timeline(camera, along, lives, words) if anybody else None,
        "shares": parts.shares(camera, words) if anybody else None,
        "changes": parts.changes(camera, lives, words) if lives else None,
        "latency": parts.latency(camera, words),
        "pictures": parts.pictures(camera, words) if along.unit == "picture" else None,
        "sheet": _contact_sheet(camera, along, told) if anybody else None,
    }


def _about(camera: Camera, along: figures.Axis, words: Words) -> str:
    unit = "report.n_pictures" if along.unit == "picture" else "report.n_frames"
    what = [words(unit, n=len(camera.seq))]
    if along.unit != "picture":
        what.append(parts.clock(along.end - along.start, words))
        if (rate := figures.rate(camera)) is not None:
            what.append(words("report.rate", n=words.number(rate, 1)))
    if lost := figures.absent(camera):
        what.append(words("report.not_in_results", n=lost))
    if camera.unconfirmed:
        what.append(words("report.left_out", n=camera.unconfirmed))
    if len(camera.sources) == 1:
        what.insert(0, camera.sources[0])
    return " · ".join(what)


def _contact_sheet(camera: Camera, along: figures.Axis, told: Told) -> list[View]:
    """The surest faces of each emotion. Of pictures, the file says which one it is."""
    words, portraits = told.words, told.portraits
    files_of = {int(seq): parts.file_name(camera, n) for n, seq in enumerate(camera.seq)}
    groups = []
    for n, name in enumerate(camera.labels):
        own = sorted((p for p in portraits if p[0].camera == camera.name and p[0].emotion == name), key=_surest)
        shown: list[dict[str, Any]] = []
        for sample, jpeg in own:
            still = along.unit == "picture"
            about = words.percent(sample.confidence) + ("" if still else f" · {parts.clock(sample.time, words)}")
            if still:
                where = files_of.get(sample.seq, words("report.picture", n=sample.seq + 1))
            else:
                where = words("report.face", track=str(sample.track))
            picture = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
            shown.append({"picture": picture, "about": about, "where": where})
        if shown:
            groups.append({"name": words.emotion(name), "colour": colour(name, n), "faces": shown})
    return groups


def _surest(portrait: Portrait) -> tuple[float, int]:
    return -portrait[0].confidence, portrait[0].track
