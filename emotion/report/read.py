"""Reads results back: JSON lines, CSV and SQLite, all as records in the form of the JSON lines."""

import csv
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.claims import OURS
from emotion_stream.sink.outputs import csv_table
from emotion_stream.sink.outputs import sqlite as database
from emotion_stream.sink.outputs.csv_table import PREFIX

Record = Mapping[str, Any]
"""A frame as `sink.output.as_json` tells it; of faces, without what no report needs."""


def records(path: Path) -> Iterator[Record]:
    """The frames of a file of results, in its order. A last line that was cut off is left out.

    Raises:
        EmotionError: it cannot be read, or holds something else than results.
    """
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as e:
        raise EmotionError(f"{path} cannot be read ({e.strerror})") from e
    if not head:
        raise EmotionError(f"{path} is empty: there is nothing to report")
    if head.startswith(b"SQLite format 3\0"):
        return _sqlite(path)
    if head.startswith(b"camera,source,"):
        return _csv(path)
    if head.startswith(b"{"):
        return _json_lines(path)
    raise _foreign(path)


def together(paths: Sequence[Path]) -> Iterator[Record]:
    """The frames of several files, one file after another; a frame that more than one of them holds comes once.

    Raises:
        EmotionError: as `records`.
    """
    if len(paths) == 1:
        yield from records(paths[0])
        return
    seen = _Seen()
    for path in paths:
        for record in records(path):
            if seen.is_new(record):
                yield record


def first_capture(path: Path) -> float | None:
    """When the first frame of a file was captured, seconds since 1970; None: it holds no frame, or not yet.

    Raises:
        EmotionError: as `records`.
    """
    try:
        if path.is_file() and not path.stat().st_size:
            return None
        record = next(iter(records(path)), None)
        return datetime.fromisoformat(record["captured_at"]).timestamp() if record else None
    except OSError as e:
        raise EmotionError(f"{path} cannot be read ({e.strerror})") from e
    except (KeyError, TypeError, ValueError):
        raise _foreign(path, 1) from None


def is_results(path: Path) -> bool:
    """Whether a file holds results, by its beginning.

    Raises:
        OSError: it cannot be read.
    """
    return any(OURS[kind](path) for kind in ("jsonl", "csv", "sqlite"))


class _Seen:
    """Frames that were there already, a bit for each: a day of a camera has millions."""

    _BLOCK = 1 << 16

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str, int], bytearray] = defaultdict(lambda: bytearray(self._BLOCK // 8))

    def is_new(self, record: Record) -> bool:
        seq, epoch = record.get("seq"), record.get("epoch")
        if not (isinstance(seq, int) and isinstance(epoch, str)):
            return True  # whoever puts it into columns says what is wrong
        part, bit = divmod(seq, self._BLOCK)
        block = self._blocks[record["camera"], epoch, part]
        was = block[bit // 8] >> bit % 8 & 1
        block[bit // 8] |= 1 << bit % 8
        return not was


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in _lines(path):
        try:
            record = json.loads(line)
            if not (isinstance(record["camera"], str) and isinstance(record["faces"], list)):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _foreign(path, number) from None
        yield record


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines, with their numbers from 1."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield number, line
    except OSError as e:
        raise EmotionError(f"{path} cannot be read ({e.strerror})") from e


def _csv(path: Path) -> Iterator[Record]:
    if not csv_table.is_ours(path):
        raise _foreign(path, 1)
    heading: list[str] = []
    frame: dict[str, Any] = {}
    for number, line in _lines(path):
        try:
            row = next(csv.reader([line.decode("utf-8", "replace")]))
            if number == 1:
                heading = row
                continue
            told = dict(zip(heading, row, strict=True))
            if int(told["face"] or 0) <= 1:
                if frame:
                    yield frame
                size = {name: int(told[name]) for name in ("seq", "width", "height")}
                frame = {**told, **size, "faces": [], "time": float(told["time"])}
                frame["latency_ms"] = float(told["latency_ms"])
            if told["face"]:
                frame["faces"].append(_face(told, ("x", "y", "face_width", "face_height")))
        except (ValueError, KeyError, csv.Error):
            raise _foreign(path, number) from None
    if frame:
        yield frame


def _sqlite(path: Path) -> Iterator[Record]:
    if not database.is_ours(path):
        raise _foreign(path)
    try:
        # Without a log beside it, nothing but the file itself is read, and nothing is left beside it.
        how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as db:
            db.row_factory = sqlite3.Row
            faces = iter(db.execute("SELECT * FROM faces ORDER BY frame_id, face"))
            following = next(faces, None)
            for frame in db.execute("SELECT * FROM frames ORDER BY id"):
                own = []
                while following is not None and following["frame_id"] == frame["id"]:
                    own.append(_face(dict(following), ("x", "y", "width", "height")))
                    following = next(faces, None)
                yield {**dict(frame), "faces": own}
    except (sqlite3.Error, ValueError, TypeError, IndexError, KeyError) as e:
        raise EmotionError(f"{path} cannot be read as a database of results ({e})") from e


def _face(told: Mapping[str, Any], box: Iterable[str]) -> dict[str, Any]:
    """A face from a table's row."""
    shares = {name.removeprefix(PREFIX): value for name, value in told.items() if name.startswith(PREFIX)}
    return {
        "track": int(told["track"]),
        "confirmed": bool(int(told["confirmed"])),
        "box": [int(told[name]) for name in box],
        "emotion": told["emotion"],
        "confidence": float(told["confidence"]),
        "uncertain": bool(int(told["uncertain"])),
        "probabilities": {name: float(value) for name, value in shares.items() if value not in ("", None)},
    }


def _foreign(path: Path, number: int = 0) -> EmotionError:
    where = f" (line {number})" if number else ""
    return EmotionError(
        f"{path} holds no results{where}: name what --output jsonl=FILE, csv=FILE or sqlite=FILE has written"
    )
