"""What goes, when, and in which order; and what a full disk does."""

import logging
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.catalogue import open_outputs, truncate, written
from emotion_stream.sink.outputs.sqlite import Sqlite
from emotion_stream.sink.retention import keeper
from emotion_stream.sink.retention.database import STEP
from emotion_stream.sink.retention.rules import DAY, Rules
from tests.sink.retention.disks import can_mount, within
from tests.sink.retention.kept import MORNING, TARGETS, Shop, shop
from tests.sink.retention.test_rolling import seqs
from tests.support.web_feed import make_result

WEEK = Rules(keep=7 * DAY)
ROOM = 1 << 20


def test_results_go_when_the_newest_in_their_file_is_too_old(tmp_path: Path) -> None:
    with shop(tmp_path, WEEK) as this:
        this.days(3, "hall")
        first = {name for name in this.names() if "11-29" in name}
        assert len(first) == 6
        newest = MORNING + DAY * 3 / 4
        this.now = newest + 7 * DAY - 1
        this.settle()
        assert first <= this.names()
        this.now += 1
        this.settle()
        assert not first & this.names()
        assert len([name for name in this.names() if "11-30" in name]) == 6
        assert not (tmp_path / "shots" / "2026-11-29").exists()  # nor an empty folder
        with closing(sqlite3.connect(this.path("sqlite"))) as db:
            (oldest,) = db.execute("SELECT min(captured_at) FROM frames").fetchone()
        assert oldest.startswith("2026-11-30")
        kept = this.keeper.kept()
        assert kept.next_at == MORNING + 8 * DAY  # a row of the database, which goes alone
        assert kept.oldest == MORNING + DAY
        assert kept.next == str(this.path("sqlite"))
        assert kept.removed > 0
        assert kept.room is None


def test_a_successor_finds_what_is_there_and_lets_it_go_at_its_time(tmp_path: Path) -> None:
    with shop(tmp_path, WEEK) as this:
        this.days(2, "hall", "door")
    for path in tmp_path.rglob("*"):
        os.utime(path, (MORNING, MORNING))
    with shop(tmp_path, WEEK, now=MORNING + 8 * DAY - 1) as this:
        assert {"r-hall-2026-11-29.jsonl", "shots/2026-11-29/door"} <= this.names()
        assert this.keeper.kept().next_at == MORNING + 8 * DAY
        this.now += 1
        this.settle()
        assert not [name for name in this.names() if "11-29" in name]
        assert [name for name in this.names() if "11-30" in name]


def test_the_bound_holds_and_the_oldest_of_all_outputs_go_first(tmp_path: Path) -> None:
    starts = {"jsonl": "r-", "video": "v-", "images": "shots", "events": "e-"}
    with shop(tmp_path, Rules(size=2 * ROOM)) as this:  # smaller than a setting may be
        for _ in range(10):
            this.days(1, "hall", "door", frames=8)
            assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < 2 * ROOM
        names = {n for n in this.names() if "2026-" in n}
        oldest = [min(n.split("2026-")[1][:5] for n in names if n.startswith(start)) for start in starts.values()]
        with closing(sqlite3.connect(this.path("sqlite"))) as db:
            oldest.append(db.execute("SELECT min(captured_at) FROM frames").fetchone()[0][5:10])
        assert len(set(oldest)) <= 2, oldest
        assert min(oldest) != "11-29"
        kept = this.keeper.kept()
        assert kept.limit == 2 * ROOM
        assert kept.room is not None
        assert 0 < kept.size < 2 * ROOM
        assert 2 * ROOM - kept.size == kept.room


def test_what_is_being_written_never_goes(tmp_path: Path) -> None:
    with shop(tmp_path, Rules(keep=1.0), "jsonl", "images") as this:
        this.write("hall")
        this.flush()
        this.now += 3600
        this.settle()
        assert this.names() == {"r-hall-2026-11-29.jsonl", "shots/2026-11-29/hall"}


def test_somebodys_files_never_go(tmp_path: Path) -> None:
    foreign = {
        "r-hall-2020-01-01.jsonl": b"remember the milk",
        "v-hall-2020-01-01.mp4": b"no film",
        "r-hall-2020-01-01.csv": b"a,b\n",
        "shots/2020-01-01/hall/00000001.jpg": b"\xff\xd8\xff\xe0 no mark",
        "shots/2020-01-01/hall/notes.txt": b"notes",
        "notes-hall-2020-01-01.jsonl": b'{"camera": "hall", "epoch": "e", "seq": 1}\n',  # another output's
    }
    for name, data in foreign.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "r-link-2020-01-01.jsonl").symlink_to(tmp_path / "notes-hall-2020-01-01.jsonl")
    with shop(tmp_path, Rules(keep=DAY)) as this:
        this.days(3, "hall")
        own = tmp_path / "r-hall-2026-12-01.jsonl"
        this.days(1, "hall")
        own.write_bytes(b"somebody has replaced it")
        this.days(2, "hall")
        assert own.read_bytes() == b"somebody has replaced it"
    for name, data in foreign.items():
        assert (tmp_path / name).read_bytes() == data
    assert (tmp_path / "r-link-2020-01-01.jsonl").is_symlink()


