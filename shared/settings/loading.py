"""Settings: command-line flags, then `EMOTION_*` variables, then a TOML file, then defaults.

Settings are declared once, as frozen dataclasses in `options.py` and its neighbours; `flags.py` turns such classes
into flags, this module merges the three sources and refuses what nobody declared.
"""

import difflib
import json
import os
import tomllib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from emotion_stream.shared.errors import UsageError

PREFIX = "EMOTION_"
T = TypeVar("T")


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    low: float | None = None,
    high: float | None = None,
    metavar: str | None = None,
    positional: bool = False,
) -> Any:
    """A dataclass field with a help text and bounds. A tuple-typed field is a flag that may be repeated. A
    `positional` one is an argument without a flag."""
    metadata = {
        "help": help, "choices": choices, "low": low, "high": high, "metavar": metavar, "positional": positional
    }  # fmt: skip
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Spec:
    """One setting: where it comes from and how a text becomes its value."""

    name: str
    kind: type
    many: bool
    optional: bool
    default: Any
    meta: Mapping[str, Any]

    @property
    def flag(self) -> str:
        """The flag that sets it: `--scan-width`."""
        return "--" + self.name.replace("_", "-")

    def parse(self, value: object, origin: str) -> Any:
        """Convert and check one value.

        Raises:
            UsageError: the value does not fit.
        """
        if self.many:
            items = value if isinstance(value, (list, tuple)) else str(value).split()
            return tuple(self._one(item, origin) for item in items)
        if self.optional and (value is None or value == ""):
            return None
        return self._one(value, origin)

    def _one(self, value: object, origin: str) -> Any:
        text = str(value)
        result: Any
        if self.kind is bool:
            if text.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
                raise UsageError(f"{origin}: {text!r} is not true or false")
            return text.lower() in ("true", "1", "yes", "on")
        try:
            result = self.kind(text)
        except ValueError:
            wanted = {int: "a whole number", float: "a number"}.get(self.kind, self.kind.__name__)
            raise UsageError(f"{origin}: {text!r} is not {wanted}") from None
        low, high, choices = self.meta["low"], self.meta["high"], self.meta["choices"]
        if choices is not None and result not in choices:
            raise UsageError(f"{origin}: {text!r} is not one of {', '.join(choices)}")
        below = low is not None and not result >= low  # also catches nan
        if below or (high is not None and result > high):
            bounds = f"from {low:g} to {high:g}" if low is not None and high is not None else f"at least {low}"
            raise UsageError(f"{origin}: {text} is out of range ({bounds})")
        return result


def _spec(f: "Field[Any]", hint: Any) -> Spec:
    optional = many = False
    if get_origin(hint) in (types.UnionType, Union):
        optional = True
        hint = next(a for a in get_args(hint) if a is not type(None))
    if get_origin(hint) is tuple:
        many, hint = True, get_args(hint)[0]
    if get_origin(hint) is not None:
        hint = str  # Literal[...]: the choices do the checking
    if f.default is MISSING:
        raise TypeError(f"{f.name} needs a default")
    return Spec(f.name, hint, many, optional, f.default, f.metadata)


def specs(classes: Sequence[type]) -> dict[str, Spec]:
    """All settings of `classes` by name, each once."""
    found: dict[str, Spec] = {}
    for cls in classes:
        hints = get_type_hints(cls)
        for f in fields(cls):
            found[f.name] = _spec(f, hints[f.name])
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """The contents of a settings file.

    Raises:
        UsageError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8", "surrogateescape"))
    except OSError as e:
        raise UsageError(f"settings file {path} cannot be read ({e.strerror})") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UsageError(f"settings file {path} is not TOML: {e}") from e


def unknown(name: str, known: Iterable[str], origin: str) -> UsageError:
    """The refusal of a name that nobody declared, with the nearest known one."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    near = near or [like for like in names if difflib.get_close_matches(name, like.split("_"), cutoff=0.75)]
    return UsageError(f"{origin}: unknown setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def gather(
    flags: Mapping[str, Any],
    known: Sequence[type],
    environ: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Merge the sources into one dict of set values. `known` lists every settings class of the project, so that
    one file and one environment can serve all stages while a misspelt name is still caught.

    Raises:
        UsageError: an unknown name, or a value that does not fit.
    """
    return {name: value for name, (value, _) in gather_with_origins(flags, known, environ).items()}


def gather_with_origins(
    flags: Mapping[str, Any],
    known: Sequence[type],
    environ: Mapping[str, str] | None = None,
) -> dict[str, tuple[Any, str]]:
    """As `gather`, each value with where it comes from: a flag, a variable, or the path of the file.

    Raises:
        UsageError: as `gather`.
    """
    environ = os.environ if environ is None else environ
    table = specs(known)
    values: dict[str, tuple[Any, str]] = {}
    config = flags.get("config") or environ.get(PREFIX + "CONFIG")
    if config:
        for name, value in read_toml(Path(config)).items():
            if name == "cameras":
                continue  # tables of their own: cameras.py
            if name not in table:
                raise unknown(name, (*table, "cameras"), str(config))
            values[name] = table[name].parse(value, f"{config}, {name}"), str(config)
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in table:
            raise unknown(name, table, f"environment variable {variable}")
        values[name] = table[name].parse(text, f"environment variable {variable}"), variable
    for name, value in flags.items():
        if name in table:
            origin = f"argument {name}" if table[name].meta["positional"] else table[name].flag
            values[name] = table[name].parse(value, origin), origin
    return values


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """An instance of the settings class `cls` from merged `values`; names of other classes are left out."""
    own = specs([cls])
    return cls(**{name: value for name, value in values.items() if name in own})


def to_toml(*settings: object) -> str:
    """A settings file that recreates `settings`, for starting a stage as a process: unlike its command line,
    other users of the machine cannot read it. Defaults are left out."""
    lines = []
    for item in settings:
        for spec in specs([type(item)]).values():
            value = getattr(item, spec.name)
            if value != spec.default:
                # JSON's numbers, booleans, strings and lists are TOML's, too.
                lines.append(f"{spec.name} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(lines)
