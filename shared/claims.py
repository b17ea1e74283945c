"""Decides about every path that a command writes. It refuses to write what the command reads, and to write one
file twice. What somebody else has written is replaced only with `--force`."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from emotion_stream.shared.errors import EmotionError, UsageError

CONTAINER = ("/.dockerenv", "/run/.containerenv")
"""Files that engines put into containers."""
KEPT = "/out"
"""Where the images have their volume for results."""


def nobodys(path: Path) -> bool:
    """Whether a file of unknown origin may be replaced: only if it is empty."""
    return path.stat().st_size == 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A file, or a folder of files, that will be written.

    Attributes:
        path: where.
        by: what names it, as the user wrote it: `--output video=a.mp4`.
        ours: whether a file that lies there is of a kind that we wrote, so that it may be replaced.
        beside: further files that are written with it, or folders in it.
        is_folder: whether it is a folder; what lies in it is decided file by file.
    """

    path: Path
    by: str
    ours: Callable[[Path], bool] = nobodys
    beside: tuple[Path, ...] = ()
    is_folder: bool = False

    @property
    def paths(self) -> tuple[Path, ...]:
        """All that it names."""
        return self.path, *self.beside


@dataclass(frozen=True, slots=True)
class Source:
    """Something that is read.

    Attributes:
        path: a file, or a folder.
        what: what to call it: `a source`.
        files: the files that are read of it; asked only where one of them could be hit.
    """

    path: Path
    what: str
    files: Callable[[], Iterable[Path]] = tuple


def check(sources: Sequence[Source], claims: Sequence[Claim], *, force: bool = False) -> None:
    """Refuse what must not be written, before anything is.

    Args:
        sources: all that is read.
        claims: all that will be written.
        force: whether files that somebody else has written may be replaced; never sources, never one file twice.

    Raises:
        UsageError: a source would be overwritten, or two claims name one file.
        EmotionError: a place cannot be written to, or holds somebody's file.
    """
    for claim in claims:
        check_place(claim)
    for claim in claims:
        for source in sources:
            if _hits(claim, source):
                raise UsageError(f"{claim.by} would overwrite {source.what}: choose another file")
    check_pairs(claims)
    for claim in claims:
        if not force and (foreign := _foreign(claim)) is not None:
            raise EmotionError(
                f"{claim.by}: {foreign} is there already, and holds something else than results of this program:"
                " choose another file, or replace it with --force"
            )


def check_place(claim: Claim) -> None:
    """Refuse a place that cannot be written to.

    Raises:
        EmotionError: there is no such folder, it is a folder and should be a file or the reverse, or it is not
            permitted.
    """
    path, folder = claim.path, claim.path.absolute().parent
    why = ""
    try:
        if claim.is_folder and path.exists() and not path.is_dir():
            why = "it is no folder"
        elif not claim.is_folder and path.is_dir():
            why = "it is a folder"
        elif not folder.is_dir():
            why = f"there is no folder {path.parent}"
        elif not os.access(path if path.exists() else folder, os.W_OK):
            why = "permission denied"
    except OSError as e:
        why = str(e.strerror)
    if why:
        if any(os.path.exists(mark) for mark in CONTAINER):
            why += f"; a container keeps what lies in {KEPT}, so write {KEPT}/{path.name} or {path.name} alone"
        raise EmotionError(f"{claim.by} cannot be written: {why}")


def check_folder(path: Path, by: str) -> None:
    """Refuse a folder that is not there and cannot be made, before anything is computed for it.

    Raises:
        EmotionError: it, or what it would lie in, is no folder, or nothing may be written there.
    """
    try:
        there = next(p for p in (path.absolute(), *path.absolute().parents) if os.path.lexists(p))
        why = "" if os.access(there, os.W_OK) else "permission denied"
        why = why if there.is_dir() else f"{there} is no folder"
    except OSError as e:
        why = str(e.strerror)
    if why:
        raise EmotionError(f"{by} cannot be written: {why}")


def check_pairs(claims: Sequence[Claim]) -> None:
    """Refuse two claims to one file.

    Raises:
        UsageError: there are such.
    """
    for one, other in combinations(claims, 2):
        for path in one.paths:
            if any(same(path, p) for p in other.paths):
                raise UsageError(f"{one.by} and {other.by} both go to {path}: choose another file for one of them")


def same(a: Path, b: Path) -> bool:
    """Whether two paths are one file: by their names, by links of either kind, or because the file system ignores
    case. Devices and pipes never are."""
    try:
        if is_special(a):
            return False
        return a.resolve() == b.resolve() or (a.exists() and b.exists() and a.samefile(b))
    except (OSError, RuntimeError):
        return a.absolute() == b.absolute()


def is_special(path: Path) -> bool:
    """A device or pipe, which holds nothing that could be lost."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _hits(claim: Claim, source: Source) -> bool:
    if claim.is_folder:
        # A run clears away what earlier ones left in folders of this folder: nothing there may be read now.
        cleared = source.path.is_dir() and same(source.path.absolute().parent, claim.path)
        hit = cleared or any(same(path, source.path) for path in claim.beside)
        deep = claim.path.is_dir() and any(same(f.absolute().parent.parent, claim.path) for f in source.files())
        return hit or deep
    if any(same(path, source.path) for path in claim.paths):
        return True
    there = [path for path in claim.paths if path.is_file()]
    return bool(there) and any(same(path, file) for file in source.files() for path in there)


def _foreign(claim: Claim) -> Path | None:
    """A file at this place that we have not written; None if there is none. What lies beside a file of ours counts
    as ours."""
    if claim.is_folder or is_special(claim.path):
        return None
    if claim.path.exists():
        return None if _is_ours(claim, claim.path) else claim.path
    return next((p for p in claim.beside if p.is_file() and not _is_ours(claim, p)), None)


def _is_ours(claim: Claim, path: Path) -> bool:
    try:
        return nobodys(path) or claim.ours(path)
    except OSError:
        return False
