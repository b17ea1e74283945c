"""Opens the outputs that `--output` names."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.errors import EmotionError, UsageError
from sink.jsonl import JsonLines
from sink.output import Output
from sink.video import Video, is_ours

EXISTING = "jsonl=FILE (- is standard output), video=FILE.mp4"


@dataclass(frozen=True, slots=True)
class Spec:
    """One `--output`, checked: its kind, and the file (or "-") it names."""

    kind: str
    target: str


def parse(specs: Sequence[str]) -> list[Spec]:
    """Check the values of `--output` without opening anything.

    Raises:
        UsageError: an unknown kind, no file, a wrong ending, or the same file twice.
        EmotionError: the file cannot be written where it shall lie.
    """
    found: list[Spec] = []
    for text in specs:
        kind, _, target = text.partition("=")
        if kind not in ("jsonl", "video"):
            raise UsageError(f"unknown output {text!r}; there are: {EXISTING}")
        if not target:
            raise UsageError(f"output {text!r} names no file; there are: {EXISTING}")
        if kind == "video" and (target == "-" or Path(target).suffix.lower() != ".mp4"):
            raise UsageError(f"output {text!r} must end in .mp4")
        if target != "-":
            _check_place(Path(target))
        spec = Spec(kind, target)
        if any(_same(spec.target, other.target) for other in found):
            raise UsageError(f"two outputs go to {target!r}")
        found.append(spec)
    return found


def open_outputs(
    specs: Sequence[str], *, many: bool = False, fps: float | None = None, threads: int = 1
) -> list[Output]:
    """Open every output to resume; `[]` for none.

    Args:
        specs: values of `--output`.
        many: whether several cameras are expected, each with its own video file.
        fps: constant frame rate of videos; None follows the medium.
        threads: threads of a video's encoder.

    Raises:
        UsageError: a value is wrong.
        EmotionError: an output cannot be written.
    """
    outputs: list[Output] = []
    try:
        for spec in parse(specs):
            if spec.kind == "jsonl":
                outputs.append(JsonLines(spec.target))
            else:
                outputs.append(Video(Path(spec.target), many=many, fps=fps, threads=threads))
    except EmotionError:
        for output in outputs:
            output.close()
        raise
    return outputs


def truncate(specs: Sequence[str]) -> None:
    """Remove what earlier runs left, once, before a new run opens its outputs.

    JSON lines are emptied. Of videos, the file itself goes, and those of its siblings (`F-<camera>.mp4`,
    `F.002.mp4`) that carry our mark; devices and pipes stay.

    Raises:
        UsageError, EmotionError: as `parse`, or a file cannot be removed.
    """
    for spec in parse(specs):
        path = Path(spec.target)
        if spec.target == "-" or (path.exists() and not path.is_file()):
            continue
        try:
            if spec.kind == "jsonl":
                path.open("wb").close()
            else:
                path.unlink(missing_ok=True)
                for sibling in _siblings(path):
                    sibling.unlink(missing_ok=True)
        except OSError as e:
            raise EmotionError(f"cannot remove the old {path}: {e.strerror}") from e


def _siblings(path: Path) -> list[Path]:
    """The further files of a video: of its cameras, and of runs that were resumed."""
    starts = f"{path.stem}-", f"{path.stem}."
    return [
        p
        for p in path.parent.iterdir()
        if p.name.startswith(starts) and p.suffix == path.suffix and p.is_file() and is_ours(p)
    ]


def _check_place(path: Path) -> None:
    folder = path.parent
    if path.is_dir():
        raise EmotionError(f"cannot write {path}: it is a folder")
    if not folder.is_dir():
        raise EmotionError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise EmotionError(f"cannot write {path}: permission denied")


def _same(a: str, b: str) -> bool:
    if a == b:
        return True
    with suppress(OSError):
        return Path(a).resolve() == Path(b).resolve() and "-" not in (a, b)
    return False