def test_what_was_written_before_files_rolled_over_goes_as_well(tmp_path: Path) -> None:
    specs = [f"{kind}={tmp_path / name}" for kind, name in TARGETS.items()]
    plain = Shop(tmp_path, WEEK)
    plain.outputs = open_outputs(specs, many=True)
    plain.write("hall", "door")
    plain.close()
    old = {"r.jsonl", "r.csv", "v-hall.mp4", "v-door.mp4", "shots/hall", "shots/door"}
    assert old <= plain.names()
    for path in tmp_path.rglob("*"):
        os.utime(path, (MORNING, MORNING))
    with shop(tmp_path, WEEK) as this:
        this.days(1, "hall")
        assert old <= this.names()
        this.now = MORNING + 7 * DAY
        this.settle()
        assert not old & this.names()


def test_a_large_folder_goes_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with shop(tmp_path, Rules(keep=2 * DAY), "images") as this:
        this.days(2, "hall", frames=60)
        size = this.held("images").store.size()
        monkeypatch.setattr(keeper, "LOOK_SECONDS", 1e-4)
        this.now = MORNING + 3 * DAY
        looks = 0
        while (tmp_path / "shots/2026-11-29").exists():
            this.flush()
            looks += 1
            assert looks < 500
        assert looks > 2
        assert this.held("images").store.size() < size


# --- the database ----------------------------------------------------------------------------------------


def fill(this: Shop, frames: int) -> None:
    """A day with so many frames, in few transactions."""
    begin = this.now
    for n in range(frames):
        this.now = begin + n * DAY / frames
        this.write("hall")
        if n % 50 == 49:
            this.flush()
    this.flush()
    this.now = begin + DAY


def settled(path: Path) -> int:
    """Bytes of the database, with all that is in its log."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    return path.stat().st_size


@pytest.mark.parametrize("older", [False, True])
def test_a_database_does_not_grow_once_rows_go(tmp_path: Path, older: bool) -> None:
    path = tmp_path / "r.db"
    if older:  # as an earlier version made it
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE first (id)")
            db.execute("DROP TABLE first")
        path.write_bytes(path.read_bytes()[:68] + (0x454D_4F54).to_bytes(4) + path.read_bytes()[72:])
        Sqlite(path).close()
    sizes, steps = [], []
    with shop(tmp_path, Rules(keep=2 * DAY), "sqlite") as this:
        for _ in range(8):
            fill(this, 400)
            for _ in range(9):
                this.flush()
            with closing(sqlite3.connect(path)) as db:
                steps.append(db.execute("SELECT count(*), min(captured_at) FROM frames").fetchone())
                lonely = "SELECT count(*) FROM faces WHERE frame_id NOT IN (SELECT id FROM frames)"
                assert db.execute(lonely).fetchone() == (0,)
                assert db.execute("PRAGMA auto_vacuum").fetchone() == (0 if older else 2,)
            sizes.append(settled(path))
        assert this.keeper.kept().removed > 0 or older
    assert max(sizes[3:]) <= sizes[2] * 1.1, sizes
    for count, _ in steps[2:]:
        assert 800 <= count <= 800 + 400 // 12  # two days; an hour goes at once
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_file_of_a_database_shrinks_when_less_comes(tmp_path: Path) -> None:
    with shop(tmp_path, Rules(keep=DAY), "sqlite") as this:
        fill(this, 1500)
        large = settled(this.path("sqlite"))
        for _ in range(3):
            fill(this, 50)
        for _ in range(50):
            this.flush()
        assert settled(this.path("sqlite")) < large / 3


def test_rows_go_while_somebody_reads(tmp_path: Path) -> None:
    with shop(tmp_path, Rules(keep=DAY), "sqlite") as this:
        fill(this, STEP)
        with closing(sqlite3.connect(this.path("sqlite"))) as reader:
            rows = reader.execute("SELECT * FROM frames")
            rows.fetchone()
            this.now += DAY
            fill(this, 50)
            assert len(rows.fetchall()) == STEP - 1
            (left,) = reader.execute("SELECT count(*) FROM frames").fetchone()
        assert left == 50


# --- a full disk -----------------------------------------------------------------------------------------


def test_a_disk_that_is_nearly_full_makes_room_early_then_pauses_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    freed = 0

    with shop(tmp_path, Rules(keep=7 * DAY, free=100 * ROOM), "jsonl", "csv", free=200 * ROOM) as this:
        this.days(3, "hall", frames=48)

        def used() -> int:
            return sum(p.stat().st_size for p in tmp_path.iterdir())

        this.keeper._disk = lambda folder: (freed - used(), 1 << 40)
        freed = 100 * ROOM + used() - 1  # somebody else has taken the rest
        this.flush()
        assert "r-hall-2026-11-29.csv" not in this.names()
        assert "r-hall-2026-12-01.jsonl" in this.names()
        assert not this.keeper.kept().paused

        freed = 0  # nothing that we could do would help
        this.flush()
        assert this.keeper.kept().paused == ("csv", "jsonl")
        before = this.seq
        for _ in range(5):
            this.write("hall")
            this.flush()
        warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert [r.getMessage().partition("=")[0] for r in warnings] == ["jsonl", "csv"]
        assert "is nearly full" in warnings[0].getMessage()
        assert dict(this.keeper.kept().left_out) == {"jsonl": 5, "csv": 5}

        freed = 102 * ROOM  # not quite enough to begin again: it would only stop once more
        this.flush()
        assert this.keeper.kept().paused
        freed = 300 * ROOM
        this.flush()
        this.write("hall")
        this.flush()
        assert not this.keeper.kept().paused
        (again, _) = (r.getMessage() for r in caplog.records if "room again" in r.getMessage())
        assert again.endswith("it is written; 5 were left out so far")
        assert seqs(tmp_path, "r-*.jsonl") == [before + 5]


FULL = """
import sys, logging
from pathlib import Path
from tests.sink.retention.kept import Shop
from emotion_stream.sink.retention.rules import Rules
from emotion_stream.sink.retention.keeper import disk_of
logging.basicConfig(format="%(message)s")
folder = Path(sys.argv[1])
this = Shop(folder, Rules(keep=1e9))
this.disk = disk_of
this.open()
(folder / "stranger").write_bytes(b"1" * (1 << 20))
def frames(count):
    for _ in range(count):
        this.write("hall")
        this.flush()
