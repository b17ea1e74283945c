"""Areas that somebody has drawn on the page: read, and saved in the settings file."""

import threading
from collections.abc import Callable
from pathlib import Path

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.areas import Polygon, Zone, parse_polygon
from emotion_stream.shared.messages.camera import MAX_ZONE_NAME
from emotion_stream.shared.settings.writing import save_areas
from emotion_stream.sink.web.model import Areas

Keep = Callable[[str, tuple[Polygon, ...], tuple[Zone, ...]], str]
"""Saves the areas of a camera, and says in which file."""


def told(areas: Areas) -> tuple[tuple[Polygon, ...], tuple[Zone, ...]]:
    """What somebody wants ignored, and zones. Pure.

    Raises:
        ValueError: something is no area; the message says why.
    """
    for name in areas.zones:
        if not 1 <= len(name) <= MAX_ZONE_NAME or not name.isprintable() or name != name.strip():
            raise ValueError(f"a zone's name has 1 to {MAX_ZONE_NAME} letters that can be printed")
    ignore = tuple(parse_polygon(text) for text in areas.ignore)
    return ignore, tuple((name, parse_polygon(text)) for name, text in areas.zones.items())


def keeper(path: str) -> Keep:
    """Saves into the settings file at `path`, one change after another.

    Raises:
        EmotionError: tomlkit is not installed.
    """
    try:
        import tomlkit  # noqa: F401  say it at the start, not when somebody has drawn
    except ImportError as e:
        raise EmotionError("--editable needs tomlkit: pip install tomlkit") from e
    lock = threading.Lock()

    def keep(camera: str, ignore: tuple[Polygon, ...], zones: tuple[Zone, ...]) -> str:
        with lock:
            save_areas(Path(path), camera, ignore, zones)
        return Path(path).name

    return keep
