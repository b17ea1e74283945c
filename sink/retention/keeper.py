"""Keeps results in order: what is too old goes, and what needs room gets it, always the oldest first.

It is an output itself, the last one, so that it looks after each flush of the others; and once a second when
nothing comes. All of it runs in the sink's thread. A look takes a fraction of a second at the most: what is left
goes at the next one.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.results.kept import Kept
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.retention.policy import (
    Segment,
    crowded,
    left,
    most,
    oldest,
    outdated,
    oversized,
)
from emotion_stream.sink.retention.rules import Rules
from emotion_stream.sink.retention.store import Held

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
HURRY_SECONDS = 2.0
"""How long a look may take, and how long where a bound is broken already: well below the watchdog's patience."""
AGAIN = 10.0
"""Seconds after which an output is tried again that could not write although its disk has room: a quota."""
SLACK = 64
"""One part in so many of the room is kept free ahead of what is written until the next look."""
BACK = 64 << 20
"""Bytes, beyond what must stay free, with which a full disk has room again; a sixteenth of a small disk."""

Disk = Callable[[Path], tuple[int, int]]
"""Bytes that are free on the disk of a folder for this user, and bytes in all."""


def disk_of(folder: Path) -> tuple[int, int]:
    """As the system tells it.

    Raises:
        EmotionError: the folder is not there any more.
    """
    try:
        told = os.statvfs(folder)
    except OSError as e:
        raise EmotionError(f"results cannot be written to {folder} any more: {e.strerror}") from e
    return told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize


class Keeper:
    """Makes room in `stores`, by these rules.

    Args:
        rules: how long results are kept, and how much room they take.
        stores: where they lie.
        clock: seconds since 1970.
        disk: how full a disk is.
    """

    needs_image = False

    def __init__(
        self, rules: Rules, stores: Sequence[Held], clock: Callable[[], float] = time.time, disk: Disk = disk_of
    ) -> None:
        self._rules = rules
        self._stores = stores
        self._clock = clock
        self._disk = disk
        self._folders = {held.store.target: _folder(held.store.target) for held in stores}
        self._devices = {target: os.stat(folder).st_dev for target, folder in self._folders.items()}
        self._used = self._size()
        self._growth = self._removed = 0
        self._hindered: set[Path] = set()
        self.look()

    # --- as an output ------------------------------------------------------------------------------------

    def write(self, result: Result, image: Image | None) -> None:
        """The others write."""

    def flush(self) -> None:
        """The others have written: look whether there is room for more."""
        self.look()

    def close(self) -> None:
        """The others finish their files."""

    # --- keeping -----------------------------------------------------------------------------------------

    def look(self) -> None:
        """Remove what is too old, and the oldest where room is needed; pause outputs whose disk stays full."""
        now, began = self._clock(), time.monotonic()
        for held in self._stores:
            held.rest(now)
        used = self._size()
        self._growth = max(used - self._used, self._growth * 9 // 10)
        self._used = used
        self._hindered.clear()
        reserve = self._reserve()
        while (first := self._oldest()) is not None:
            held, segment = first
            if not (outdated(segment, self._rules, now) or oversized(self._rules, self._used, reserve)):
                break
            hurry = oversized(self._rules, self._used, 0)
            if time.monotonic() - began > (HURRY_SECONDS if hurry else LOOK_SECONDS):
                break
            self._remove(held, segment)
        for device in set(self._devices.values()):
            self._free_disk(device, began)
        limit = most(self._rules, sum(held.store.writing() for held in self._stores))
        for held in self._stores:
            held.store.limit = limit

    def kept(self) -> Kept:
        """What there is now, what goes next, and how much room is left."""
        first = self._oldest()
        segment = first and first[1]
        keep = self._rules.keep
        free = min((self._disk(folder)[0] for folder in set(self._folders.values())), default=0)
        by_kind: dict[str, int] = {}
        for each in self._stores:
            by_kind[each.store.kind] = by_kind.get(each.store.kind, 0) + each.left_out
        return Kept(
            size=self._used,
            limit=self._rules.size,
            seconds=keep,
            oldest=segment.begin if segment else None,
            next=str(segment.path) if segment else "",
            next_at=segment.end + keep if segment and keep is not None else None,
            room=left(self._rules, self._used, free),
            removed=self._removed,
            paused=tuple(sorted({each.store.kind for each in self._stores if each.paused})),
            left_out=tuple(sorted(by_kind.items())),
        )

    def _oldest(self, device: int | None = None) -> tuple[Held, Segment] | None:
        """What goes first, and where it lies; on this disk, if one is named."""
        found: dict[Segment, Held] = {}
        for held in self._stores:
            target = held.store.target
            if target in self._hindered or device not in (None, self._devices[target]):
                continue
            segment = held.store.oldest()
            if segment is not None:
                found[segment] = held
        first = oldest(found)
        return None if first is None else (found[first], first)

    def _remove(self, held: Held, segment: Segment) -> None:
        before = held.store.size()
        try:
            if not held.store.remove(segment, time.monotonic() + LOOK_SECONDS):
                self._hindered.add(held.store.target)  # until the next look
        except EmotionError as e:
            log.warning("nothing can be removed from %s now: %s", held.store.target, e)
            self._hindered.add(held.store.target)
        gone = before - held.store.size()
        self._used -= gone
        self._removed += max(0, gone)

    def _free_disk(self, device: int, began: float) -> None:
        """Make room on a disk; where there is none to make, its outputs pause until there is."""
        here = [held for held in self._stores if self._devices[held.store.target] == device]
        folder = self._folders[here[0].store.target]
        reserve = self._reserve() - self._slack()
        free, total = self._disk(folder)
        while crowded(self._rules, free, reserve):
            first = self._oldest(device)
            if first is None:
                break
            if time.monotonic() - began > HURRY_SECONDS:
                return
            self._remove(*first)
            free, total = self._disk(folder)
        full = crowded(self._rules, free, 0)
        enough = free >= self._rules.free + min(BACK, total // 16)
        for held in here:
            if full and not held.paused:
                held.pause(f"the disk is nearly full, {free >> 20} MiB are free")
            elif held.paused and not enough:
                held.failed_at = None  # the disk is full: no other reason has to be waited for
            elif held.paused and time.monotonic() - (held.failed_at or -math.inf) > AGAIN:
                held.go_on()

    def _slack(self) -> int:
        return (self._rules.size or 0) // SLACK

    def _reserve(self) -> int:
        """Bytes that may come until the next look: twice as much as came lately, and what closing a file takes."""
        closing = max((held.store.growing() for held in self._stores), default=0)
        return 2 * self._growth + closing + self._slack()

    def _size(self) -> int:
        return sum(held.store.size() for held in self._stores)


def _folder(target: Path) -> Path:
    return target if target.is_dir() else target.absolute().parent
