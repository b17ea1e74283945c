"""The room that files take."""

from pathlib import Path

BLOCK = 4096
"""Bytes that a file takes at the least, and in steps of."""


def rounded(size: int) -> int:
    """The room that a file of so many bytes takes on a disk. Pure."""
    return -(-size // BLOCK) * BLOCK


def room(path: Path) -> int:
    """The room that a file takes, in bytes; 0 where there is none."""
    try:
        return rounded(path.stat().st_size)
    except OSError:
        return 0
