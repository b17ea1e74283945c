"""Cameras of a settings file: a table `[cameras.NAME]` for each, with its source and what it wants done otherwise.

What a table says wins over the general setting, wherever that comes from: a flag, a variable or the same file.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.areas import MAX_AREAS, Polygon, Zone, parse_polygon, polygon_text
from emotion_stream.shared.messages.camera import MAX_NOTICE, MAX_ZONE_NAME, CameraSettings
from emotion_stream.shared.messages.types import CAMERA_NAME, MAX_NAME
from emotion_stream.shared.settings.catalogue import ALL
from emotion_stream.shared.settings.loading import read_toml, specs, unknown

TABLES = "cameras"
"""The table of tables, and the name under which commands find what was read of it."""
PRODUCED = (
    "fps",
    "analyze_fps",
    "max_width",
    "jpeg_quality",
    "rtsp_transport",
    "stall_after",
    "still_seconds",
    "sound",
)
"""General settings that a producer applies per camera; `CameraSettings` holds those of later stages."""
AREAS = ("ignore", "zones")
OWN = (*PRODUCED, *(f.name for f in fields(CameraSettings) if f.name not in AREAS))
"""General settings that a camera may set for itself."""
KEYS = ("source", "name", *OWN, *AREAS)
"""All that a table may hold."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera as its table describes it.

    Attributes:
        id: its name in streams, files and addresses: that of the table.
        source: what it plays, as `--source` takes it without a name; empty: named elsewhere.
        name: what people call it; empty: as `id`.
        own: the settings that it has of its own, by name, sorted; see `OWN` and `AREAS`.
    """

    id: str
    source: str = ""
    name: str = ""
    own: tuple[tuple[str, Any], ...] = ()

    @property
    def settings(self) -> CameraSettings:
        """What travels with its frames."""
        known = {f.name for f in fields(CameraSettings)}
        return CameraSettings(**{name: value for name, value in self.own if name in known})

    def over(self, general: T) -> T:
        """`general`, an instance of a settings class, with the camera's own values where it has any."""
        return over(general, dict(self.own))


def over(general: T, own: Mapping[str, Any]) -> T:
    """An instance of a dataclass with those values of `own` that it has a field for. Pure."""
    known = {f.name for f in fields(general)}  # type: ignore[arg-type]
    return replace(general, **{name: value for name, value in own.items() if name in known})  # type: ignore[type-var]


def tuned(general: T, settings: CameraSettings) -> T:
    """`general` for the frames that carry these settings. Pure."""
    named = {f.name: getattr(settings, f.name) for f in fields(settings)}
    return over(general, {name: value for name, value in named.items() if value is not None})


def load_cameras(path: str | Path) -> tuple[Camera, ...]:
    """The cameras of a settings file, in its order. What else the file holds is not looked at.

    Raises:
        UsageError: the file cannot be read, or a table holds what it should not; the message names both.
    """
    document = read_toml(Path(path))
    cameras = read_cameras(document.get(TABLES, {}), str(path))
    named = [camera.id for camera in cameras if camera.source]
    if document.get("source") and named:
        raise UsageError(f"{path}: both `source` and [{TABLES}.{named[0]}] name what to play: keep one of them")
    return cameras


def cameras_of(values: Mapping[str, Any]) -> tuple[Camera, ...]:
    """The cameras of merged settings, as commands get them; where `only_cameras` names some, those. Pure."""
    found: tuple[Camera, ...] = values.get(TABLES, ())
    only = values.get("only_cameras", ())
    return tuple(camera for camera in found if not only or camera.id in only)


def find_cameras(values: Mapping[str, Any]) -> tuple[Camera, ...]:
    """The cameras of the file that merged settings name.

    Raises:
        UsageError: as `load_cameras`; or two files have some.
    """
    config, apart = values.get("config"), values.get("cameras_file")
    beside = load_cameras(config) if config else ()
    if not apart:
        return beside
    if beside:
        raise UsageError(f"{config} and {apart} both have tables [{TABLES}.NAME]: keep those of one")
    for key in read_toml(Path(apart)).keys() - {TABLES}:
        raise UsageError(f"{apart}: {key} is a setting of all cameras, which belongs into the file of --config")
    return load_cameras(apart)


