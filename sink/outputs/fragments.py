"""Fragmented MP4 files that could not be written to their end."""

from pathlib import Path


def trim(path: Path) -> None:
    """Cut a file off behind its last whole fragment: players stumble over half a one.

    The file is a row of boxes, each with its length (32 bits, or 1 and then 64 bits) and its kind (ISO/IEC
    14496-12, 4.2); a fragment is a `moof` and the `mdat` behind it.

    Raises:
        OSError: it cannot be read or cut.
    """
    end = path.stat().st_size
    at = whole = 0
    with path.open("r+b") as file:
        while at + 8 <= end:
            file.seek(at)
            head = file.read(16)
            size = int.from_bytes(head[:4])
            if size == 1:
                size = int.from_bytes(head[8:])
            if size < 8 or at + size > end:
                break
            at += size
            if head[4:8] != b"moof":
                whole = at
        if whole < end:
            file.truncate(whole)
