"""Appends bytes to a file, a device, a pipe, or standard output: what the text outputs have in common."""

import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from emotion_stream.shared.errors import EmotionError

SYNC_EVERY = 1.0
"""Seconds between two waits for the disk; the operating system gets everything at each flush."""
_BUFFER = 1 << 16
END = 1 << 20
"""Bytes at the end of a large file that tell what it holds last."""
_NEWEST = 16


class OutputClosed(EmotionError):
    """Whoever read our output went away: a reason to end, not a failure (exit code 0)."""

    exit_code = 0


def skip_to_end(file: BinaryIO) -> int:
    """Go to the first line that begins in the last END bytes of a file, and return where that is."""
    if file.seek(0, os.SEEK_END) <= END:
        return file.seek(0)
    file.seek(-END, os.SEEK_END)
    file.readline()
    return file.tell()


def newest(last: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Of the last frames of each (camera, epoch), those that were begun lately. Pure."""
    return dict(list(last.items())[-_NEWEST:])


class Appender:
    """Appends to `target`; None is standard output.

    Args:
        target: the file, made if it is not there.
        resume: reads a file from before a restart and returns how many of its bytes are to stay; pipes, devices
            and standard output begin anew.

    Raises:
        EmotionError: it cannot be opened, or whatever `resume` raises.
    """

    def __init__(self, target: Path | None, resume: Callable[[Path], int]) -> None:
        self._name = "standard output" if target is None else str(target)
        self._buffer = bytearray()
        self._synced_at = time.monotonic()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            if target is not None and target.exists() and not target.is_file():
                flags = os.O_WRONLY  # a pipe or device
            self._fd = os.dup(1) if target is None else os.open(target, flags, 0o666)
        except OSError as e:
            raise self._failed(e) from e
        self._regular = target is not None and stat.S_ISREG(os.fstat(self._fd).st_mode)
        if target is not None and self._regular:
            try:
                whole = resume(target)
                if whole < target.stat().st_size:
                    os.ftruncate(self._fd, whole)
            except OSError as e:
                os.close(self._fd)
                raise EmotionError(f"cannot read {self._name} to continue it: {e.strerror}") from e
            except EmotionError:
                os.close(self._fd)
                raise

    def write(self, data: bytes) -> None:
        """Append, at the latest with the next flush.

        Raises:
            EmotionError: it cannot be written.
        """
        self._buffer += data
        if len(self._buffer) >= _BUFFER:
            self._drain()

    def flush(self) -> None:
        """Hand everything to the operating system, and wait for the disk now and then.

        Raises:
            EmotionError: it cannot be written.
        """
        self._drain()
        if self._regular and time.monotonic() - self._synced_at >= SYNC_EVERY:
            self._sync()

    def forget(self) -> None:
        """Give up what was not flushed."""
        self._buffer.clear()

    def close(self) -> None:
        """Write what is left, to the disk, and close. May be called twice.

        Raises:
            EmotionError: it cannot be written.
        """
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
            raise self._failed(e) from e

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as e:
            raise self._failed(e) from e
        self._synced_at = time.monotonic()

    def _failed(self, e: OSError) -> EmotionError:
        return EmotionError(f"cannot write {self._name}: {e.strerror}")


class Appending:
    """An output that appends text to a file: what all of them do alike. See `sink.results.output.Buffering`."""

    needs_image = False
    _file: Appender

    def flush(self) -> None:
        """Hand what is written to the operating system."""
        self._file.flush()

    def forget(self) -> None:
        """Give up what was not flushed."""
        self._file.forget()

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._file.close()
