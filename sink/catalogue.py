"""Opens the outputs that `--output` names."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emotion_stream.shared.claims import check, check_pairs, check_place, is_special
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.settings.result_options import EventOptions, WebOptions
from emotion_stream.shared.words.words import AUTO, ENGLISH, Words, chosen
from emotion_stream.sink.claims import COMPANIONS, FOLDERS, claims, split
from emotion_stream.sink.events.broker import parse_broker
from emotion_stream.sink.events.lines import EventLines
from emotion_stream.sink.events.names import webhook_secret
from emotion_stream.sink.events.post import parse_hook
from emotion_stream.sink.outputs import faces, images
from emotion_stream.sink.outputs.csv_table import CsvTable
from emotion_stream.sink.outputs.faces import Faces
from emotion_stream.sink.outputs.images import Images
from emotion_stream.sink.outputs.jsonl import JsonLines
from emotion_stream.sink.outputs.sqlite import Sqlite
from emotion_stream.sink.results.output import Output
from emotion_stream.sink.retention.keeper import Disk, Keeper, disk_of
from emotion_stream.sink.retention.naming import check_apart, read_file
from emotion_stream.sink.retention.opening import hold
from emotion_stream.sink.retention.rules import Rules
from emotion_stream.sink.retention.store import Held
from emotion_stream.sink.web.http.address import Address, parse_address
from emotion_stream.sink.window.output import INSTEAD, Window
from emotion_stream.sink.window.screen import check_display

FILES = ("jsonl", "video", "csv", "sqlite", "images", "faces", "events")
FOR_EYES = ("window", "web")
"""What is looked at while it runs, and leaves no file."""
SENT = ("mqtt", "webhook")
"""What tells other software."""
KINDS = (*FOR_EYES, *FILES, *SENT)
LINES = ("jsonl", "events")
"""What may go to standard output."""
EXISTING = (
    "window, web[=HOST:PORT], jsonl=FILE (- is standard output), video=FILE.mp4, csv=FILE, sqlite=FILE,"
    " images=DIR, faces=DIR, events=FILE, webhook=URL, mqtt://HOST/PREFIX"
)


@dataclass(frozen=True, slots=True)
class Spec:
    """One `--output`, checked: its kind, and the file (or "-") or address it names."""

    kind: str
    target: str

    @property
    def is_file(self) -> bool:
        """Whether it names a file or folder."""
        return self.kind in FILES and self.target != "-"


def parse(specs: Sequence[str]) -> list[Spec]:
    """Check the values of `--output` without opening anything.

    Raises:
        UsageError: an unknown kind, no file or folder, a wrong ending, or the same one twice.
        EmotionError: it cannot be written where it shall lie, or there is no display for a window.
    """
    found: list[Spec] = []
    for text in specs:
        kind, target = split(text)
        if kind not in KINDS:
            raise UsageError(f"unknown output {text!r}; there are: {EXISTING}")
        if kind in SENT:
            found.append(_sent(kind, target))
            continue
        if kind in FOR_EYES:
            found.append(_for_eyes(kind, target))
            if sum(spec.kind == kind for spec in found) > 1:
                raise UsageError(f"one output {kind!r} shows all cameras: give it once")
            continue
        if not target:
            raise UsageError(f"output {text!r} names no file; there are: {EXISTING}")
        if kind == "video" and (target == "-" or Path(target).suffix.lower() != ".mp4"):
            raise UsageError(f"output {text!r} must end in .mp4")
        if kind not in LINES and target == "-":
            raise UsageError(f"output {text!r}: only jsonl and events go to standard output")
        if any(other.kind in LINES and other.target == "-" for other in found if target == "-"):
            raise UsageError("two outputs go to '-': give jsonl=- or events=- once")
        if kind == "sqlite" and is_special(Path(target)):
            raise EmotionError(f"cannot write {target}: it is no ordinary file")
        found.append(Spec(kind, target))
    claimed = claims(specs)
    for claim in claimed:
        check_place(claim)
    check_pairs(claimed)
    return found


def _sent(kind: str, target: str) -> Spec:
    if kind == "mqtt":
        parse_broker(target)
    else:
        parse_hook(target)
    return Spec(kind, target)


def _for_eyes(kind: str, target: str) -> Spec:
    if kind == "web":
        return Spec(kind, str(parse_address(target)))
    if target:
        raise UsageError(f"output {kind}={target}: it takes no value; write --output {kind}")
    check_display(INSTEAD)
    return Spec(kind, "")


def files(specs: Sequence[str]) -> list[str]:
    """The files and folders that these outputs write, "-" for standard output. Unchecked."""
    return [target for kind, target in map(split, specs) if kind in FILES]


def written(specs: Sequence[str], *, kept: bool = False) -> list[str]:
    """The same after a run. Of a video, the files that there are: one for each camera, and further ones where a
    sink that was started again went on. What is `kept` in order has a file for each camera and day: then a pattern
    tells which."""
    found: list[str] = []
    for kind, target in map(split, specs):
        if kind not in FILES:
            continue
        path = Path(target)
        if kept and _rolls(Spec(kind, target)):
            found.append(target if kind == "sqlite" else str(_pattern(kind, path)))
            continue
        parts = [path, *sorted({*_siblings(path)} - {path})] if kind == "video" else []
        found += [str(part) for part in parts if part.is_file()] if parts else [target]
    return found


def _rolls(spec: Spec) -> bool:
    """Whether its results can be kept in order: not those that go to a pipe or a device."""
    return spec.is_file and not is_special(Path(spec.target))


def _pattern(kind: str, path: Path) -> Path:
    return path / "*" if kind in FOLDERS else path.with_name(f"{path.stem}-*{path.suffix}")


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
    language: str = AUTO,
    announce: bool = False,
    end: Callable[[], None] = lambda: None,
    events: EventOptions | None = None,
    left_out: Callable[[str, int], None] = lambda output, count: None,
    kept: Rules | None = None,
    clock: Callable[[], float] = time.time,
    disk: Disk = disk_of,
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
        language: of what people read, as `--language` names it.
        announce: whether to print where the web page is.
        end: asks the run to end, for an output that is closed by its user; may be called by any thread.
        events: what other software is told, and how.
        left_out: called with an output's kind and how many messages it could not pass on; by any thread.
        kept: how long results are kept; then the last output is a `Keeper`. None: files grow until the run ends.
        clock, disk: tell the keeper the time, seconds since 1970, and how full disks are.

    Raises:
        UsageError: a value is wrong.
        EmotionError: an output cannot be written.
    """
    words = chosen(language)
    outputs: list[Output] = []
    held: list[Held] = []
    if kept is not None:
        check_apart([(spec.kind, Path(spec.target)) for spec in parse(specs) if _rolls(spec)])
    try:
        for spec in parse(specs):
            opener = partial(_open, spec.kind, fps=fps, threads=threads, notice=notice, words=words or ENGLISH)
            if spec.kind == "web":
                from emotion_stream.sink.web.output import Web

                address = parse_address(spec.target)
                outputs.append(Web(address, web or WebOptions(), cameras, notice, words, announce=announce))
            elif spec.kind == "window":
                outputs.append(Window(end, notice, language))
            elif spec.kind in SENT:
                outputs.append(_open_sent(spec, events or EventOptions(), cameras, left_out))
            elif kept is not None and _rolls(spec):
                held.append(hold(spec.kind, Path(spec.target), kept, opener, clock))
                outputs.append(held[-1])
            else:
                outputs.append(opener(Path(spec.target), many=many))
        if kept is not None and held:
            outputs.append(Keeper(kept, held, clock, disk))
    except EmotionError:
        for output in outputs:
            output.close()
        raise
    return outputs


