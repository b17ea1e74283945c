"""The files that a report is made of: one, several, those of a folder, those that a pattern names, or those that
one output has divided by camera and day."""

from collections.abc import Iterable, Sequence
from glob import glob, has_magic
from pathlib import Path

from emotion_stream.emotion.report.read import first_capture, is_results
from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.retention import naming

TOGETHER = "report.html"
"""The page of several files, which has no name of its own, beside the first of them."""


def find(names: Sequence[str]) -> tuple[Path, ...]:
    """The files of results that these names stand for, each once, the oldest first. Where there are several, those
    without a frame are left out: a run that was just killed leaves some.

    Raises:
        EmotionError: there are none, or one cannot be read or holds something else than results.
    """
    found = {path.resolve(): path for name in names for path in _named(name)}
    files = list(found.values())
    if len(files) < 2:
        return tuple(files)
    begins = [(begin, path) for path in files if (begin := first_capture(path)) is not None]
    if not begins:
        raise EmotionError(f"{', '.join(names)}: there are no frames in these results: nothing to report")
    return tuple(path for _, path in sorted(begins, key=lambda pair: pair[0]))


def beside(names: Sequence[str], files: Sequence[Path]) -> Path:
    """The page that is written unless another one is named."""
    [name, *others] = names
    path = Path(name)
    if others or path.is_dir() or (has_magic(name) and not path.exists()):
        return files[0].with_name(TOGETHER)
    return path.with_suffix(".html")


def _named(name: str) -> list[Path]:
    """
    Raises:
        EmotionError: a folder or a pattern has no results.
    """
    path = Path(name)
    try:
        if path.is_dir():
            return _results(path.iterdir(), f"{name}: no file in this folder holds results")
        if path.exists() or not path.name:
            return [path]
        if has_magic(name):
            return _results(map(Path, glob(name)), f"{name}: no file of such a name holds results")
        rolled = [each for each in _siblings(path) if naming.read_file(path, each.name) is not None]
        return sorted(rolled) or [path]  # reading it says what is wrong
    except OSError as e:
        raise EmotionError(f"{e.filename or name} cannot be read ({e.strerror})") from e


def _siblings(path: Path) -> list[Path]:
    return list(path.parent.iterdir()) if path.parent.is_dir() else []


def _results(paths: Iterable[Path], none: str) -> list[Path]:
    """Those of a list that hold results; what else lies in a folder is no mistake.

    Raises:
        EmotionError: there are none, which `none` says.
    """
    found = [path for path in sorted(paths) if path.is_file() and is_results(path)]
    if not found:
        raise EmotionError(f"{none}: name what --output jsonl=FILE, csv=FILE or sqlite=FILE has written")
    return found
