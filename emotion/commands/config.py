"""`emotion config`: the settings that are in force for each camera, and where each of them comes from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emotion_stream.emotion.commands.run import COMMAND as RUN
from emotion_stream.producer.sources.spec import SourceSpec, describe_camera, parse_sources, printable
from emotion_stream.shared.messages.areas import polygon_text
from emotion_stream.shared.settings.cameras import AREAS, OWN, TABLES, Camera, cameras_of
from emotion_stream.shared.settings.cli import ORIGINS, Command, Values, shown
from emotion_stream.shared.settings.command_options import PrintOptions
from emotion_stream.shared.settings.loading import build, specs
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.terminal import say

DEFAULT = "default"
NOT_PLAYED = "not played: --source names others"
NO_SOURCE = "not played: no source"
WIDEST = 40
"""Letters of the widest value that others are lined up with."""


@dataclass(frozen=True, slots=True)
class Told:
    """The value of a setting, as it may be shown to anyone, and where it comes from."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class InForce:
    """What is in force for one camera.

    Attributes:
        camera: its name in streams and files.
        name: what people call it.
        source: what it plays, without password.
        idle: why it is not played; empty: it is.
        settings: all that a camera may have of its own, by name.
    """

    camera: str
    name: str
    source: str
    idle: str
    settings: Mapping[str, Told]


def general(values: Values) -> dict[str, Told]:
    """All settings of the pipeline, as they are for cameras without their own. Pure."""
    origins: Mapping[str, str] = values.get(ORIGINS, {})
    found = {}
    for name, spec in specs(RUN.settings).items():
        if name in values:
            found[name] = Told(_plain(name, values[name]), origins.get(name, DEFAULT))
        else:
            found[name] = Told(_plain(name, spec.default), DEFAULT)
    return found


def cameras_in_force(values: Values) -> list[InForce]:
    """All cameras, those that are played first, as `emotion run` would play them.

    Raises:
        UsageError: what names a source makes no sense.
    """
    tables = {camera.id: camera for camera in cameras_of(values)}
    sources = build(ProducerOptions, values).source
    given = parse_sources(sources, absent=True) if sources else ()
    found = [_in_force(tables.get(spec.name, Camera(spec.name)), spec, "", values) for spec in given]
    played = {spec.name for spec in given}
    for camera in tables.values():
        if camera.id not in played:
            spec = describe_camera(camera, absent=True) if camera.source else None
            idle = NO_SOURCE if spec is None else NOT_PLAYED if given else ""
            found.append(_in_force(camera, spec, idle, values))
    return found


def _in_force(camera: Camera, spec: SourceSpec | None, idle: str, values: Values) -> InForce:
    file = values.get("cameras_file") or values.get("config")
    origin, own, others = f"{file} [{TABLES}.{camera.id}]", dict(camera.own), general(values)
    settings = {
        key: Told(_plain(key, own[key]), origin) if key in own else others.get(key, Told([], DEFAULT))
        for key in (*OWN, *AREAS)
    }
    if spec is not None and spec.transport:
        settings["rtsp_transport"] = Told(spec.transport, f"the address of {camera.id}")
    name = (spec.display_name if spec else "") or camera.name or camera.id
    return InForce(camera.id, name, printable(spec.target) if spec else "", idle, settings)


def _plain(name: str, value: Any) -> Any:
    """A value as JSON has it, without secrets. Pure."""
    if name == "ignore":
        return [polygon_text(area) for area in value]
    if name == "zones":
        return {zone: polygon_text(area) for zone, area in value}
    if isinstance(value, tuple):
        return [shown(name, item) for item in value]
    return shown(name, value) if isinstance(value, str) and value else value


def as_json(settings: Mapping[str, Told], cameras: Sequence[InForce]) -> dict[str, Any]:
    """What `--json` prints. Pure."""
    return {
        "settings": _as_json(settings),
        "cameras": [
            {
                "camera": camera.camera,
                "name": camera.name,
                "source": camera.source,
                "played": not camera.idle,
                "settings": _as_json(camera.settings),
            }
            for camera in cameras
        ],
    }


def _as_json(settings: Mapping[str, Told]) -> dict[str, Any]:
    return {name: {"value": told.value, "from": told.origin} for name, told in settings.items()}


def as_text(settings: Mapping[str, Told], cameras: Sequence[InForce]) -> str:
    """A table for each camera, and one of what is set for all of them. Pure."""
    parts = []
    for camera in cameras:
        called = f" ({camera.name})" if camera.name != camera.camera else ""
        about = ", ".join(part for part in (camera.source, camera.idle) if part)
        parts += [f"camera {camera.camera}{called}: {about}", _table(camera.settings), ""]
    if not cameras:
        parts += ["no cameras: name sources with --source, or in tables [cameras.NAME] of the settings file", ""]
    told = {name: each for name, each in settings.items() if each.origin != DEFAULT}
    parts += ["all cameras", _table(told)] if told else ["all cameras: the defaults"]
    return "\n".join(parts)


def _table(settings: Mapping[str, Told]) -> str:
    rows = [(name, _text(told.value), told.origin) for name, told in settings.items()]
    names = max(len(name) for name, _, _ in rows)
    width = max((len(text) for _, text, _ in rows if len(text) <= WIDEST), default=0)
    return "\n".join(f"  {name:<{names}}  {text:<{width}}  {origin}" for name, text, origin in rows)


def _text(value: Any) -> str:
    if value is None or value == "" or value == [] or value == {}:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {area}" for name, area in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def run(values: Values) -> None:
    """Print what is in force.

    Raises:
        UsageError: a setting is wrong.
    """
    settings, cameras = general(values), cameras_in_force(values)
    if build(PrintOptions, values).json:
        say(json.dumps(as_json(settings, cameras), ensure_ascii=False, indent=2))
    else:
        say(as_text(settings, cameras))


COMMAND = Command(
    "config",
    "Show the settings that are in force for each camera, and where each comes from: the camera's table in the"
    " settings file, a flag, a variable, the settings file, or the default.",
    (PrintOptions, *RUN.settings),
    run,
    first=("json", "source"),
    plain="source",
    without=RUN.without,
)
