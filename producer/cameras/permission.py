"""Whether this program may open a camera of this machine, and what to do where it may not (Linux)."""

import os
import sys
from pathlib import Path


def denied(index: int | str, devices: Path = Path("/dev")) -> str | None:
    """Why the device of a camera may not be opened by us, with what helps; None: it may, or is not there."""
    path = devices / f"video{index}"
    if not sys.platform.startswith("linux") or not path.exists() or os.access(path, os.R_OK | os.W_OK):
        return None
    number = path.stat().st_gid
    group = _name(number)
    if os.path.exists("/.dockerenv") or group is None:
        return (
            f"no permission for {path}, which belongs to the group number {number}: in a container, join it by"
            f" number (VIDEO_GROUP={number} in .env, or --group-add {number})"
        )
    return f"no permission for {path}: join the group {group} (sudo usermod -aG {group} $USER), then log in again"


def _name(number: int) -> str | None:
    import grp  # not on every system

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return None
