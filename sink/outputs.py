"""Opens the outputs that `--output` names."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.errors import EmotionError, UsageError
from shared.options import WebOptions
from sink import csv_table, faces, images, sqlite
from sink.csv_table import CsvTable
from sink.faces import Faces
from sink.images import Images
from sink.jsonl import JsonLines
from sink.output import Output
from sink.screen import check_display
from sink.sqlite import Sqlite
from sink.web.address import Address, parse_address
from sink.window import INSTEAD, Window

KINDS = ("window", "web", "jsonl", "video", "csv", "sqlite", "images", "faces")
FOR_EYES = ("window", "web")
"""What is looked at while it runs, and leaves no file."""
EXISTING = (
    "window, web[=HOST:PORT], jsonl=FILE (- is standard output), video=FILE.mp4, csv=FILE, sqlite=FILE,"
    " images=DIR, faces=DIR"
)


@dataclass(frozen=True, slots=True)
class Spec:
    """One `--output`, checked: its kind, and the file (or "-") or address it names."""

    kind: str
    target: str

    @property
    def is_file(self) -> bool:
        """Whether it names a file or folder."""
        return self.kind not in FOR_EYES and self.target != "-"


def parse(specs: Sequence[str]) -> list[Spec]:
    """Check the values of `--output` without opening anything.

    Raises:
        UsageError: an unknown kind, no file or folder, a wrong ending, or the same one twice.
        EmotionError: it cannot be written where it shall lie, or there is no display for a window.
    """
    found: list[Spec] = []
    for text in specs:
        kind, _, target = text.partition("=")
        if kind not in KINDS:
            raise UsageError(f"unknown output {text!r}; there are: {EXISTING}")
        if kind in FOR_EYES:
            found.append(_for_eyes(kind, target))
            if sum(spec.kind == kind for spec in found) > 1:
                raise UsageError(f"one output {kind!r} shows all cameras: give it once")
            continue
        if not target:
            raise UsageError(f"output {text!r} names no file; there are: {EXISTING}")
        if kind == "video" and (target == "-" or Path(target).suffix.lower() != ".mp4"):
            raise UsageError(f"output {text!r} must end in .mp4")
        if kind != "jsonl" and target == "-":
            raise UsageError(f"output {text!r}: only jsonl goes to standard output")
        if target != "-":
            _check_place(kind, Path(target))
        spec = Spec(kind, target)
        if any(_same(spec.target, other.target) for other in found if other.kind not in FOR_EYES):
            raise UsageError(f"two outputs go to {target!r}")
        found.append(spec)
    return found


def _for_eyes(kind: str, target: str) -> Spec:
    if kind == "web":
        return Spec(kind, str(parse_address(target)))
    if target:
        raise UsageError(f"output {kind}={target}: it takes no value; write --output {kind}")
    check_display(INSTEAD)
    return Spec(kind, "")


def files(specs: Sequence[str]) -> list[str]:
    """The files and folders that these outputs write, "-" for standard output. Unchecked."""
    return [target for kind, _, target in (spec.partition("=") for spec in specs) if kind not in FOR_EYES]


def written(specs: Sequence[str]) -> list[str]:
    """The same after a run. Of a video, the files that there are: one for each camera, and further ones where a
    sink that was started again went on."""
    found: list[str] = []
    for kind, _, target in (spec.partition("=") for spec in specs if not spec.startswith(FOR_EYES)):
        path = Path(target)
        parts = [path, *sorted({*_siblings(path)} - {path})] if kind == "video" else []
        found += [str(part) for part in parts if part.is_file()] if parts else [target]
    return found


def web_address(specs: Sequence[str]) -> Address | None:
    """Where these outputs serve a page; None where they do not.

    Raises:
        UsageError, EmotionError: as `parse`.
    """
    return next((parse_address(spec.target) for spec in parse(specs) if spec.kind == "web"), None)


def open_outputs(
    specs: Sequence[str],
    *,
    many: bool = False,
    fps: float | None = None,
    threads: int = 1,
    web: WebOptions | None = None,
    cameras: Sequence[str] = (),
    notice: str = "",
    announce: bool = False,
    end: Callable[[], None] = lambda: None,
) -> list[Output]:
    """Open every output to resume; `[]` for none.

    Args:
        specs: values of `--output`.
        many: whether several cameras are expected, each with its own video file.
        fps: constant frame rate of videos; None follows the medium.
        threads: threads of a video's encoder.
        web: who may look at the web page.
        cameras: cameras that the web page shows before their first frame.
        notice: a line to show with the pictures.
        announce: whether to print where the web page is.
        end: asks the run to end, for an output that is closed by its user; may be called by any thread.

    Raises:
        UsageError: a value is wrong.
        EmotionError: an output cannot be written.
    """
    outputs: list[Output] = []
    try:
        for spec in parse(specs):
            if spec.kind == "web":
                from sink.web.output import Web

                address = parse_address(spec.target)
                outputs.append(Web(address, web or WebOptions(), cameras, notice, announce=announce))
            elif spec.kind == "window":
                outputs.append(Window(end, notice))
            else:
                outputs.append(_open(spec, many, fps, threads, notice))
    except EmotionError:
        for output in outputs:
            output.close()
        raise
    return outputs


def _open(spec: Spec, many: bool, fps: float | None, threads: int, notice: str) -> Output:
    path = Path(spec.target)
    match spec.kind:
        case "jsonl":
            return JsonLines(spec.target)
        case "csv":
            return CsvTable(path)
        case "sqlite":
            return Sqlite(path)
        case "images":
            return Images(path, notice)
        case "faces":
            return Faces(path)
        case _:
            from sink.video import Video  # only where it is wanted: a sink is back sooner without FFmpeg

            return Video(path, many=many, fps=fps, threads=threads, notice=notice)


def truncate(specs: Sequence[str]) -> None:
    """Remove what earlier runs left, once, before a new run opens its outputs.

    JSON lines are emptied. Of videos, the file itself goes, and those of its siblings (`F-<camera>.mp4`,
    `F.002.mp4`) that carry our mark. Tables and databases go if they hold results, with what SQLite keeps beside
    them; of a folder of images, the pictures that carry our mark. Devices and pipes stay.

    Raises:
        UsageError, EmotionError: as `parse`, a table or database is of something else (then nothing is removed),
            or a file cannot be removed.
    """
    parsed = [spec for spec in parse(specs) if spec.is_file and not _is_special(Path(spec.target))]
    for spec in parsed:
        _refuse_foreign(spec.kind, Path(spec.target))
    for spec in parsed:
        try:
            _remove(spec.kind, Path(spec.target))
        except OSError as e:
            raise EmotionError(f"cannot remove the old {spec.target}: {e.strerror}") from e


def _is_special(path: Path) -> bool:
    """A device or pipe, which cannot be begun anew."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _refuse_foreign(kind: str, path: Path) -> None:
    check = {"csv": csv_table.is_ours, "sqlite": sqlite.is_ours}.get(kind)
    if check is not None and path.exists() and not check(path):
        raise EmotionError(f"{path} holds something else than results: choose another file")


