"""Small file systems, in memory, for what happens on a full disk."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
_MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'


def mounting(folder: Path, size: str, *command: str) -> list[str]:
    """The command line that runs `command` with a file system of this size at `folder`, which is gone when it
    ends."""
    return ["unshare", "-rm", "sh", "-c", _MOUNT, "sh", size, str(folder), *command]


def within(folder: Path, size: str, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command so, in a new folder."""
    folder.mkdir()
    return subprocess.run(
        mounting(folder, size, *command), cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )


def can_mount(folder: Path) -> bool:
    """Whether a file system can be mounted in a new folder here."""
    return shutil.which("unshare") is not None and within(folder, "64k", "true").returncode == 0
