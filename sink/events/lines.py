"""The output `events=FILE|-`: one JSON line per event."""

import json
from collections import deque
from pathlib import Path

from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.events.event import Event, as_json
from emotion_stream.sink.outputs.appender import Appender, Appending, skip_to_end
from emotion_stream.sink.results.output import Image, Result

KNOWN = 4096
"""Ids of events that are remembered: what a sink tells again after a crash is among its last ones."""
_START = b'{"version"'


class EventLines(Appending):
    """Writes events to a file, or to standard output for "-".

    A file is opened to resume: a partial last line goes, and events that are among its last ones are not written
    again. Standard output and devices begin anew.

    Args:
        target: the file, or "-".
        at_end: whether only the end of the file is read to resume it.

    Raises:
        EmotionError: the file cannot be written, or holds something else than events.
    """

    def __init__(self, target: str, *, at_end: bool = False) -> None:
        self._at_end = at_end
        self._ids: deque[str] = deque(maxlen=KNOWN)
        self._known: set[str] = set()
        self._file = Appender(None if target == "-" else Path(target), self._resume)

    def _resume(self, path: Path) -> int:
        """Read the lines; returns where the last whole one ends."""
        with path.open("rb") as file:
            end = skip_to_end(file) if self._at_end else 0
            for number, line in enumerate(file, 1):
                ends = line.endswith(b"\n")
                try:
                    if ends:
                        self._remember(str(json.loads(line)["id"]))
                    ours = ends or line[: len(_START)] == _START[: len(line)]
                except (ValueError, KeyError, TypeError, RecursionError):
                    ours = False
                if not ours:
                    raise EmotionError(
                        f"{path} holds something else than events (line {number}): choose another file"
                    )
                end += len(line) if ends else 0
        return end

    def _remember(self, name: str) -> bool:
        """False: it is known already."""
        if name in self._known:
            return False
        if len(self._ids) == KNOWN:
            self._known.discard(self._ids[0])
        self._ids.append(name)
        self._known.add(name)
        return True

    def follow(self, before: "EventLines") -> None:
        """Know also the last events of the file before this one."""
        for name in before._ids:
            self._remember(name)

    def tell(self, event: Event) -> None:
        """Write an event that is not in the file yet."""
        if self._remember(event.id):
            self._file.write(json.dumps(as_json(event), ensure_ascii=False).encode(errors="replace") + b"\n")

    def write(self, result: Result, image: Image | None) -> None:
        """Frames are no events."""


def is_ours(path: Path) -> bool:
    """Whether a file begins with an event, or with the part of one."""
    with path.open("rb") as file:
        line = file.readline(1 << 20)
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return _START.startswith(line[: len(_START)]) or (line.startswith(_START) and not line.endswith(b"\n"))
    return isinstance(told, dict) and {"version", "id", "kind", "told_at"} <= set(told)