def _remove(kind: str, path: Path) -> None:
    match kind:
        case "jsonl" | "csv":
            path.open("wb").close()
        case "sqlite":
            if path.exists():
                for name in ("", *sqlite.COMPANIONS):
                    path.with_name(path.name + name).unlink(missing_ok=True)
        case "images":
            images.remove(path)
        case "faces":
            faces.remove(path)
        case _:
            path.unlink(missing_ok=True)
            for sibling in _siblings(path):
                sibling.unlink(missing_ok=True)


def _siblings(path: Path) -> list[Path]:
    """The further files of a video: of its cameras, and of runs that were resumed."""
    from sink.video import is_ours

    starts = f"{path.stem}-", f"{path.stem}."
    return [
        p
        for p in path.parent.iterdir()
        if p.name.startswith(starts) and p.suffix == path.suffix and p.is_file() and is_ours(p)
    ]


def _check_place(kind: str, path: Path) -> None:
    folder = path.parent
    is_folder = kind in ("images", "faces")
    if is_folder and path.exists() and not path.is_dir():
        raise EmotionError(f"cannot write into {path}: it is no folder")
    if not is_folder and path.is_dir():
        raise EmotionError(f"cannot write {path}: it is a folder")
    if kind == "sqlite" and _is_special(path):
        raise EmotionError(f"cannot write {path}: it is no ordinary file")
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
