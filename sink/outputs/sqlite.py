"""The output `sqlite=FILE`: a database of frames and faces that can be queried while it is written."""

import contextlib
import sqlite3
from pathlib import Path

from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.results.output import (
    ANALYZED,
    DETAILS,
    NAME,
    ZONES,
    Image,
    Result,
    as_json,
    details,
    zones_text,
)

APPLICATION_ID = 0x454D_4F54
"""Marks our databases ("EMOT"); SQLite keeps it in the file's header."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS frames (
    id INTEGER PRIMARY KEY,
    camera TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    source TEXT NOT NULL,
    time REAL NOT NULL,
    captured_at TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    latency_ms REAL NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    analyzed INTEGER NOT NULL DEFAULT 1,
    name TEXT,
    UNIQUE (camera, epoch, seq)
);
CREATE TABLE IF NOT EXISTS faces (
    id INTEGER PRIMARY KEY,
    frame_id INTEGER NOT NULL REFERENCES frames (id) ON DELETE CASCADE,
    face INTEGER NOT NULL,
    track INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    x INTEGER NOT NULL,
    y INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    emotion TEXT NOT NULL,
    confidence REAL NOT NULL,
    uncertain INTEGER NOT NULL,
    UNIQUE (frame_id, face)
);
CREATE INDEX IF NOT EXISTS frames_by_time ON frames (camera, time);
CREATE INDEX IF NOT EXISTS frames_by_capture ON frames (captured_at);
CREATE INDEX IF NOT EXISTS faces_by_emotion ON faces (emotion);
CREATE INDEX IF NOT EXISTS faces_by_track ON faces (track);
"""
FRAME = (
    "INSERT OR IGNORE INTO frames"
    " (camera, epoch, seq, source, time, captured_at, width, height, latency_ms, status, error,"
    " analyzed, name) VALUES"
    " (:camera, :epoch, :seq, :source, :time, :captured_at, :width, :height, :latency_ms, :status, :error,"
    " :analyzed, :name)"
)
FACE = (
    "frame_id",
    "face",
    "track",
    "confirmed",
    "x",
    "y",
    "width",
    "height",
    "emotion",
    "confidence",
    "uncertain",
)
PREFIX = "p_"
"""Begins the column of each label's probability in `faces`."""
RAW_PREFIX = "raw_"
"""The same for the probability of the frame alone."""
_MAGIC = b"SQLite format 3\0"
_BUSY_SECONDS = 2.0
"""How long another program may hold the database; below the sink's lease."""


def is_ours(path: Path) -> bool:
    """Whether a file is a database written by this output; an empty one counts, too."""
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError:
        return False
    return not head or (head.startswith(_MAGIC) and int.from_bytes(head[68:72]) == APPLICATION_ID)


class Sqlite:
    """Writes results into tables `frames` and `faces`; what is there already is left as it is.

    Everything between two flushes is one transaction, so a killed run leaves whole frames.

    Raises:
        EmotionError: the file cannot be written, or is something else.
    """

    needs_image = False

    def __init__(self, target: Path) -> None:
        self._path = target
        if target.exists() and not is_ours(target):
            raise EmotionError(f"{target} is no database of results: choose another file")
        try:
            # The worker's one thread opens and uses it; transactions are begun and ended here.
            self._db = sqlite3.connect(target, timeout=_BUSY_SECONDS, isolation_level=None)
        except sqlite3.Error as e:
            raise self._failed(e) from e
        try:
            # Only a database that is still empty takes this: its file can then become smaller, in small steps.
            self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            # The mark is written before there is a write-ahead log, so that it is in the file itself.
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SCHEMA)
            self._columns = {str(row[1]) for row in self._db.execute("PRAGMA table_info(faces)")}
            there = {str(row[1]) for row in self._db.execute("PRAGMA table_info(frames)")}
            for name, kind in ((ANALYZED, "INTEGER NOT NULL DEFAULT 1"), (NAME, "TEXT")):
                if name not in there:  # a database of an earlier version
                    self._db.execute(f"ALTER TABLE frames ADD COLUMN {name} {kind}")
            for name in (*DETAILS, ZONES):  # a database of an earlier version lacks some or all of them
                self._add_column(name, {"turned": "INTEGER", ZONES: "TEXT"}.get(name, "REAL"))
        except sqlite3.Error as e:
            self._db.close()
            raise self._failed(e) from e
        self._insert: dict[tuple[str, ...], str] = {}

    def write(self, result: Result, image: Image | None) -> None:
        """Insert the frame and its faces, unless they are there already.

        Raises:
            EmotionError: the database cannot be written.
        """
        told = as_json(result)
        faces = told.pop("faces")
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN")
            done = self._db.execute(FRAME, told)
            if done.rowcount == 0:
                return  # written before a restart
            for n, face in enumerate(faces, 1):
                about = face["track"], face["confirmed"], *face["box"], face["emotion"], face["confidence"]
                shares = *face["probabilities"].values(), *face["raw"].values()
                values = done.lastrowid, n, *about, face["uncertain"], *details(face), zones_text(face), *shares
                self._db.execute(self._insert_face(result.labels), values)
        except sqlite3.Error as e:
            raise self._failed(e) from e

    def _insert_face(self, labels: tuple[str, ...]) -> str:
        """The statement for faces with these labels; a label that is new gets its column."""
        if labels not in self._insert:
            names = [prefix + label for prefix in (PREFIX, RAW_PREFIX) for label in labels]
            for name in names:
                self._add_column(name, "REAL")
            columns = [*FACE, *DETAILS, ZONES, *map(_quoted, names)]
            self._insert[labels] = (
                f"INSERT INTO faces ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            )
        return self._insert[labels]

    def _add_column(self, name: str, kind: str) -> None:
        """Give `faces` this column, unless it has it."""
        if name not in self._columns:
            self._db.execute(f"ALTER TABLE faces ADD COLUMN {_quoted(name)} {kind}")
            self._columns.add(name)

    def flush(self) -> None:
        """Commit what was written.

        Raises:
            EmotionError: the database cannot be written.
        """
        if not self._db.in_transaction:
            return
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as e:
            raise self._failed(e) from e

    def forget(self) -> None:
        """See `sink.output.Buffering`."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Commit and merge the write-ahead log into the file. May be called twice."""
        try:
            if self._is_open():
                self.flush()
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()

    def _is_open(self) -> bool:
        try:
            return self._db.total_changes >= 0
        except sqlite3.ProgrammingError:
            return False

    def _failed(self, e: sqlite3.Error) -> EmotionError:
        if hasattr(self, "_db"):
            # Half a transaction must not be committed by `close`.
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
        return EmotionError(f"cannot write {self._path}: {e}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