def read_cameras(tables: object, origin: str) -> tuple[Camera, ...]:
    """The cameras of a parsed table of tables; `origin` names the file in messages. Pure.

    Raises:
        UsageError: as `load_cameras`.
    """
    if not isinstance(tables, Mapping) or any(not isinstance(table, Mapping) for table in tables.values()):
        raise UsageError(f"{origin}: write a table [{TABLES}.NAME] for each camera")
    return tuple(_camera(name, table, f"{origin}, [{TABLES}.{name}]") for name, table in tables.items())


def to_tables(cameras: Sequence[Camera]) -> str:
    """The part of a settings file that recreates `cameras`; it belongs behind all other settings. Pure."""
    parts = []
    for camera in cameras:
        # JSON's numbers, booleans, strings and lists are TOML's, too.
        lines = {"source": camera.source, "name": camera.name, **dict(camera.own)}
        lines["ignore"] = [polygon_text(area) for area in lines.get("ignore", ())]
        zones = lines.pop("zones", ())
        parts.append(f"\n[{TABLES}.{_quoted(camera.id)}]\n")
        parts += [f"{key} = {_quoted(value)}\n" for key, value in lines.items() if value not in ("", [])]
        if zones:
            parts.append(f"[{TABLES}.{_quoted(camera.id)}.zones]\n")
            parts += [f"{_quoted(name)} = {_quoted(polygon_text(area))}\n" for name, area in zones]
    return "".join(parts)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _camera(name: str, table: Mapping[str, Any], origin: str) -> Camera:
    if not CAMERA_NAME.fullmatch(name):
        raise UsageError(
            f"{origin}: a camera's name has letters, digits, '_', '.' and '-', 64 at the most;"
            " what people call it stands in its table, as name ="
        )
    general = specs(ALL)
    for key in table:
        if key not in KEYS:
            if key in general:
                raise UsageError(f"{origin}: {key} is a setting of all cameras: write it above the first table")
            raise unknown(key, KEYS, origin)
    own: dict[str, Any] = {key: general[key].parse(table[key], f"{origin}, {key}") for key in OWN if key in table}
    for key, read in _AREAS.items():
        if key in table:
            own[key] = read(table[key], f"{origin}, {key}")
    if len(own.get("notice", "")) > MAX_NOTICE:
        raise UsageError(f"{origin}, notice: it has more than {MAX_NOTICE} letters")
    source, title = (_text(table.get(key, ""), f"{origin}, {key}") for key in ("source", "name"))
    if len(title) > MAX_NAME or not title.isprintable():
        raise UsageError(f"{origin}, name: a name has at most {MAX_NAME} letters that can be printed")
    return Camera(name, source, title, tuple(sorted(own.items())))


def _text(value: object, origin: str) -> str:
    """A camera's index may be written as the number that it is."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(f"{origin}: it is not a text")
    return str(value).strip()


def _ignore(value: object, origin: str) -> tuple[Polygon, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise UsageError(f'{origin}: write a list of areas, as in ["0,0 0.3,0 0.3,0.4 0,0.4"]')
    return tuple(_polygon(text, origin) for text in _few(texts, origin))


def _zones(value: object, origin: str) -> tuple[Zone, ...]:
    if not isinstance(value, Mapping):
        raise UsageError(f'{origin}: write names and areas, as in {{ door = "0,0 0.3,0 0.3,0.4 0,0.4" }}')
    for name in value:
        if not 1 <= len(name) <= MAX_ZONE_NAME or not name.isprintable():
            raise UsageError(f"{origin}: a zone's name has 1 to {MAX_ZONE_NAME} letters that can be printed")
    return tuple((name, _polygon(text, f"{origin}, {name}")) for name, text in _few(value, origin).items())


_AREAS: dict[str, Callable[[object, str], tuple[Any, ...]]] = {"ignore": _ignore, "zones": _zones}
S = TypeVar("S", list[Any], Mapping[str, Any])


def _few(areas: S, origin: str) -> S:
    if len(areas) > MAX_AREAS:
        raise UsageError(f"{origin}: at most {MAX_AREAS} areas, these are {len(areas)}")
    return areas


def _polygon(text: object, origin: str) -> Polygon:
    try:
        return parse_polygon(str(text))
    except ValueError as e:
        raise UsageError(f"{origin}: {e}") from None
