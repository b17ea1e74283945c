"""What one camera wants done otherwise: settings that travel with its frames, so that workers need not know it."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import msgpack

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.areas import (
    GRAIN,
    LEAST_POINTS,
    MAX_AREAS,
    MAX_POINTS,
    Polygon,
    Zone,
)
from emotion_stream.shared.messages.bounds import items, real, text, whole

MAX_SETTINGS_BYTES = 8 * 1024
MAX_NOTICE = 200
MAX_ZONE_NAME = 32
_POINT = struct.Struct("<HH")
_REMEMBERED = 256
"""Settings of so many cameras are packed and read once, not with each of their frames."""


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """The settings of one camera that the stages behind its producer apply. None: as the stage's own settings say.

    The names are those of the general settings.

    Attributes:
        min_face: smallest face to search for, as a fraction of the shorter side of the frame.
        min_score: lowest score that counts as a face (yunet).
        scale_factor: factor between two scales of a search of the whole picture at once (haar).
        min_neighbors: number of overlapping hits that count as a face (haar).
        scan_width: width in pixels that wider frames are scaled down to for the search; 0: never.
        scan_every: number of frames in which the whole picture is scanned once (haar).
        max_faces: highest number of faces per frame.
        blur_faces: whether faces are hidden in everything that is shown or stored.
        blur_delay: live: seconds for which frames are held back, so that faces are hidden from the first on.
        notice: line of text to show with the pictures; empty: none.
        ignore: areas in which faces are not looked for.
        zones: areas with a name.
    """

    min_face: float | None = None
    min_score: float | None = None
    scale_factor: float | None = None
    min_neighbors: int | None = None
    scan_width: int | None = None
    scan_every: int | None = None
    max_faces: int | None = None
    blur_faces: bool | None = None
    blur_delay: float | None = None
    notice: str | None = None
    ignore: tuple[Polygon, ...] = ()
    zones: tuple[Zone, ...] = ()


GENERAL = CameraSettings()
"""A camera that wants nothing otherwise; nothing of it travels."""


@lru_cache(maxsize=_REMEMBERED)
def pack(settings: CameraSettings) -> bytes:
    """Settings on the wire: a MessagePack map of those that are set. Pure."""
    told = {f.name: value for f in fields(settings) if (value := getattr(settings, f.name)) != f.default}
    if settings.ignore:
        told["ignore"] = [_points_out(polygon) for polygon in settings.ignore]
    if settings.zones:
        told["zones"] = [[name, _points_out(polygon)] for name, polygon in settings.zones]
    packed: bytes = msgpack.packb(told)
    return packed


@lru_cache(maxsize=_REMEMBERED)
def unpack(packed: bytes) -> CameraSettings:
    """Settings as `pack` wrote them. Keys that are not known, of newer producers, are ignored. Pure.

    Raises:
        DecodeError: a value is out of its bounds, or it is no map.
    """
    if len(packed) > MAX_SETTINGS_BYTES:
        raise DecodeError(f"settings have {len(packed)} bytes, more than {MAX_SETTINGS_BYTES}")
    try:
        told = msgpack.unpackb(packed, max_array_len=MAX_AREAS, max_map_len=64, max_ext_len=0)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as e:
        raise DecodeError(f"settings are not MessagePack: {type(e).__name__}") from e
    if not isinstance(told, dict):
        raise DecodeError("settings are not a map")
    return CameraSettings(**{name: read(told[name], name) for name, read in _READERS.items() if name in told})


def _points_out(polygon: Polygon) -> bytes:
    return b"".join(_POINT.pack(round(x * GRAIN), round(y * GRAIN)) for x, y in polygon)


def _polygon(value: object, what: str) -> Polygon:
    size = _POINT.size
    if not isinstance(value, bytes) or len(value) % size:
        raise DecodeError(f"{what} is not a polygon")
    points = tuple((x / GRAIN, y / GRAIN) for x, y in _POINT.iter_unpack(value))
    if not LEAST_POINTS <= len(points) <= MAX_POINTS or any(v > 1 for point in points for v in point):
        raise DecodeError(f"{what} has not {LEAST_POINTS} to {MAX_POINTS} corners from 0 to 1")
    return points


def _polygons(value: object, what: str) -> tuple[Polygon, ...]:
    return tuple(_polygon(item, what) for item in items(value, what, None, MAX_AREAS))


def _zones(value: object, what: str) -> tuple[Zone, ...]:
    named = [items(item, "zone", 2, 2) for item in items(value, what, None, MAX_AREAS)]
    return tuple((text(name, "zone name", MAX_ZONE_NAME), _polygon(area, what)) for name, area in named)


def _truth(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise DecodeError(f"{what} is neither true nor false")
    return value


def _real(low: float, high: float) -> Callable[[object, str], float]:
    return lambda value, what: real(value, what, low, high)


def _whole(low: int, high: int) -> Callable[[object, str], int]:
    return lambda value, what: whole(value, what, low, high)


_READERS: dict[str, Callable[[object, str], Any]] = {
    "min_face": _real(0.005, 1),
    "min_score": _real(0.05, 0.99),
    "scale_factor": _real(1.01, 2),
    "min_neighbors": _whole(1, 50),
    "scan_width": _whole(0, 16384),
    "scan_every": _whole(1, 100_000),
    "max_faces": _whole(1, 256),
    "blur_faces": _truth,
    "blur_delay": _real(0, 10),
    "notice": lambda value, what: text(value, what, MAX_NOTICE),
    "ignore": _polygons,
    "zones": _zones,
}
"""The bounds are those of the general settings (`shared/settings/`)."""
