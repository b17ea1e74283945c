"""Command-line flags out of settings classes, and the help that describes them, most needed first."""

import argparse
import difflib
import inspect
import re
from collections.abc import Sequence
from typing import Any

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.settings.loading import Spec, specs

EPILOG = (
    "Each flag can also be a variable (--max-width 640 is EMOTION_MAX_WIDTH=640) or a line of the TOML file that"
    " --config names (max_width = 640)."
)


PLAIN = "plain "
"""Begins the name under which the parser keeps values that were given without their flag."""


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a wrong argument as one line, without the usage text."""

    def __init__(self, prog: str, description: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=EPILOG,
            allow_abbrev=False,
            add_help=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30),
        )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As its original, with a guess at what an unknown flag was meant to be."""
        # Mixed: arguments may stand before, between and behind flags. What follows `--` it does not understand.
        parse = self.parse_known_args if "--" in (args or ()) else self.parse_known_intermixed_args
        known, extra = parse(args, namespace)
        if extra:
            flags = [flag for action in self._actions for flag in action.option_strings]
            near = difflib.get_close_matches(extra[0].partition("=")[0], flags, n=1, cutoff=0.75)
            guess = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(extra)}{guess}")
        return known

    def error(self, message: str) -> Any:
        """Raise a UsageError that names the wrong argument."""
        raise UsageError(f"{message} (see: {self.prog} --help)")


def add_flags(
    parser: argparse.ArgumentParser,
    classes: Sequence[type],
    first: Sequence[str] = (),
    without: Sequence[str] = (),
    plain: str = "",
) -> None:
    """Declare a flag for every setting of `classes`, in a group per class that its docstring names. Absent flags
    leave no trace in the parsed namespace.

    Args:
        first: names of the settings that most people need, described before all others.
        without: names of settings that get no flag, because the command decides on them or has no use for them.
        plain: name of a setting of many values that may be given without its flag, too.
    """
    table = specs(classes)
    groups = {"Needed most": [table.pop(name) for name in first]} if first else {}
    # What a base class declares has the title of that class.
    for cls in (c for made in classes for c in reversed(made.__mro__)):
        own = [table.pop(name) for name in inspect.get_annotations(cls) if name in table]
        if own := [spec for spec in own if spec.name not in without]:
            groups[title_of(cls)] = own
    bare = table_of(classes, plain)
    arguments = [spec for own in groups.values() for spec in own if spec.meta["positional"]]
    told = [f"[{metavar(spec)}{' ...' if spec in bare else ''}]" for spec in (*bare, *arguments)]
    parser.usage = " ".join(["%(prog)s", *told, "[options]"])
    for spec in bare:
        how: dict[str, Any] = {"nargs": "*", "metavar": metavar(spec), "default": argparse.SUPPRESS}
        parser.add_argument(PLAIN + spec.name, help=f"the same as {spec.flag}", **how)
    for title, own in groups.items():
        group = parser.add_argument_group(title)
        for spec in own:
            _add(group, spec)
    parser.add_argument_group("Help").add_argument("-h", "--help", action="help", help="show this, and exit")


def table_of(classes: Sequence[type], name: str) -> list[Spec]:
    """The setting of this name, if there is one."""
    return [spec for spec in specs(classes).values() if spec.name == name]


def merge_plain(flags: dict[str, Any]) -> dict[str, Any]:
    """What the parser found, values without their flag before those with it. Pure."""
    merged = {name: value for name, value in flags.items() if not name.startswith(PLAIN)}
    for name, values in flags.items():
        if name.startswith(PLAIN) and values:
            own = name.removeprefix(PLAIN)
            merged[own] = [*values, *merged.get(own, ())]
    return merged


def title_of(cls: type) -> str:
    """The title of a settings class in help: its docstring up to the first colon or full stop."""
    return re.split(r"[.:](?:\s|$)", cls.__doc__ or cls.__name__, maxsplit=1)[0]


def _add(group: Any, spec: Spec) -> None:
    how: dict[str, Any] = {"help": _help(spec), "default": argparse.SUPPRESS}
    if spec.kind is bool:
        off = "--no-" + spec.flag.removeprefix("--")
        usual, other = (off, spec.flag) if spec.default else (spec.flag, off)
        group.add_argument(usual, dest=spec.name, action="store_const", const=not spec.default, **how)
        # Turns off what a variable or the file turns on, and the other way round.
        how["help"] = argparse.SUPPRESS
        group.add_argument(other, dest=spec.name, action="store_const", const=spec.default, **how)
        return
    how["metavar"] = metavar(spec)
    if spec.meta["positional"]:
        group.add_argument(spec.name, nargs="*" if spec.many else "?", **how)
    elif spec.many:
        group.add_argument(spec.flag, dest=spec.name, action="extend", nargs="+", **how)
    else:
        group.add_argument(spec.flag, dest=spec.name, **how)


def metavar(spec: Spec) -> str:
    """What stands for the value of a setting in its help: the choices, or a word."""
    choices = spec.meta["choices"]
    by_kind = {int: "N", float: "X"}.get(spec.kind, "NAME")
    return str(spec.meta["metavar"] or ("|".join(choices) if choices else by_kind))


def _help(spec: Spec) -> str:
    text = str(spec.meta["help"])
    if spec.kind is bool:
        text = f"do not {text}" if spec.default else text
    elif spec.default not in (None, (), "") and "default:" not in text:
        text += f" (default: {spec.default})"
    return text.replace("%", "%%")
