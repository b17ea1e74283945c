"""Opens the outputs whose results are kept in order."""

import time
from collections.abc import Callable
from pathlib import Path

from emotion_stream.sink.events.lines import EventLines
from emotion_stream.sink.outputs.csv_table import CsvTable
from emotion_stream.sink.outputs.faces import Faces
from emotion_stream.sink.outputs.images import Images
from emotion_stream.sink.outputs.jsonl import JsonLines
from emotion_stream.sink.results.output import Output
from emotion_stream.sink.retention.database import KeptSqlite
from emotion_stream.sink.retention.rolling import Opener, Rolling
from emotion_stream.sink.retention.rules import Rules
from emotion_stream.sink.retention.shelf import Shelf
from emotion_stream.sink.retention.store import Held


def hold(
    kind: str,
    target: Path,
    rules: Rules,
    *,
    fps: float | None = None,
    threads: int = 1,
    notice: str = "",
    clock: Callable[[], float] = time.time,
) -> Held:
    """The output of this kind, in files that roll over; a database stays one file. For the others see
    `sink.catalogue.open_outputs`.

    Raises:
        EmotionError: it cannot be written.
    """
    if kind == "sqlite":
        return Held(KeptSqlite(target))
    shelf = Shelf(kind, target, rules.period, clock)
    return Held(Rolling(shelf, _opener(kind, fps, threads, notice), rules.period))


def _opener(kind: str, fps: float | None, threads: int, notice: str) -> Opener:
    def opened(path: Path, part: int) -> Output:
        match kind:
            case "jsonl":
                return JsonLines(str(path), at_end=True)
            case "events":
                return EventLines(str(path), at_end=True)
            case "csv":
                return CsvTable(path, at_end=True)
            case "images":
                return Images(path, notice)
            case "faces":
                return Faces(path)
            case _:
                from emotion_stream.sink.outputs.video import Video  # a sink is back sooner without FFmpeg

                return Video(path, fps=fps, threads=threads, notice=notice, part=part)

    return opened
