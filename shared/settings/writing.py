"""A camera's areas written back into the settings file, in which everything else stays as somebody wrote it."""

import os
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.areas import Polygon, Zone, parse_polygon, polygon_text
from emotion_stream.shared.settings.cameras import TABLES, read_cameras
from emotion_stream.shared.settings.result_options import WebOptions


def save_areas(path: Path, camera: str, ignore: Sequence[Polygon], zones: Sequence[Zone]) -> None:
    """Make these the areas of a camera in the settings file, in one step: whoever reads it meanwhile finds the old
    file or the new one.

    Raises:
        EmotionError: the file cannot be read or written, or holds something that cannot be changed so; it is as
            before then.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    try:
        old = path.read_bytes().decode("utf-8", "surrogateescape")
        new = with_areas(old, camera, ignore, zones)
        if new != old:
            _replace(path, new.encode("utf-8", "surrogateescape"))
    except OSError as e:
        raise EmotionError(f"{path} cannot be written ({e.strerror}): its folder must be writable, too") from e
    except ValueError as e:
        raise EmotionError(f"{path} cannot be changed here ({e}): write the lines yourself") from e


def with_file(options: WebOptions, values: Mapping[str, Any]) -> WebOptions:
    """The options with the file that areas are saved in: the one of merged settings that has the cameras. Pure."""
    path = options.areas_file or values.get("cameras_file") or values.get("config") or ""
    return replace(options, areas_file=os.path.abspath(path) if path else "") if options.editable else options


def with_areas(text: str, camera: str, ignore: Sequence[Polygon], zones: Sequence[Zone]) -> str:
    """A settings file in which a camera has these areas. Comments, order and spelling of all else stay. Pure.

    Raises:
        EmotionError: tomlkit is not installed.
        ValueError: it is no settings file, or nothing but a person can change it.
    """
    try:
        import tomlkit  # only where areas are saved: no worker needs it
        from tomlkit.exceptions import TOMLKitError
        from tomlkit.items import InlineTable
    except ImportError as e:
        raise EmotionError("--editable needs tomlkit: pip install tomlkit") from e

    def new_table(within: Any) -> Any:
        return tomlkit.inline_table() if isinstance(within, InlineTable) else tomlkit.table()

    try:
        document: Any = tomlkit.parse(text)
        tables = document.setdefault(TABLES, tomlkit.table(is_super_table=True))
        if camera not in tables:
            tables[camera] = new_table(tables)
        table = tables[camera]
        _set_ignore(table, [polygon_text(polygon) for polygon in ignore], tomlkit.array)
        _set_zones(table, {name: polygon_text(polygon) for name, polygon in zones}, lambda: new_table(table))
        new = tomlkit.dumps(document)
    except (TOMLKitError, TypeError, AttributeError, KeyError) as e:
        raise ValueError(f"{type(e).__name__}: {e}") from e
    _check(text, new, camera, ignore, zones)
    return new


def _set_ignore(table: Any, wanted: Sequence[str], make: Any) -> None:
    """Entries that stay are not touched, so that their comments stay."""
    given = table.get("ignore")
    if not wanted:
        if given is not None:
            del table["ignore"]
        return
    if not isinstance(given, list):
        given = make().multiline(True)
        table["ignore"] = given
    left = list(wanted)
    for n in reversed(range(len(given))):
        same = _spelt(given[n])
        if same in left:
            left.remove(same)
        else:
            del given[n]
    for text in left:
        given.append(text)
    given.multiline(True)


def _set_zones(table: Any, wanted: dict[str, str], make: Any) -> None:
    given = table.get("zones")
    if given is None:
        if not wanted:
            return
        given = table["zones"] = make()
    for name in [name for name in given if name not in wanted]:
        del given[name]
    for name, text in wanted.items():
        if name not in given or _spelt(given[name]) != text:
            given[name] = text
    if not wanted:
        del table["zones"]


def _spelt(text: object) -> str:
    """A polygon as `polygon_text` spells it; what is none, as it is."""
    try:
        return polygon_text(parse_polygon(str(text)))
    except ValueError:
        return str(text)


def _check(old: str, new: str, camera: str, ignore: Sequence[Polygon], zones: Sequence[Zone]) -> None:
    """
    Raises:
        ValueError: something else than the areas of this camera has become another, or they are not as wanted.
    """
    before, after = (_parsed(text) for text in (old, new))
    [found] = [each for each in read_cameras(after.get(TABLES, {}), "the file") if each.id == camera]
    if sorted(found.settings.ignore) != sorted(ignore) or sorted(found.settings.zones) != sorted(zones):
        raise ValueError("its tables cannot be told apart")
    for document in (before, after):
        table = document.setdefault(TABLES, {}).setdefault(camera, {})
        table.pop("ignore", None)
        table.pop("zones", None)
    if before != after:
        raise ValueError("other settings would change")


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ValueError(f"it is not TOML: {e}") from e


def _replace(path: Path, data: bytes) -> None:
    """Put new contents in the place of a file, with its rights."""
    about = path.stat()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), about.st_mode & 0o7777)
            with suppress(PermissionError):  # whoever may write the folder need not be the owner
                os.fchown(file.fileno(), about.st_uid, about.st_gid)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
