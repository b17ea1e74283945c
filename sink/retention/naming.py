"""The names of files that roll over: `results-hall-2026-11-29.jsonl`, `shots/2026-11-29/hall/`.

A label tells when a file begins, in UTC, as finely as its period needs; a file that follows within the same
period is numbered: `results-hall-2026-11-29.002.jsonl`. A camera's name may hold what a label holds, so names are
read from their end.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

from emotion_stream.shared.errors import UsageError
from emotion_stream.sink.claims import FOLDERS
from emotion_stream.sink.retention.rules import DAY

_LABEL = r"(?P<label>[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}(?:[0-9]{2}(?:[0-9]{2})?)?)?)"
_PART = r"(?:\.(?P<part>[0-9]{3,}))?"
_FOLDER = re.compile(_LABEL + _PART)
_FILE = re.compile(r"-(?P<camera>[A-Za-z0-9_.-]{1,64})-" + _LABEL + _PART)
_FORMATS = {10: "%Y-%m-%d", 13: "%Y-%m-%dT%H", 15: "%Y-%m-%dT%H%M", 17: "%Y-%m-%dT%H%M%S"}
_LENGTHS = {10: DAY, 13: 3600, 15: 60, 17: 1}
"""Seconds that a label covers at least."""
_LAST = 2e11


@dataclass(frozen=True, slots=True)
class Name:
    """What a name says: the camera, empty for a folder of all; the label; which part of its period, from 1."""

    camera: str
    label: str
    part: int = 1

    @property
    def begin(self) -> float:
        """When its period begins, seconds since 1970.

        Raises:
            ValueError: no calendar has such a day.
        """
        return datetime.strptime(self.label, _FORMATS[len(self.label)]).replace(tzinfo=UTC).timestamp()

    def end(self, period: int) -> float:
        """When the newest result that may be in it was captured: a label tells what it covers at least."""
        return self.begin + max(period, _LENGTHS[len(self.label)])


def bounded(time: float) -> float:
    """A time, seconds since 1970, that a calendar holds; others count as 1970."""
    return time if 0 <= time < _LAST else 0.0


def label(time: float, period: int) -> str:
    """The label of the file that holds a result of this time, seconds since 1970."""
    begin = bounded(time) // period * period
    length = next(n for n, covered in _LENGTHS.items() if period % covered == 0)
    return datetime.fromtimestamp(begin, UTC).strftime(_FORMATS[length])


def file(target: Path, name: Name) -> Path:
    """The file of a camera beside the file that the user named."""
    return target.with_name(f"{target.stem}-{name.camera}-{name.label}{_part(name.part)}{target.suffix}")


def folder(target: Path, name: Name) -> Path:
    """The folder of a period in the folder that the user named."""
    return target / f"{name.label}{_part(name.part)}"


def read_file(target: Path, name: str) -> Name | None:
    """What the name of a file beside `target` says; None: it is none of its."""
    if not (name.startswith(target.stem) and name.endswith(target.suffix)):
        return None
    middle = name[len(target.stem) : len(name) - len(target.suffix)]
    return _read(_FILE.fullmatch(middle))


def read_folder(name: str) -> Name | None:
    """The same for a folder of a period."""
    return _read(_FOLDER.fullmatch(name))


def is_named_so(kind: str, target: Path, name: str) -> bool:
    """Whether a file beside the one that the user named is called as one that rolled over, or as what was written
    before files did. Pure."""
    if name == target.name or read_file(target, name) is not None:
        return True
    starts = f"{target.stem}-", f"{target.stem}."
    return kind == "video" and name.startswith(starts) and name.endswith(target.suffix)


def check_apart(targets: Sequence[tuple[str, Path]]) -> None:
    """Refuse outputs, by kind and target, of which one would take files of another for its own.

    Raises:
        UsageError: the name of one begins with that of another.
    """
    for (kind, target), (other, path) in permutations(targets, 2):
        rolled = file(path, Name("camera", "2000-01-01"))
        if kind == other and kind not in (*FOLDERS, "sqlite") and may_go(kind, target, rolled):
            raise UsageError(
                f"outputs {kind}={target} and {kind}={path}: with --keep, their files could not be told apart:"
                " choose names of which none begins with the other, or two folders"
            )


def may_go(kind: str, target: Path, path: Path) -> bool:
    """Whether a file or folder lies where this output looks for results that are too old."""
    path, target = path.resolve(), target.resolve()
    if kind in FOLDERS:
        return path.is_relative_to(target)
    return path.parent == target.parent and is_named_so(kind, target, path.name)


def _read(match: "re.Match[str] | None") -> Name | None:
    if match is None:
        return None
    told = match.groupdict()
    name = Name(told.get("camera") or "", told["label"], int(told["part"] or 1))
    try:
        return name if name.begin >= 0 else None
    except ValueError:
        return None


def _part(part: int) -> str:
    return f".{part:03}" if part > 1 else ""
