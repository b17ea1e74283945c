"""The output `jsonl=FILE|-`: one JSON line per result."""

import json
from pathlib import Path

from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.outputs.appender import Appender, Appending, newest, skip_to_end
from emotion_stream.sink.results.output import Image, Result, as_json

_START = b'{"camera"'


class JsonLines(Appending):
    """Writes JSON lines to a file, or to standard output for "-".

    A file is opened to resume: a partial last line goes, and of each (camera, epoch) only results after the
    last one in the file are written. Standard output and devices begin anew.

    Args:
        target: the file, or "-".
        at_end: whether only the end of the file is read to resume it: what it holds is in order.

    Raises:
        EmotionError: the file cannot be written, or holds something else than results.
    """

    def __init__(self, target: str, *, at_end: bool = False) -> None:
        self._at_end = at_end
        self._last: dict[tuple[str, str], int] = {}
        self._file = Appender(None if target == "-" else Path(target), self._resume)

    def _resume(self, path: Path) -> int:
        """Read the lines; returns where the last whole one ends."""
        with path.open("rb") as file:
            whole = skip_to_end(file) if self._at_end else 0
            for number, line in enumerate(file, 1):
                ends = line.endswith(b"\n")
                try:
                    record = json.loads(line) if ends else None
                    if record is not None:
                        key = str(record["camera"]), str(record["epoch"])
                        self._last[key] = max(int(record["seq"]), self._last.get(key, -1))
                    ours = ends or line[: len(_START)] == _START[: len(line)]
                except (ValueError, KeyError, TypeError):
                    ours = False
                if not ours:
                    raise EmotionError(
                        f"{path} holds something else than results (line {number}): choose another file"
                    )
                whole += len(line) if ends else 0
        return whole

    def write(self, result: Result, image: Image | None) -> None:
        """Write a line, unless the file has this frame already."""
        info = result.info
        key = info.camera, info.epoch
        if info.seq <= self._last.get(key, -1):
            return
        self._last[key] = info.seq
        self._file.write(json.dumps(as_json(result), separators=(", ", ": ")).encode() + b"\n")

    def follow(self, before: "JsonLines") -> None:
        """Know also what the file before this one holds at its end."""
        self._last = newest(before._last) | self._last