for _ in range(400):
    frames(1)
    if len(this.keeper.kept().paused) == 6:
        break
print(*this.keeper.kept().paused)
left_out = this.seq
(folder / "stranger").unlink()
this.flush()
frames(10)
print(*this.keeper.kept().paused)
this.close()
from tests.sink.retention.test_rolling import seqs, table
import cv2, av, sqlite3
found = seqs(folder, "r-*.jsonl")
print(found == sorted(set(found)), found[-10:] == list(range(left_out, left_out + 10)))
print(table(folder)[-10:] == found[-10:])
print(len(seqs(folder, "e-*.jsonl")) > 10)
print(sqlite3.connect(folder / "r.db").execute("PRAGMA integrity_check").fetchone())
print(all(cv2.imread(str(p)) is not None for p in folder.rglob("*.jpg")), len(list(folder.rglob("*.jpg"))) > 20)
print([sum(1 for _ in av.open(str(p)).decode(video=0)) > 9 for p in folder.glob("v-*.mp4")])
"""


def test_outputs_stand_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """Each says once that it is not written, all else goes on, and they go on by themselves."""
    if not can_mount(tmp_path / "try"):
        pytest.skip("no file system can be mounted here without being root of the machine")
    done = within(tmp_path / "small", "3m", sys.executable, "-c", FULL, str(tmp_path / "small"))
    told = done.stderr.splitlines()
    assert len(told) == 6, done.stderr
    assert all("it is not written until there is room; all else goes on" in line for line in told)
    assert done.stdout.splitlines() == [
        "csv events images jsonl sqlite video",  # there are faces enough already
        "",
        "True True",
        "True",
        "True",
        "('ok',)",
        "True True",
        "[True, True]",
    ]


# --- a new run -------------------------------------------------------------------------------------------


def test_a_folder_that_is_gone_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EmotionError, match=r"results cannot be written to .*/gone any more: No such file"):
        keeper.disk_of(tmp_path / "gone")


def test_a_new_run_keeps_what_there_is(tmp_path: Path) -> None:
    with shop(tmp_path, WEEK) as this:
        this.days(2, "hall")
    there = this.names()
    specs = [f"{kind}={tmp_path / name}" for kind, name in TARGETS.items()]
    truncate(specs, kept=True)
    assert this.names() == there
    assert written(specs, kept=True)[:3] == [str(tmp_path / n) for n in ("r-*.jsonl", "r-*.csv", "r.db")]
    truncate(specs)  # a run without --keep begins its own files anew, and not what rolled over
    assert this.names() == there - {"r.db"} | {"r.jsonl", "r.csv", "e.jsonl"}


def test_without_rules_nothing_is_kept_in_order(tmp_path: Path) -> None:
    outputs = open_outputs([f"jsonl={tmp_path / 'r.jsonl'}"])
    outputs[0].write(make_result(0), None)
    outputs[0].close()
    assert len(outputs) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["r.jsonl"]
