"""Outputs csv and sqlite: what is in them, and what survives a kill, a resume, a full disk, a new run."""

import csv
import json
import random
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from emotion_stream import Analyzer
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.areas import parse_polygon
from emotion_stream.shared.messages.camera import CameraSettings
from emotion_stream.shared.messages.types import Box, Outcome
from emotion_stream.shared.settings.options import DetectorOptions
from emotion_stream.sink.catalogue import open_outputs, truncate
from emotion_stream.sink.outputs.csv_table import FACE_COLUMNS, FRAME_COLUMNS, CsvTable
from emotion_stream.sink.outputs.sqlite import Sqlite
from emotion_stream.sink.results.output import ANALYZED, DETAILS, NAME, ZONES, Face, Result, as_json
from tests.sink.outputs.test_outputs import ERROR, LABELS, killed_after, picture, result
from tests.support.pictures import SAMPLE

ROOT = Path(__file__).parents[3]
QUERIES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "reference" / "results.md").read_text(), re.DOTALL)
A, B = Box(1, 2, 30, 40), Box(20, 5, 10, 12)


def some(count: int = 10) -> list[Result]:
    """Results of two cameras and epochs with 0, 1 and 2 faces, and one error."""
    found = []
    for epoch in "ab":
        for seq in range(count):
            for camera in ("hall", "door"):
                boxes = ((), (A,), (A, B))[(seq + len(camera)) % 3]
                if seq == 5:
                    found.append(result(seq, camera, epoch, outcome=ERROR, size=(0, 0)))
                else:
                    found.append(result(seq, camera, epoch, boxes=boxes))
    return found


def unsure(face: Face) -> Face:
    """The same face, not confirmed, uncertain, shown with another label than the likeliest."""
    return replace(face, confirmed=False, uncertain=True, label=4, raw=(0.4, *[0.1] * 6))


def keys(results: list[Result]) -> list[tuple[str, str, int]]:
    return [(r.info.camera, r.info.epoch, r.info.seq) for r in results]


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def query(path: Path, text: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(text)]


def write_all(output: Any, results: list[Result]) -> None:
    for item in results:
        output.write(item, None)
    output.close()


def child(code: str, *arguments: str, of: str = __name__) -> "subprocess.Popen[str]":
    """A Python process that has the names of the module `of`."""
    start = f"import sys\nfrom {of} import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", start + code, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# --- CSV -----------------------------------------------------------------------------------------------------


