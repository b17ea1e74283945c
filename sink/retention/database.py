"""The output `sqlite=FILE`, of which the oldest rows go in small steps, and whose file does not grow for it."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emotion_stream.shared.messages.sound import Sound
from emotion_stream.sink.claims import COMPANIONS
from emotion_stream.sink.events.event import Event, stamp
from emotion_stream.sink.outputs.blocks import room
from emotion_stream.sink.outputs.sqlite import Sqlite
from emotion_stream.sink.retention.policy import Segment

STEP = 500
"""Frames that go at once at the most."""
SPAN = 3600.0
"""Seconds of captures that go at once at the most, so that what is just too old does not wait for what is not."""
LOG_BYTES = 1 << 20
"""What the write-ahead log shrinks to when it begins anew."""
_INCREMENTAL = 2
_FREE = "PRAGMA freelist_count"


class KeptSqlite(Sqlite):
    """A database whose oldest rows can go.

    A new database gives its free pages back to the disk. One that an earlier version made cannot; its free pages
    are used again, so it stays as large as it is.

    Attributes: as `Store` says.
    """

    kind = "sqlite"

    def __init__(self, target: Path) -> None:
        self.target = target
        self.limit: int | None = None
        super().__init__(target)
        try:
            self._db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            self._gives_back = self._number("PRAGMA auto_vacuum") == _INCREMENTAL
            self._page = self._number("PRAGMA page_size")
        except sqlite3.Error as e:
            raise self._failed(e) from e
        self._smaller = False
        self._next: tuple[Segment, int, str] | None = None

    def size(self) -> int:
        """Bytes of the file and what lies beside it, without pages that are used again, or given back soon."""
        beside = sum(room(self.target.with_name(self.target.name + name)) for name in COMPANIONS)
        return beside + self._page * (self._number("PRAGMA page_count") - self._number(_FREE))

    def growing(self) -> int:
        """Nothing beyond what it grows by anyway."""
        return 0

    def writing(self) -> int:
        """It is not a file that has to end."""
        return 0

    def oldest(self) -> Segment | None:
        """The oldest rows: as many as go at once."""
        if self._next is None:
            self._next = self._look()
        return self._next and self._next[0]

    def remove(self, segment: Segment, until: float) -> bool:
        """Delete these rows and give their pages back."""
        if self._next is None or self._db.in_transaction:
            return False
        _, first, last = self._next
        self._next = None
        which = f"SELECT id FROM frames WHERE captured_at <= ? ORDER BY captured_at, id LIMIT {first}"
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(f"DELETE FROM faces WHERE frame_id IN ({which})", (last,))
            self._db.execute(f"DELETE FROM frames WHERE id IN ({which})", (last,))
            self._db.execute("COMMIT")
            if self._gives_back:
                self._db.executescript("PRAGMA incremental_vacuum")  # `execute` would give one page back
            self._smaller = True
        except sqlite3.OperationalError as e:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if getattr(e, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                return False  # somebody reads it: the next look tries again
            raise self._failed(e) from e
        return True

    def rest(self, now: float) -> None:
        """Give pages back to the disk, once for all that went at the last look; one file holds all times."""
        if self._smaller and not self._db.in_transaction:
            self._smaller = False
            self._one("PRAGMA wal_checkpoint(PASSIVE)")

    def let_go(self, camera: str) -> None:
        """Its rows stay until they are too old."""

    def stop(self) -> None:
        """What is committed can be read."""
        self.forget()

    def hear(self, sound: Sound) -> None:
        """Nothing to do."""

    def tell(self, event: Event) -> None:
        """Events go elsewhere."""

    def _look(self) -> tuple[Segment, int, str] | None:
        """What goes next: how many rows, up to which time as it is stored."""
        first = self._one("SELECT min(captured_at) FROM frames")[0]
        if first is None:
            return None
        edge = stamp(_seconds(first) + SPAN)
        query = (
            "SELECT count(*), max(captured_at) FROM"
            f" (SELECT captured_at FROM frames WHERE captured_at < ? ORDER BY captured_at, id LIMIT {STEP})"
        )
        count, last = self._one(query, edge)
        total = self._number("SELECT max(id) - min(id) + 1 FROM frames")
        size = self._page * self._number("PRAGMA page_count") * count // max(total, count)
        return Segment(self.target, _seconds(last), size, _seconds(first)), count, last

    def _number(self, query: str) -> int:
        return int(self._one(query)[0])

    def _one(self, query: str, *values: object) -> tuple[Any, ...]:
        try:
            row: tuple[Any, ...] = self._db.execute(query, values).fetchone()
        except sqlite3.Error as e:
            raise self._failed(e) from e
        return row


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0  # somebody has changed it
