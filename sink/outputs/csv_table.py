"""The output `csv=FILE`: one row per face, and one row with empty face columns for a frame without faces."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.drawing.draw import COLOURS
from emotion_stream.sink.outputs.appender import Appender, Appending, newest, skip_to_end
from emotion_stream.sink.results.output import (
    ANALYZED,
    DETAILS,
    NAME,
    ZONES,
    Image,
    Result,
    as_json,
    details,
    zones_text,
)

FRAME_COLUMNS = (
    "camera",
    "source",
    "epoch",
    "seq",
    "time",
    "captured_at",
    "width",
    "height",
    "latency_ms",
    "status",
    "error",
    "faces",
)
FACE_COLUMNS = (
    "face",
    "track",
    "confirmed",
    "x",
    "y",
    "face_width",
    "face_height",
    "emotion",
    "confidence",
    "uncertain",
)
PREFIX = "p_"
"""Begins the column of each label's probability."""
RAW_PREFIX = "raw_"
"""The same for the probability of the frame alone."""
_FIXED = (*FRAME_COLUMNS, *FACE_COLUMNS)
_LATER = (*DETAILS, ANALYZED, NAME, ZONES)
_GENERATIONS = (len(_LATER), len(_LATER) - 1, 0)
"""How many of these the versions so far have written. A file goes on with the columns that it has."""
_START = ",".join(_FIXED).encode()


def is_ours(path: Path) -> bool:
    """Whether a file begins with our columns; an empty one, or one cut off within them, counts, too."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_START))
    except OSError:
        return False
    return _START.startswith(head)


class OtherLabels(EmotionError):
    """A table has no columns for the labels of a result."""


class CsvTable(Appending):
    """Writes rows to a file, UTF-8, one line each, with a heading.

    A file is opened to resume: a partial last line goes, and the other rows of its frame with it; of each (camera,
    epoch) only results after the last one in the file are written. Pipes and devices begin anew.

    Args:
        target: the file.
        at_end: whether only the end of the file is read to resume it: what it holds is in order.

    Raises:
        EmotionError: the file cannot be written, or holds something else than results.
    """

    def __init__(self, target: Path, *, at_end: bool = False) -> None:
        self._path = target
        self._at_end = at_end
        self._labels: tuple[str, ...] | None = None
        self._later = len(_LATER)
        self._last: dict[tuple[str, str], int] = {}
        self._file = Appender(target, self._resume)

    def _resume(self, path: Path) -> int:
        """Read the rows; returns where the last frame that has all its rows ends."""
        if not is_ours(path):
            raise self._foreign(1)
        whole = at = 0
        with path.open("rb") as file:
            for number, line in enumerate(iter(file.readline, b""), 1):
                if not line.endswith(b"\n"):
                    break
                at += len(line)
                try:
                    row = next(csv.reader([line.decode("utf-8", "replace")]), [])
                    if number == 1:
                        self._later = next(n for n in _GENERATIONS if _ends_with(row, _LATER[:n]))
                        end = len(row) - self._later
                        named = row[len(_FIXED) : (len(_FIXED) + end) // 2]
                        self._labels = tuple(name.removeprefix(PREFIX) for name in named)
                        whole = at
                        if self._at_end:
                            whole = at = max(at, skip_to_end(file))
                            file.seek(at)
                        continue
                    told = dict(zip(_FIXED, row, strict=False))
                    key, seq = (told["camera"], told["epoch"]), int(told["seq"])
                    complete = int(told["face"] or 0) >= int(told["faces"])
                except (KeyError, ValueError, csv.Error):
                    raise self._foreign(number) from None
                if complete:
                    self._last[key] = max(seq, self._last.get(key, -1))
                    whole = at
        return whole

    def _foreign(self, number: int) -> EmotionError:
        return EmotionError(f"{self._path} holds something else than results (line {number}): choose another file")

    def write(self, result: Result, image: Image | None) -> None:
        """Write a row for each face, unless the file has this frame already."""
        info = result.info
        key = info.camera, info.epoch
        if info.seq <= self._last.get(key, -1):
            return
        if self._labels is None:
            self._labels = result.labels or tuple(COLOURS)
            self._file.write(_heading(self._labels))
        if result.faces and result.labels != self._labels:
            raise OtherLabels(f"{self._path} holds results of a model with other labels: choose another file")
        self._last[key] = info.seq
        self._file.write(_lines(rows(result, len(self._labels), self._later)))

    def follow(self, before: "CsvTable") -> None:
        """Know also what the file before this one holds at its end."""
        self._last = newest(before._last) | self._last


def rows(result: Result, labels: int, later: int = len(_LATER)) -> list[list[object]]:
    """The rows of one result with columns for this many labels, and for so much of what came later. Pure."""
    told = as_json(result)
    faces = told["faces"]
    frame = [len(faces) if name == "faces" else told[name] for name in FRAME_COLUMNS]
    last = [int(told[ANALYZED]), told[NAME]]
    if not faces:
        nobody = [*[None] * len(DETAILS), *last, None]
        return [[*frame, *[None] * (len(FACE_COLUMNS) + 2 * labels), *nobody[:later]]]
    return [
        [*frame, *_columns(n, face), *[*details(face), *last, zones_text(face)][:later]]
        for n, face in enumerate(faces, 1)
    ]


def _ends_with(row: Sequence[str], columns: Sequence[str]) -> bool:
    return tuple(row[len(row) - len(columns) :]) == tuple(columns)


def _heading(labels: Sequence[str]) -> bytes:
    shares = (prefix + name for prefix in (PREFIX, RAW_PREFIX) for name in labels)
    return _lines([[*_FIXED, *shares, *_LATER]])


def _columns(n: int, face: Mapping[str, Any]) -> list[object]:
    about = [n, face["track"], int(face["confirmed"]), *face["box"], face["emotion"], face["confidence"]]
    return [*about, int(face["uncertain"]), *face["probabilities"].values(), *face["raw"].values()]


def _lines(table: Sequence[Sequence[object]]) -> bytes:
    """One line per row: line breaks within a value become spaces. Pure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in table:
        writer.writerow([" ".join(v.splitlines()) if isinstance(v, str) else v for v in row])
    return text.getvalue().encode("utf-8", "replace")


def as_csv(results: Sequence[Result]) -> Iterator[bytes]:
    """The results as a table with its heading, in pieces, without those of a model with other labels. Pure."""
    labels = next((result.labels for result in results if result.faces), tuple(COLOURS))
    yield _heading(labels)
    for result in results:
        if not result.faces or result.labels == labels:
            yield _lines(rows(result, len(labels)))
