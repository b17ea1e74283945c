"""FER-2013 as class folders, as people have them: which pictures there are, and which split each is of."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emotion_stream.models.labels import LABELS
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import NOTICE

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".pgm"})
VALIDATION = ("validation", "val", "valid")
"""Folders, in this order, whose images are those of PublicTest."""
LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx", "__pycache__"})
"""What systems and tools leave in folders, besides names that begin with a dot. In lower case."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture's file, the index of its label in `LABELS`, and its split."""

    file: Path
    label: int
    usage: str


def list_folders(path: Path, wanted: Sequence[str], *, complete: bool = True) -> list[Labelled]:
    """The pictures below `train/<class>/`, `test/<class>/` and `validation/<class>/` (or `val/`, `valid/`).

    Images below `test/` belong to the split that their names begin with. Others there are PublicTest, or
    PrivateTest where a validation folder is there, which is PublicTest then. What is left out is counted and told.

    Args:
        path: the folder of these folders, whose names may be written large or small.
        wanted: the splits to list.
        complete: every class must have its folder. Without it, some may be missing, and `path` may be a folder of
            class folders itself, whose images are those of the first wanted split.

    Raises:
        EmotionError: a folder is missing, or there is one for a class that is unknown.
    """
    left: Counter[str] = Counter()
    parts = {f.name.lower(): f for f in sorted(path.iterdir(), reverse=True) if f.is_dir()}
    if not complete and parts.keys() & set(LABELS):
        return _told(path, list(_list_bare(path, wanted[0], left)), left)
    validation = next((parts[name] for name in VALIDATION if name in parts), None)
    plan = [("Training", parts.get("train", path / "train"))] if "Training" in wanted else []
    if validation is not None:
        plan += [("PublicTest", validation)] if "PublicTest" in wanted else []
        plan += [("PrivateTest", parts["test"])] if "test" in parts and set(wanted) - {"Training"} else []
    elif set(wanted) - {"Training"}:
        plan.append(("PublicTest", parts.get("test", path / "test")))
    found = [
        item
        for usage, part in plan
        for item in _list_part(path, part, usage, left, complete=complete)
        if item.usage in wanted
    ]
    if validation is not None and "PublicTest" in wanted:
        rest = ", and test/ as PrivateTest" if "test" in parts else ""
        log.log(NOTICE, "%s: %s/ is taken as PublicTest%s", path, validation.name, rest)
    return _told(path, found, left)


def _told(path: Path, found: list[Labelled], left: Counter[str]) -> list[Labelled]:
    if left:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
        log.log(NOTICE, "%s: left out what is no picture: %s", path, told)
    return found


def _list_bare(path: Path, usage: str, left: Counter[str]) -> Iterator[Labelled]:
    """Class folders without `test/` around them: a data set of somebody's own, all of one split."""
    for item in _list_part(path, path, usage, left, complete=False):
        yield replace(item, usage=usage)


def _list_part(
    path: Path, part: Path, usage: str, left: Counter[str], *, complete: bool = True
) -> Iterator[Labelled]:
    entries = sorted(part.iterdir()) if part.is_dir() else []
    folders = {f.name.lower(): f for f in entries if f.is_dir() and not _is_litter(f)}
    if not folders:
        raise EmotionError(f"{path} has neither fer2013.csv nor class folders in {part.name}/")
    left.update(_kind(f) for f in entries if not f.is_dir() or _is_litter(f))
    for strange in sorted(folders.keys() - set(LABELS)):
        raise EmotionError(f"{folders[strange]}: no such class (there is: {', '.join(LABELS)})")
    for label, name in enumerate(LABELS):
        if name not in folders and not complete:
            continue
        if name not in folders:
            raise EmotionError(f"{part} has no folder for class {name!r}")
        for file in sorted(folders[name].iterdir()):
            if _is_litter(file) or file.is_dir() or file.suffix.lower() not in SUFFIXES:
                left[_kind(file)] += 1
            else:
                yield Labelled(file, label, _usage(file, usage))


def _usage(file: Path, usual: str) -> str:
    """The split of one image: outside `train/`, its name may say."""
    prefix = file.name.split("_")[0]
    return prefix if usual != "Training" and prefix in ("PublicTest", "PrivateTest") else usual


def _is_litter(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in LITTER


def _kind(path: Path) -> str:
    """Under which name something that is left out is counted."""
    if path.name.startswith("._"):
        return "._*"
    if _is_litter(path):
        return path.name
    return "folders" if path.is_dir() else f"*{path.suffix.lower()}" if path.suffix else "without an ending"
