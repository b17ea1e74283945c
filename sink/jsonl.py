"""The output `jsonl=FILE|-`: one JSON line per result."""

import json
import os
import stat
import time
from pathlib import Path

from shared.errors import EmotionError
from sink.output import Image, Result, as_json

SYNC_EVERY = 1.0
"""Seconds between two waits for the disk; the operating system gets every line at once."""
_BUFFER = 1 << 16
_START = b'{"camera"'


class OutputClosed(EmotionError):
    """Whoever read our standard output went away: a reason to end, not a failure (exit code 0)."""

    exit_code = 0


class JsonLines:
    """Writes JSON lines to a file, or to standard output for "-".

    A file is opened to resume: a partial last line goes, and of each (camera, epoch) only results after the
    last one in the file are written. Standard output and devices begin anew.

    Raises:
        EmotionError: the file cannot be written, or holds something else than results.
    """

    needs_image = False

    def __init__(self, target: str) -> None:
        self._name = "standard output" if target == "-" else target
        self._last: dict[tuple[str, str], int] = {}
        self._buffer = bytearray()
        self._synced_at = time.monotonic()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            if target != "-" and os.path.exists(target) and not os.path.isfile(target):
                flags = os.O_WRONLY  # a pipe or device
            self._fd = os.dup(1) if target == "-" else os.open(target, flags, 0o666)
        except OSError as e:
            raise EmotionError(f"cannot write {self._name}: {e.strerror}") from e
        self._regular = target != "-" and stat.S_ISREG(os.fstat(self._fd).st_mode)
        if self._regular:
            try:
                self._resume(Path(target))
            except OSError as e:
                os.close(self._fd)
                raise EmotionError(f"cannot read {self._name} to continue it: {e.strerror}") from e
            except EmotionError:
                os.close(self._fd)
                raise

    def _resume(self, path: Path) -> None:
        whole = 0
        with path.open("rb") as file:
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
        if whole < path.stat().st_size:
            os.ftruncate(self._fd, whole)

    def write(self, result: Result, image: Image | None) -> None:
        info = result.info
        key = info.camera, info.epoch
        if info.seq <= self._last.get(key, -1):
            return
        self._last[key] = info.seq
        self._buffer += json.dumps(as_json(result), separators=(", ", ": ")).encode() + b"\n"
        if len(self._buffer) >= _BUFFER:
            self._drain()

    def flush(self) -> None:
        self._drain()
        if self._regular and time.monotonic() - self._synced_at >= SYNC_EVERY:
            self._sync()

    def close(self) -> None:
        if self._fd < 0:
            return
        try:
            self._drain()
            if self._regular:
                self._sync()
        finally:
            os.close(self._fd)
            self._fd = -1

    def _drain(self) -> None:
        try:
            while self._buffer:
                del self._buffer[: os.write(self._fd, self._buffer)]
        except BrokenPipeError as e:
            self._buffer.clear()
            raise OutputClosed(f"{self._name} was closed by its reader") from e
        except OSError as e:
            self._buffer.clear()  # so that closing does not fail once more
            raise EmotionError(f"cannot write {self._name}: {e.strerror}") from e

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as e:
            raise EmotionError(f"cannot write {self._name}: {e.strerror}") from e
        self._synced_at = time.monotonic()
