"""Holds files for one run: a second one that would write them is told which has them."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from emotion_stream.shared.claims import Claim, is_special
from emotion_stream.shared.errors import UsageError

MARK = b"emotion-stream "
"""Begins every lock of ours; who holds it follows."""


def lock_path(path: Path) -> Path:
    """The file that is locked instead of `path`, which may come and go. Pure but for links."""
    real = path.resolve()
    return real.with_name(f".{real.name}.lock")


@contextlib.contextmanager
def hold(claims: Sequence[Claim]) -> Iterator[None]:
    """Hold all that these claims name until the block ends, however it ends.

    Beside each file lies `.NAME.lock` meanwhile, with who holds it; the system forgets the lock when the process
    dies. Where the folder takes no further file, the file itself is locked.

    Raises:
        UsageError: somebody else holds one; the message says who.
    """
    paths = dict.fromkeys(claim.path.resolve() for claim in claims if not is_special(claim.path))
    with contextlib.ExitStack() as stack:
        for path in paths:
            if path.name:
                stack.enter_context(_held(path))
        yield


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    lock = lock_path(path)
    fd = _open(lock, path)
    try:
        yield
    finally:
        if fd is not None:
            with contextlib.suppress(OSError):
                if os.pread(fd, len(MARK), 0) == MARK and lock.stat().st_ino == os.fstat(fd).st_ino:
                    lock.unlink()  # while it is still held, so that nobody's else goes
            os.close(fd)


def _open(lock: Path, path: Path) -> int | None:
    """The lock, held; None where nothing can be locked."""
    while True:
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError:
            try:
                fd = os.open(path, os.O_RDONLY)
            except OSError:
                return None
            _take(fd, path)
            return fd
        _take(fd, path)
        try:
            if lock.stat().st_ino == os.fstat(fd).st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(fd)  # whoever had it has just removed it: take the new one
    if os.pread(fd, len(MARK), 0) in (b"", MARK):  # else it is somebody's own file of this name: it stays as it is
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.ftruncate(fd, 0)
        os.pwrite(fd, MARK + f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode(), 0)
    return fd


def _take(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        told = os.pread(fd, 300, 0)
        os.close(fd)
        who = told.removeprefix(MARK).decode("utf-8", "replace").strip() if told.startswith(MARK) else ""
        raise UsageError(
            f"another run is writing {path}{f' ({who})' if who else ''}: wait for its end, or name another file"
        ) from None
    except OSError:
        pass  # a file system without locks