def _open_sent(
    spec: Spec, options: EventOptions, cameras: Sequence[str], left_out: Callable[[str, int], None]
) -> Output:
    told = partial(left_out, spec.kind)
    if spec.kind == "mqtt":
        from emotion_stream.sink.events.mqtt import Mqtt

        return Mqtt(parse_broker(spec.target), options, cameras, told)
    from emotion_stream.sink.events.webhook import Webhook

    return Webhook(spec.target, webhook_secret(options), options.event_pictures, told)


def _open(
    kind: str,
    path: Path,
    part: int = 0,
    *,
    many: bool = False,
    fps: float | None,
    threads: int,
    notice: str,
    words: Words,
) -> Output:
    """Open a file to resume; one that rolls over has a number from 1, and holds frames in order."""
    match kind:
        case "jsonl":
            return JsonLines(str(path), at_end=part > 0)
        case "events":
            return EventLines(str(path), at_end=part > 0)
        case "csv":
            return CsvTable(path, at_end=part > 0)
        case "sqlite":
            return Sqlite(path)
        case "images":
            return Images(path, notice, words)
        case "faces":
            return Faces(path)
        case _:
            from emotion_stream.sink.outputs.video import (
                Video,  # only where it is wanted: a sink is back sooner without FFmpeg
            )

            return Video(path, many=many, fps=fps, threads=threads, notice=notice, words=words, part=max(1, part))


def truncate(specs: Sequence[str], *, force: bool = False, kept: bool = False) -> None:
    """Remove what earlier runs left, once, before a new run opens its outputs.

    JSON lines are emptied. Of videos, the file itself goes, and those of its siblings (`F-<camera>.mp4`,
    `F.002.mp4`) that carry our mark. Tables and databases go if they hold results, with what SQLite keeps beside
    them; of a folder of images, the pictures that carry our mark. Devices and pipes stay.

    Args:
        force: whether files of something else are begun anew, too.
        kept: whether results are kept in order: then those of earlier runs stay for as long as others.

    Raises:
        UsageError, EmotionError: as `parse`, a file is of something else (then nothing is removed), or a file
            cannot be removed.
    """
    parsed = [spec for spec in parse(specs) if _rolls(spec)]
    check((), claims(specs), force=force)
    for spec in () if kept else parsed:
        try:
            _remove(spec.kind, Path(spec.target))
        except OSError as e:
            raise EmotionError(f"cannot remove the old {spec.target}: {e.strerror}") from e


def _remove(kind: str, path: Path) -> None:
    match kind:
        case "jsonl" | "csv" | "events":
            path.open("wb").close()
        case "sqlite":
            if path.exists():
                for name in ("", *COMPANIONS):
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
    """The further files of a video: of its cameras, and of runs that were resumed. What rolled over is kept."""
    from emotion_stream.sink.outputs.video import is_ours

    starts = f"{path.stem}-", f"{path.stem}."
    return [
        p
        for p in path.parent.iterdir()
        if p.name.startswith(starts) and p.suffix == path.suffix and p.is_file() and is_ours(p)
        if read_file(path, p.name) is None
    ]
