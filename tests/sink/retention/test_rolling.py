"""Files that roll over: each whole and readable by itself, and nothing in two of them."""

import csv
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from emotion_stream.emotion.report.read import records
from emotion_stream.sink.catalogue import open_outputs
from emotion_stream.sink.claims import OURS
from emotion_stream.sink.outputs.faces import load
from emotion_stream.sink.outputs.images import written as pictures
from emotion_stream.sink.outputs.jsonl import JsonLines
from emotion_stream.sink.results.leaving import Leaving
from emotion_stream.sink.retention.rules import DAY, Rules
from tests.sink.retention.kept import MORNING, TARGETS, shop
from tests.support.web_feed import make_result

FOREVER = Rules()


def lines(path: Path) -> list[dict[str, Any]]:
    assert path.read_bytes().endswith(b"\n")
    return [json.loads(line) for line in path.read_text().splitlines()]


def seqs(folder: Path, pattern: str) -> list[int]:
    return sorted(told["seq"] for path in folder.glob(pattern) for told in lines(path))


def table(folder: Path) -> list[int]:
    texts = [path.read_text().splitlines() for path in folder.glob("*.csv")]
    return sorted(int(row["seq"]) for text in texts for row in csv.DictReader(text))


def test_each_day_and_camera_has_a_file_that_can_be_read_by_itself(tmp_path: Path) -> None:
    with shop(tmp_path, FOREVER) as this:
        this.days(2, "hall", "door")
    days, cameras = ("2026-11-29", "2026-11-30"), ("hall", "door")
    ends = ("r", ".jsonl"), ("r", ".csv"), ("v", ".mp4"), ("e", ".jsonl")
    wanted = {f"{stem}-{c}-{d}{end}" for stem, end in ends for c in cameras for d in days}
    folders = {f"{kind}/{d}/{c}" for kind in ("shots", "faces") for c in cameras for d in days}
    assert this.names() == wanted | folders | {"r.db"}
    for n, day in enumerate(days):
        mine = list(range(4 * n, 4 * n + 4))
        for camera in cameras:
            assert [told["seq"] for told in lines(tmp_path / f"r-{camera}-{day}.jsonl")] == mine
            assert [told["seq"] for told in lines(tmp_path / f"e-{camera}-{day}.jsonl")] == mine
            with (tmp_path / f"r-{camera}-{day}.csv").open() as file:
                assert [int(row["seq"]) for row in csv.DictReader(file)] == mine
            for kind in ("jsonl", "csv"):
                assert [told["seq"] for told in records(tmp_path / f"r-{camera}-{day}.{kind}")] == mine
            with av.open(str(tmp_path / f"v-{camera}-{day}.mp4")) as clip:
                assert len(list(clip.decode(video=0))) == 4
        for path in pictures(tmp_path / "shots" / day):
            assert cv2.imread(str(path)) is not None
        assert len(pictures(tmp_path / "shots" / day)) == 8
        assert len(load(tmp_path / "faces" / day)) == 8
    with closing(sqlite3.connect(tmp_path / "r.db")) as db:
        assert db.execute("SELECT count(*) FROM frames").fetchone() == (16,)


def test_a_large_file_ends_before_its_day_does(tmp_path: Path) -> None:
    with shop(tmp_path, Rules(part=64 << 10)) as this:
        this.days(1, "hall", frames=240)
    numbered = {p.name for p in tmp_path.glob("*.00?.*")}
    assert {"r-hall-2026-11-29.002.jsonl", "v-hall-2026-11-29.002.mp4"} <= numbered
    assert (tmp_path / "shots" / "2026-11-29.002" / "hall").is_dir()
    for path in (p for p in tmp_path.rglob("*") if p.is_file() and p.suffix in (".jsonl", ".csv")):
        assert path.stat().st_size < 80 << 10
        assert OURS["csv" if path.suffix == ".csv" else "events" if path.name[0] == "e" else "jsonl"](path)
    assert seqs(tmp_path, "r-*.jsonl") == list(range(240))
    frames = 0
    for path in tmp_path.glob("v-*.mp4"):
        with av.open(str(path)) as clip:
            frames += len(list(clip.decode(video=0)))
    assert frames == 240
    assert len(list(tmp_path.glob("shots/*/hall/*.jpg"))) == 240


@pytest.mark.parametrize("kind", ["jsonl", "csv", "events", "images", "faces", "sqlite", "video"])
def test_a_successor_goes_on_and_writes_nothing_twice(tmp_path: Path, kind: str) -> None:
    """The last frames before it was killed are told again, over a midnight and over the end of a file."""
    mode = "lossless"
    with shop(tmp_path, Rules(), kind) as this:
        for n in range(6):
            this.now = MORNING + DAY - 3 + n
            this.write("hall", seq=n, mode=mode)
        this.flush()
    path = next((p for p in tmp_path.rglob("*11-30*") if p.suffix in (".jsonl", ".csv")), None)
    if path is not None:
        with path.open("ab") as file:
            file.write(path.read_bytes().splitlines()[-1][:60])  # a line that was cut off
    with shop(tmp_path, Rules(), kind) as this:
        for n in range(1, 9):
            this.now = MORNING + DAY - 3 + n
            this.write("hall", seq=n, mode=mode)
        this.flush()
    match kind:
        case "jsonl" | "events":
            assert seqs(tmp_path, "*-hall-*.jsonl") == list(range(9))
            assert len(lines(tmp_path / f"{TARGETS[kind][0]}-hall-2026-11-29.jsonl")) == 3
        case "csv":
            assert table(tmp_path) == list(range(9))
        case "images" | "faces":
            assert len(list(tmp_path.rglob("*.jpg"))) == 9
        case "sqlite":
            with closing(sqlite3.connect(tmp_path / "r.db")) as db:
                assert db.execute("SELECT count(*) FROM frames").fetchone() == (9,)
        case _:
            frames = []
            for clip in sorted(tmp_path.glob("*.mp4")):
                with av.open(str(clip)) as container:
                    frames.append(len(list(container.decode(video=0))))
            assert sum(frames) == 9
            assert {p.name for p in tmp_path.glob("*.mp4")} >= {
                "v-hall-2026-11-30.mp4",
                "v-hall-2026-11-30.002.mp4",
            }


