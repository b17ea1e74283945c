"""Every output on a disk that is really full: a small file system of its own, in memory."""

import csv
import json
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import av
import cv2
import pytest

from emotion_stream.sink.outputs.faces import load
from tests.sink.retention.disks import can_mount, within

WRITE = """
import shutil, sys
from dataclasses import replace
from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.catalogue import open_outputs
from tests.sink.outputs.test_tables import A, B
from tests.sink.outputs.test_outputs import result
from tests.support.web_feed import noise
kind, target, folder, copy = sys.argv[1:]
(output,) = open_outputs([f"{kind}={folder}/{target}"])
try:
    for seq in range(100_000):
        shares = (*[0.0] * 3, seq / 1e5, *[0.0] * 3)
        face = replace(result(seq, boxes=(A,)).faces[0], track=seq, probabilities=shares)
        output.write(replace(result(seq), faces=(face,)), noise(seq % 50, 64, 48) if output.needs_image else None)
        output.flush()
except EmotionError as e:
    print(e)
try:
    output.close()
except EmotionError as e:
    print(e)
shutil.copytree(folder, copy)
"""


@pytest.fixture(scope="module", autouse=True)
def _can_mount(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not can_mount(tmp_path_factory.mktemp("try") / "x"):
        pytest.skip("no file system can be mounted here without being root of the machine")


def readable(kind: str, path: Path) -> int:
    """How many frames or faces can be read of what was written before the disk was full."""
    match kind:
        case "jsonl":
            *whole, last = path.read_bytes().split(b"\n")
            assert last == b"" or whole  # the line that did not fit
            return len([json.loads(line) for line in whole])
        case "csv":
            text = path.read_text()
            return len(list(csv.DictReader(text[: text.rfind("\n")].splitlines())))
        case "sqlite":
            with closing(sqlite3.connect(path)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                return int(
                    db.execute("SELECT count(*) FROM frames JOIN faces ON frame_id = frames.id").fetchone()[0]
                )
        case "images":
            pictures = [cv2.imread(str(p)) for p in path.rglob("*.jpg")]
            assert all(p is not None for p in pictures)
            return len(pictures)
        case "faces":
            return len(load(path))
        case _:
            with av.open(str(path)) as container:
                return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("jsonl", "r.jsonl"),
        ("csv", "r.csv"),
        ("sqlite", "r.db"),
        ("images", "shots"),
        ("faces", "faces"),
        ("video", "r.mp4"),
    ],
)
def test_a_full_disk_is_one_clear_line_and_leaves_what_can_be_read(tmp_path: Path, kind: str, target: str) -> None:
    folder, copy = tmp_path / "small", tmp_path / "copy"
    size = {"faces": "24k", "sqlite": "1m"}.get(kind, "256k")
    done = within(folder, size, sys.executable, "-c", WRITE, kind, target, str(folder), str(copy))
    assert done.stderr == ""
    (told,) = set(done.stdout.splitlines())  # closing may say it once more
    place = rf"(write|write video|make the folder) {re.escape(str(folder))}/\S+"
    assert re.fullmatch(rf"cannot {place}: (No space left on device|database or disk is full)", told), told
    assert readable(kind, copy / target) >= (3 if kind == "faces" else 10)


def test_a_run_on_a_full_disk_ends_with_that_line(tmp_path: Path) -> None:
    folder, copy = tmp_path / "small", tmp_path / "copy"
    outputs = f"--output=video={folder}/r.mp4 --output=jsonl={folder}/r.jsonl"
    command = f"{sys.executable} -m emotion_stream run --source sample {outputs}; echo $?; cp -r {folder} {copy}"
    done = within(folder, "200k", "sh", "-c", command)
    assert done.stdout == "1\n", done.stderr
    assert re.search(
        rf"cannot write (video )?{re.escape(str(folder))}/r\.\w+: No space left on device\n", done.stderr
    )
    assert "Traceback" not in done.stderr
    assert readable("jsonl", copy / "r.jsonl") >= 10
    assert readable("video", copy / "r.mp4") >= 10