def test_csv_has_a_row_per_face_and_one_for_a_frame_without(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    odd = result(1, outcome=Outcome.error('line\nbreak, "quoted"\r\n\u2028end'))
    both = result(0, boxes=(A, B))
    write_all(CsvTable(path), [replace(both, faces=(both.faces[0], unsure(both.faces[1]))), odd, result(2)])
    shares = [f"{prefix}_{label}" for prefix in ("p", "raw") for label in LABELS]
    assert path.read_text().splitlines()[0] == ",".join(
        [*FRAME_COLUMNS, *FACE_COLUMNS, *shares, *DETAILS, ANALYZED, NAME, ZONES]
    )
    first, second, error, nobody = csv_rows(path)
    told = as_json(result(0, boxes=(A, B)))
    assert [first[c] for c in FRAME_COLUMNS if c not in ("faces", "error")] == [
        str(told[c]) for c in FRAME_COLUMNS if c not in ("faces", "error")
    ]
    assert (first["faces"], first["face"], second["face"], second["track"]) == ("2", "1", "2", "1")
    assert [second[c] for c in ("x", "y", "face_width", "face_height")] == ["20", "5", "10", "12"]
    assert (first["emotion"], first["confidence"], first["p_happy"], first["p_sad"]) == (
        "happy", "0.88", "0.88", "0.02",
    )  # fmt: skip
    assert [first[c] for c in ("confirmed", "uncertain", "raw_happy", "raw_sad")] == ["1", "0", "0.88", "0.02"]
    assert [second[c] for c in ("confirmed", "uncertain", "p_happy", "raw_happy")] == ["0", "1", "0.88", "0.1"]
    assert (second["emotion"], second["confidence"]) == ("sad", "0.02")
    assert (error["status"], error["error"]) == ("error", 'line break, "quoted"  end')
    assert all(nobody[c] == "" for c in (*FACE_COLUMNS, "p_happy", "error"))
    assert (nobody["faces"], nobody["seq"]) == ("0", "2")
    assert path.read_bytes().count(b"\n") == 5


@pytest.mark.parametrize("seed", range(8))
def test_csv_resumes_after_any_cut(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path, whole = tmp_path / "out.csv", tmp_path / "whole.csv"
    write_all(CsvTable(whole), some())
    for _ in range(6):
        write_all(CsvTable(path), some())  # what is there already is skipped
        assert path.read_bytes() == whole.read_bytes()
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
    write_all(CsvTable(path), some())
    assert path.read_bytes() == whole.read_bytes()


def test_csv_loses_nothing_flushed_when_killed(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    process = child(
        "o = CsvTable(Path(sys.argv[1]))\n"
        "for seq in range(10**6):\n"
        "    o.write(result(seq, boxes=(A, B)), None); o.flush(); print(seq, flush=True)\n",
        str(path),
    )
    killed_after(30, process)
    kept = len(csv_rows(path)) // 2
    assert kept >= 30
    write_all(CsvTable(path), [result(seq, boxes=(A, B)) for seq in range(kept + 5)])
    assert [(int(r["seq"]), int(r["face"])) for r in csv_rows(path)] == [
        (s, f) for s in range(kept + 5) for f in (1, 2)
    ]


@pytest.mark.parametrize("content", [b"name,age\nx,3\n", b"my notes", b"\xff" * 500, b"camera,source\n"])
def test_csv_leaves_a_file_of_something_else_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    for action in (lambda: CsvTable(path), lambda: truncate([f"csv={path}"])):
        with pytest.raises(EmotionError, match="something else than results"):
            action()
    assert path.read_bytes() == content


def test_csv_refuses_rows_with_other_labels(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_all(CsvTable(path), [result(0, boxes=(A,))])
    before = path.read_bytes()
    other = replace(result(1, boxes=(A,)), labels=tuple("abcdefg"))
    output = CsvTable(path)
    with pytest.raises(EmotionError, match="other labels"):
        output.write(other, None)
    output.close()
    assert path.read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_csv_full_disk_is_one_clear_error() -> None:
    output = CsvTable(Path("/dev/full"))
    output.write(result(0), None)
    with pytest.raises(EmotionError, match=r"^cannot write /dev/full: No space left on device$"):
        output.flush()
    output.close()
    output.close()


def test_tables_tell_zones_as_json_lines_do(tmp_path: Path) -> None:
    names = ("door", 'till, "left"; right')
    settings = CameraSettings(zones=tuple((name, parse_polygon("0,0 0.9,0 0.9,1 0,1")) for name in names))
    box = result(0, boxes=(A,)).info.width
    results = [
        result(0, boxes=(A, Box(box - 2, 0, 2, 2))),  # in both zones, and in none
        result(1),
        result(2, boxes=(A,)),  # its camera has no zones any more
    ]
    results = [replace(r, info=replace(r.info, settings=settings)) for r in results[:2]] + results[2:]
    for output in (CsvTable(tmp_path / "t.csv"), Sqlite(tmp_path / "t.db")):
        write_all(output, results)
    told = [face.get(ZONES) for r in results for face in as_json(r)["faces"]]
    assert told == [list(names), [], None]
    rows = [row for row in csv_rows(tmp_path / "t.csv") if row["face"]]
    assert [json.loads(row[ZONES]) if row[ZONES] else None for row in rows] == told
    stored = query(tmp_path / "t.db", "SELECT zones FROM faces ORDER BY id")
    assert [json.loads(row[ZONES]) if row[ZONES] else None for row in stored] == told
    [asked] = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "how-to" / "areas.md").read_text(), re.DOTALL)
    assert [row["emotion"] for row in query(tmp_path / "t.db", asked)] == ["happy"]


# --- SQLite --------------------------------------------------------------------------------------------------


def test_sqlite_has_frames_and_faces(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    last = result(20, boxes=(A,))
    write_all(Sqlite(path), [*some(), replace(last, faces=(unsure(last.faces[0]),))])
    (doubtful,) = query(path, "SELECT * FROM faces WHERE NOT confirmed")
    assert (doubtful["uncertain"], doubtful["emotion"], doubtful["raw_angry"]) == (1, "sad", 0.4)
    frames = query(path, "SELECT * FROM frames WHERE seq < 20 ORDER BY id")
    assert [(f["camera"], f["epoch"], f["seq"]) for f in frames] == keys(some())
    wanted = [as_json(r) for r in some()]
    for frame, told in zip(frames, wanted, strict=True):
        assert {k: v for k, v in frame.items() if k != "id"} == {
            k: v for k, v in told.items() if k not in ("faces", "cut")
        }
    faces = query(path, "SELECT * FROM faces WHERE confirmed ORDER BY frame_id, face")
    assert len(faces) == sum(len(told["faces"]) for told in wanted)
    told = {k: v for k, v in faces[0].items() if not k.startswith(("p_", "raw_"))}
    assert (told.pop("id"), told.pop("frame_id")) == (1, 2 if not some()[0].faces else 1)
    place = {"x": 1, "y": 2, "width": 30, "height": 40}
    label = {"emotion": "happy", "confidence": 0.88, "uncertain": 0}
    assert {k: told.pop(k) for k in DETAILS} == {**dict.fromkeys(DETAILS), "score": 1.0, "turned": 0}
    assert told == {**place, **label, "face": 1, "track": 0, "confirmed": 1, ZONES: None}
    assert (faces[0]["p_happy"], faces[0]["p_angry"], faces[0]["p_neutral"]) == (0.88, 0.02, 0.02)
    assert faces[0]["raw_happy"] == 0.88
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        plan = str(db.execute("EXPLAIN QUERY PLAN SELECT * FROM faces WHERE emotion = 'sad'").fetchall())
        assert "faces_by_emotion" in plan


def test_sqlite_takes_results_again_and_new_labels(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    for _ in range(3):
        write_all(Sqlite(path), some())
    assert len(query(path, "SELECT * FROM frames")) == len(some())
    other = replace(result(99, boxes=(A,)), labels=("angry", 'od"d', "c", "d", "e", "f", "g"))
    write_all(Sqlite(path), [other])
    assert query(path, 'SELECT "p_od""d" AS odd, p_happy FROM faces ORDER BY id DESC LIMIT 1') == [
        {"odd": 0.02, "p_happy": None}
    ]


def test_sqlite_loses_nothing_flushed_when_killed_and_is_readable_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    process = child(
        "o = Sqlite(Path(sys.argv[1]))\n"
        "for seq in range(10**6):\n"
        "    o.write(result(seq, boxes=(A, B)), None); o.flush(); print(seq, flush=True)\n",
        str(path),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    assert query(path, "SELECT count(*) AS n FROM frames")[0]["n"] >= 1
    killed_after(30, process)
    kept = query(path, "SELECT count(*) AS n FROM frames")[0]["n"]
    assert kept >= 30
    assert query(path, "SELECT count(*) AS n FROM faces") == [{"n": 2 * kept}]
    write_all(Sqlite(path), [result(seq, boxes=(A, B)) for seq in range(kept + 5)])
    assert query(path, "SELECT count(*) AS n FROM faces") == [{"n": 2 * (kept + 5)}]
    assert query(path, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_sqlite_at_a_size_limit_says_so_and_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    process = child(
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "o = Sqlite(Path(sys.argv[1]))\n"
        "try:\n"
        "    for seq in range(10**5):\n"
        "        o.write(result(seq, boxes=(A,)), None)\n"
        "        if seq % 10 == 9: o.flush()\n"
        "except EmotionError as e: print(e)\n"
        "o.close()\n",
        str(path),
    )
    out, err = process.communicate()
    assert err == ""
    assert re.fullmatch(rf"cannot write {re.escape(str(path))}: [^\n]+\n", out)
    kept = query(path, "SELECT count(*) AS n FROM frames")[0]["n"]
    assert kept >= 10
    assert query(path, "SELECT count(*) AS n FROM faces") == [{"n": kept}]
    write_all(Sqlite(path), [result(seq, boxes=(A,)) for seq in range(kept + 3)])
    assert query(path, "SELECT count(*) AS n FROM frames") == [{"n": kept + 3}]


def test_sqlite_leaves_other_files_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.db", tmp_path / "other.db"
    text.write_text("my notes")
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE mine (x)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(EmotionError, match="no database of results"):
            Sqlite(path)
        with pytest.raises(EmotionError, match="something else than results"):
            truncate([f"sqlite={path}"])
        assert path.read_bytes() == before


def test_documented_queries_answer(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    surprised = result(30, boxes=(B,))
    face = replace(surprised.faces[0], probabilities=tuple(0.7 if i == 5 else 0.05 for i in range(7)), label=5)
    hidden = [replace(face, track=99, confirmed=False), replace(face, uncertain=True)]
    write_all(Sqlite(path), [*some(), replace(surprised, faces=(face, *hidden))])
    assert len(QUERIES) == 6
    seen, over_time, stayed, surest, nobody, latency = (query(path, text) for text in QUERIES)
    assert {"camera": "hall", "emotion": "surprise", "seen": 2} in seen
    assert sum(row["seen"] for row in seen) == 2 + sum(len(r.faces) for r in some())
    assert over_time[0] == {"camera": "door", "second": 0, "happy": pytest.approx(0.88)}
    assert all(row["last"] >= row["first"] and row["frames"] >= 2 for row in stayed)
    assert len(stayed) == 8
    assert [(row["seq"], row["confidence"]) for row in surest] == [(30, 0.7)]
    assert {row["error"] for row in nobody} == {None, "corrupt JPEG"}
    assert len(nobody) == sum(1 for r in some() if not r.faces)
    assert {row["camera"]: row["worst"] for row in latency} == {"door": 100.0, "hall": 100.0}


# --- opening, and a whole run ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specs", "error", "words"),
    [
        (["csv=-"], UsageError, "only jsonl and events go to standard output"),
        (["sqlite="], UsageError, "names no file"),
        (["csv=a", "sqlite=./a"], UsageError, "both go to"),
        (["images=gone/x"], EmotionError, "there is no folder gone"),
        (["images=file"], EmotionError, "it is no folder"),
        (["sqlite=."], EmotionError, "it is a folder"),
        (["sqlite=/dev/null"], EmotionError, "it is no ordinary file"),
    ],
)
def test_wrong_outputs_are_one_clear_line(
    specs: list[str], error: type[EmotionError], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    for check in (open_outputs, truncate):
        with pytest.raises(error, match=r"(?s)^[^\n]*$") as caught:
            check(specs)
        assert words in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_truncate_begins_anew_or_removes_nothing(tmp_path: Path) -> None:
    specs = [f"csv={tmp_path / 'r.csv'}", f"sqlite={tmp_path / 'r.db'}", f"images={tmp_path / 'shots'}"]
    for output in open_outputs(specs):
        output.write(result(0), picture())
        output.close()
    (tmp_path / "r.db-wal").touch()
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("a,b\n")
    with pytest.raises(EmotionError, match="something else"):
        truncate([*specs, f"csv={foreign}"])
    assert len(csv_rows(tmp_path / "r.csv")) == 1
    truncate(specs)
    assert {p.name for p in tmp_path.iterdir()} == {"r.csv", "foreign.csv", "shots"}
    assert (tmp_path / "r.csv").read_bytes() == b""
    assert list((tmp_path / "shots").iterdir()) == []
    truncate(specs)


def test_a_run_writes_the_same_frames_everywhere_and_python_gives_the_same_numbers(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    clip = cv2.VideoCapture(str(SAMPLE))
    for n in range(6):
        clip.set(cv2.CAP_PROP_POS_FRAMES, 40 * n)
        cv2.imwrite(str(tmp_path / "in" / f"{n}.jpg"), clip.read()[1])
    (tmp_path / "in" / "9.jpg").write_bytes(b"broken")
    names = {"jsonl": "r.jsonl", "csv": "r.csv", "sqlite": "r.db", "images": "shots"}
    outputs = [f"--output={kind}={tmp_path / name}" for kind, name in names.items()]
    flags = ["--scan-width=320", "--min-face=0.2", "--detectors=1", "--classifiers=1"]
    for _ in range(2):  # the second run begins anew
        done = subprocess.run(
            [sys.executable, "-m", "emotion_stream", "run", f"--source={tmp_path / 'in'}", *outputs, *flags],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [t["status"] for t in told] == ["ok"] * 6 + ["error"]
    rows = csv_rows(tmp_path / "r.csv")
    assert list(dict.fromkeys(int(r["seq"]) for r in rows)) == list(range(7))
    faces = sum(len(t["faces"]) for t in told)
    assert faces > 3
    with Analyzer(DetectorOptions(scan_width=320, min_face=0.2)) as analyzer:
        for line, analysis in zip(told, analyzer.analyze_source(str(tmp_path / "in")), strict=True):
            assert [f["box"] for f in line["faces"]] == [list(astuple(f.box)) for f in analysis.faces]
            for face, same in zip(line["faces"], analysis.faces, strict=True):
                assert face["probabilities"] == {k: round(v, 4) for k, v in same.probabilities.items()}
    assert sum(1 for r in rows if r["face"]) == faces
    assert query(tmp_path / "r.db", "SELECT count(*) AS n FROM faces") == [{"n": faces}]
    assert query(tmp_path / "r.db", "SELECT count(*) AS n FROM frames") == [{"n": 7}]
    assert len(list((tmp_path / "shots" / "in").glob("*.jpg"))) == 6
