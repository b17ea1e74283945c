"""`emotion report`: results as one page, and as pictures."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emotion.report import portraits
from emotion.report.page import Told, page
from emotion.report.png import draw
from emotion.report.read import records
from emotion.report.table import Camera, tabulate
from shared.cli import Command, Values
from shared.errors import EmotionError, UsageError
from shared.settings import build, option

FROM_SOURCES = "sources"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What is made of results."""

    results: str | None = option(
        None, "what --output jsonl=FILE, csv=FILE or sqlite=FILE has written", metavar="RESULTS", positional=True
    )
    html: str | None = option(None, "page to write; default: RESULTS with the ending .html", metavar="FILE")
    png: str | None = option(None, "folder to write the charts into as pictures, too", metavar="DIR")
    faces: str | None = option(
        None,
        "show faces: those that --output faces=DIR kept, or `sources`: out of the files that the results name",
        metavar="DIR|sources",
    )
    title: str | None = option(None, "heading of the page; default: the name of RESULTS", metavar="TEXT")
    blur_faces: bool = option(False, "hide the faces that are cut out of files")
    notice: str = option("", "a line to show, such as: emotion recognition was in use", metavar="TEXT")


def run(values: Values) -> None:
    """Write the report.

    Raises:
        UsageError: no results are named, or the page would overwrite them.
        EmotionError: they cannot be read, or the page cannot be written.
    """
    options = build(ReportOptions, values)
    if options.results is None:
        raise UsageError("no results given: name a file, as in: emotion report results.jsonl")
    results = Path(options.results)
    target = Path(options.html) if options.html else results.with_suffix(".html")
    check(target, results)
    cameras = tabulate(records(results))
    found: list[portraits.Portrait] = []
    if options.faces == FROM_SOURCES:
        found = portraits.from_sources(cameras, options.blur_faces)
    elif options.faces is not None:
        found = portraits.kept(Path(options.faces))
    told = Told(options.title or results.stem, options.notice, found)
    write(cameras, told, target, Path(options.png) if options.png else None)


def check(target: Path, results: Path | None = None) -> None:
    """Refuse a page that cannot be written.

    Raises:
        UsageError: it would overwrite the results.
        EmotionError: there is no such folder, or it is a folder.
    """
    if results is not None and target.resolve() == results.resolve():
        raise UsageError(f"the report would overwrite the results {target}: name another file with --html")
    if target.is_dir():
        raise EmotionError(f"the report {target} cannot be written: it is a folder")
    if not target.absolute().parent.is_dir():
        raise EmotionError(f"the report {target} cannot be written: there is no folder {target.parent}")


def write(cameras: list[Camera], told: Told, target: Path, png: Path | None) -> None:
    """Write the page and, into the folder `png`, the charts; and say so.

    Raises:
        EmotionError: something cannot be written.
    """
    written = [target]
    try:
        target.write_text(page(cameras, told), encoding="utf-8")
        if png is not None:
            png.mkdir(exist_ok=True)
            written += draw(cameras, told, png)
    except OSError as e:
        raise EmotionError(f"the report cannot be written: {e.filename or target}: {e.strerror}") from e
    for path in written:
        print(f"written      {path}", file=sys.stderr)


def of_run(results: Path, faces: Path, target: Path, notice: str, dropped: Mapping[str, int]) -> None:
    """The report at the end of a run.

    Raises:
        EmotionError: the results cannot be read, there are none, or the page cannot be written.
    """
    cameras = tabulate(records(results))
    title = ", ".join(camera.name for camera in cameras[:3]) + (" ..." if len(cameras) > 3 else "")
    found = portraits.kept(faces) if faces.is_dir() else []
    write(cameras, Told(title, notice, found, dropped), target, None)


COMMAND = Command("report", "Make one page of results, and pictures of its charts.", (ReportOptions,), run)