def test_a_successor_knows_what_the_part_before_holds(tmp_path: Path) -> None:
    rules = Rules(part=64 << 10)
    with shop(tmp_path, rules, "jsonl", "csv") as this:
        while not (tmp_path / "r-hall-2026-11-29.002.jsonl").exists():
            this.write("hall")
            this.flush()
        last = this.seq - 1
    (tmp_path / "r-hall-2026-11-29.002.jsonl").write_bytes(b"")  # killed before anything came to the disk
    with shop(tmp_path, rules, "jsonl", "csv") as this:
        for n in range(last - 10, last + 3):
            this.write("hall", seq=n)
    assert seqs(tmp_path, "r-hall-*.jsonl") == list(range(last + 3))
    assert table(tmp_path) == list(range(last + 3))


def test_only_the_end_of_a_large_file_is_read_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emotion_stream.sink.outputs.appender.END", 4096)
    with shop(tmp_path, FOREVER, "jsonl", "csv", "events") as this:
        this.days(1, "hall", frames=40)
    for name in ("r-hall-2026-11-29.jsonl", "r-hall-2026-11-29.csv", "e-hall-2026-11-29.jsonl"):
        data = bytearray((tmp_path / name).read_bytes())
        first = data.index(b"\n", data.index(b"\n") + 1) + 1
        data[first : first + 3] = b"???"  # whoever read it all would stumble here
        (tmp_path / name).write_bytes(bytes(data))
    with shop(tmp_path, FOREVER, "jsonl", "csv", "events") as this:
        for n in range(38, 42):
            this.write("hall", seq=n)
    for pattern, count in (("r-*.jsonl", 42), ("e-*.jsonl", 42), ("r-*.csv", 43)):
        (path,) = tmp_path.glob(pattern)
        assert len(path.read_bytes().splitlines()) == count


def test_somebodys_file_of_such_a_name_is_left_alone(tmp_path: Path) -> None:
    for name in ("r-hall-2026-11-29.jsonl", "r-hall-2026-11-29.csv", "v-hall-2026-11-29.mp4"):
        (tmp_path / name).write_bytes(b"remember the milk")
    with shop(tmp_path, FOREVER, "jsonl", "csv", "video") as this:
        this.days(1, "hall")
    for name in ("r-hall-2026-11-29.jsonl", "r-hall-2026-11-29.csv", "v-hall-2026-11-29.mp4"):
        assert (tmp_path / name).read_bytes() == b"remember the milk"
    assert len(lines(tmp_path / "r-hall-2026-11-29.002.jsonl")) == 4
    assert (tmp_path / "v-hall-2026-11-29.002.mp4").stat().st_size > 1000


def test_another_model_gets_a_table_of_its_own(tmp_path: Path) -> None:
    with shop(tmp_path, FOREVER, "csv") as this:
        this.days(1, "hall")
        result = make_result(9, "hall", captured_at=MORNING + 5, faces=1)
        other = replace(result, labels=tuple(f"other {name}" for name in result.labels))
        this.outputs[0].write(other, None)
    with (tmp_path / "r-hall-2026-11-29.002.csv").open() as file:
        assert [row["emotion"] for row in csv.DictReader(file)] == ["other happy"]


def test_a_camera_that_has_gone_leaves_no_open_file(tmp_path: Path) -> None:
    with shop(tmp_path, Rules(keep=2 * DAY), "jsonl", "video") as this:
        this.write("gone", "stays")
        this.flush()
        this.days(1, "stays")
        assert this.held("jsonl").store.writing() == 2
        this.now += 61
        this.flush()
        assert this.held("jsonl").store.writing() == 0
        this.write("back", "stays")
        for output in this.outputs:
            if isinstance(output, Leaving):
                output.let_go("back")
        assert [this.held(kind).store.writing() for kind in ("jsonl", "video")] == [1, 1]
        this.days(2, "stays")
        assert not [name for name in this.names() if "gone" in name]


def test_a_clock_that_is_set_back_does_not_lose_anything(tmp_path: Path) -> None:
    with shop(tmp_path, FOREVER, "jsonl") as this:
        for hours in (1, 25, 2, 26, 3):
            this.now = MORNING + 3600 * hours
            this.write("hall")
    assert [t["seq"] for t in lines(tmp_path / "r-hall-2026-11-29.jsonl")] == [0, 2, 4]
    assert [t["seq"] for t in lines(tmp_path / "r-hall-2026-11-30.jsonl")] == [1, 3]


def test_standard_output_and_pipes_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    (output,) = open_outputs([f"jsonl={tmp_path / 'pipe'}"], kept=Rules(keep=DAY))
    assert isinstance(output, JsonLines)
    output.close()
    os.close(reader)


def test_events_are_no_results(tmp_path: Path) -> None:
    """Though a file of them may be called as one of results is."""
    with shop(tmp_path, Rules(keep=DAY), "events") as earlier:
        earlier.write("hall")
    (events,) = tmp_path.glob("e-hall-*.jsonl")
    events.rename(tmp_path / events.name.replace("e-", "r-events-"))
    with shop(tmp_path, Rules(keep=DAY), "jsonl", now=MORNING + 9 * DAY) as later:
        later.settle()
    assert len(list(tmp_path.glob("r-events-*"))) == 1
