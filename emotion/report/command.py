"""`emotion report`: results as one page, and as pictures."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion_stream.emotion.labels import told_labels
from emotion_stream.emotion.report import png, portraits
from emotion_stream.emotion.report.find import beside, find
from emotion_stream.emotion.report.page import Told, page
from emotion_stream.emotion.report.read import records, together
from emotion_stream.emotion.report.table import Camera, tabulate
from emotion_stream.emotion.written import report_claim
from emotion_stream.shared.claims import Claim, Source, check, check_place
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.log import clean
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.loading import build, option
from emotion_stream.shared.settings.result_options import LanguageOptions, WriteOptions
from emotion_stream.shared.whole import write_whole
from emotion_stream.shared.words.words import ENGLISH, Words, chosen
from emotion_stream.sink.marks import is_marked

FROM_SOURCES = "sources"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What is made of results."""

    results: tuple[str, ...] = option(
        (),
        "what --output jsonl=FILE, csv=FILE or sqlite=FILE has written: that FILE, also where its results lie in a"
        " file for each day; or several files, a folder, a pattern",
        metavar="RESULTS",
        positional=True,
    )
    html: str | None = option(
        None,
        "page to write; default: RESULTS with the ending .html, of several files report.html beside the first",
        metavar="FILE",
    )
    png: str | None = option(None, "folder to write the charts into as pictures, too", metavar="DIR")
    faces: str | None = option(
        None,
        "show faces: those that --output faces=DIR kept, or `sources`: out of the files that the results name",
        metavar="DIR|sources",
    )
    title: str | None = option(
        None, "heading of the page; default: the name of RESULTS, of several files the cameras", metavar="TEXT"
    )
    summary: str | None = option(
        None,
        "what --summary-json of the run has written: how faces got their labels, and which frames were dropped",
        metavar="FILE",
    )
    blur_faces: bool = option(False, "hide the faces that are cut out of files")
    notice: str = option("", "a line to show, such as: emotion recognition was in use", metavar="TEXT")


def run(values: Values) -> None:
    """Write the report.

    Raises:
        UsageError: no results are named, or something that is read would be overwritten.
        EmotionError: they cannot be read, or a file cannot be written.
    """
    options = build(ReportOptions, values)
    if not options.results or not all(options.results):
        raise UsageError("no results given: name a file, as in: emotion report results.jsonl")
    words = chosen(build(LanguageOptions, values).language) or ENGLISH
    results = find(options.results)
    target = Path(options.html) if options.html else beside(options.results, results)
    force = build(WriteOptions, values).force
    _check(options, results, target, [], force)  # told before anything is read, which may take long
    cameras = tabulate(together(results))
    _check(options, results, target, cameras, force)
    found: list[portraits.Portrait] = []
    if options.faces == FROM_SOURCES:
        found = portraits.from_sources(cameras, options.blur_faces)
    elif options.faces is not None:
        found = portraits.kept(Path(options.faces))
    labels, dropped = _summary(Path(options.summary)) if options.summary else (None, None)
    title = options.title or (results[0].stem if len(results) == 1 else _names(cameras))
    told = Told(title, options.notice, found, dropped, labels, words=words)
    write(cameras, told, target, Path(options.png) if options.png else None)


def _summary(path: Path) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """By which rules faces got their labels, and which frames the run gave up.

    Raises:
        EmotionError: it cannot be read, or is no summary.
    """
    try:
        summary = json.loads(path.read_bytes())
        missing = {"missing": int(summary["missing"])} if summary["missing"] else {}
        told_labels(summary["labels"])  # refused here if it is something else
        return summary["labels"], {**summary["dropped"], **missing}
    except OSError as e:
        raise EmotionError(f"--summary {path} cannot be read ({e.strerror})") from e
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise EmotionError(f"--summary {path} is no summary of a run: --summary-json writes one") from None


def _check(
    options: ReportOptions, results: Sequence[Path], target: Path, cameras: list[Camera], force: bool
) -> None:
    """Refuse files that must not be written over.

    Raises:
        UsageError: one is read: results, a folder of faces, or what the results come from.
        EmotionError: one cannot be written, or is somebody's.
    """
    sources = [Source(path, f"the results {path}") for path in results]
    if options.summary is not None:
        sources.append(Source(Path(options.summary), f"the summary {options.summary}"))
    if options.faces not in (None, FROM_SOURCES):
        sources.append(Source(Path(str(options.faces)), f"the faces in {options.faces}"))
    played = dict.fromkeys(source for camera in cameras for source in camera.sources)
    sources += [Source(Path(source), f"{source}, which the results come from") for source in played if source]
    claims = [report_claim(target, f"the report {target}")]
    if options.png is not None:
        png.check_library()
        charts = Path(options.png)
        check_place(Claim(charts, f"--png {charts}", is_folder=True))
        if charts.exists():  # else it is made
            claims += [Claim(path, f"the chart {path}", is_marked) for path in png.paths(cameras, charts)]
    check(sources, claims, force=force)


def _names(cameras: list[Camera]) -> str:
    return ", ".join(camera.name for camera in cameras[:3]) + (" ..." if len(cameras) > 3 else "")


def write(cameras: list[Camera], told: Told, target: Path, charts: Path | None) -> None:
    """Write the page and, into the folder `charts`, the charts as pictures; and say so.

    Raises:
        EmotionError: something cannot be written.
    """
    written = [target]
    try:
        write_whole(target, page(cameras, told).encode())
        if charts is not None:
            charts.mkdir(exist_ok=True)
            written += png.draw(cameras, told, charts)
    except OSError as e:
        raise EmotionError(f"the report cannot be written: {e.filename or target}: {e.strerror}") from e
    for path in written:
        print(f"written      {clean(str(path))}", file=sys.stderr)


def of_run(
    results: Path,
    faces: Path,
    target: Path,
    notice: str,
    dropped: Mapping[str, int],
    labels: Mapping[str, Any],
    events: Mapping[str, int],
    words: Words,
) -> None:
    """The report at the end of a run, which knows what it dropped and which events it told.

    Raises:
        EmotionError: the results cannot be read, there are none, or the page cannot be written.
    """
    cameras = tabulate(records(results))
    found = portraits.kept(faces) if faces.is_dir() else []
    write(cameras, Told(_names(cameras), notice, found, dropped, labels, events, words), target, None)


COMMAND = Command(
    "report",
    "Make one page of results, and pictures of its charts.",
    (ReportOptions, LanguageOptions, WriteOptions),
    run,
)
