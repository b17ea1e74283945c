"""Files that are written at once: each appears whole, or what was there before stays."""

import errno
import os
import secrets
import stat
from pathlib import Path

from emotion_stream.shared.claims import is_special

IN_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)
"""What a folder says in which one file may be written and no other, as where a container has that file alone."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file in one step. Links stay links, pipes and devices are written as they are, and a file that was
    there keeps its rights.

    Raises:
        OSError: it cannot be written; it names `path`.
    """
    if is_special(path):
        path.write_bytes(data)
        return
    target = path.resolve()
    part = target.with_name(f".emotion-{secrets.token_hex(6)}.part")
    try:
        try:
            part.write_bytes(data)
            if target.exists():
                part.chmod(stat.S_IMODE(target.stat().st_mode))
            os.replace(part, target)
        except OSError as e:
            part.unlink(missing_ok=True)
            if e.errno not in IN_PLACE or not target.exists():
                raise
            target.write_bytes(data)
    except OSError as e:
        raise OSError(e.errno, e.strerror, str(path)) from e
