"""`emotion report`: what a page says of results, and that nothing but the page is needed."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_stream.emotion.report import figures, parts
from emotion_stream.emotion.report.command import COMMAND
from emotion_stream.emotion.report.page import Told, page
from emotion_stream.emotion.report.portraits import from_sources, kept
from emotion_stream.emotion.report.read import records
from emotion_stream.emotion.report.table import Camera, tabulate
from emotion_stream.shared.messages.types import Box
from emotion_stream.shared.words.words import ENGLISH
from emotion_stream.sink.catalogue import truncate
from emotion_stream.sink.outputs import faces as face_files
from emotion_stream.sink.outputs.csv_table import CsvTable
from emotion_stream.sink.outputs.faces import MOST, Choice, Faces, Sample
from emotion_stream.sink.outputs.jsonl import JsonLines
from emotion_stream.sink.outputs.sqlite import Sqlite
from emotion_stream.sink.results.output import Face, Result, as_json
from tests.sink.outputs.test_outputs import killed_after, picture, result
from tests.sink.outputs.test_tables import A, some, write_all
from tests.support.pictures import SAMPLE

ROOT = Path(__file__).parents[2]
HAPPY, SAD, NEUTRAL = 3, 4, 6


def shown(seq: int, *labels: int | None, camera: str = "hall", time: float | None = None) -> Result:
    """A frame with a face for each label, tracks from 1; None is uncertain."""
    faces = tuple(
        Face(
            n,
            Box(10 * n, 2, 30, 30),
            1.0,
            p := tuple(0.7 if i == (label or 0) else 0.05 for i in range(7)),
            p,
            label or 0,
            uncertain=label is None,
        )
        for n, label in enumerate(labels, 1)
    )
    return replace(result(seq, camera, time=time), faces=faces)


def cameras(*results: Result) -> list[Camera]:
    return tabulate(json.loads(json.dumps(as_json(r))) for r in results)


def report(*arguments: object) -> int:
    return COMMAND.main([str(a) for a in arguments])


def test_all_forms_of_results_give_the_same_page(tmp_path: Path) -> None:
    forms = {"r.jsonl": JsonLines(str(tmp_path / "r.jsonl")), "r.csv": CsvTable(tmp_path / "r.csv")}
    for name, output in {**forms, "r.db": Sqlite(tmp_path / "r.db")}.items():
        write_all(output, some())
        assert report(tmp_path / name, "--title", "T", "--html", tmp_path / f"{name}.html") == 0
    pages = [(tmp_path / f"{name}.html").read_text() for name in ("r.jsonl", "r.csv", "r.db")]
    assert pages[0] == pages[1] == pages[2]
    assert "<dd>40<small>4 unreadable" in pages[0]
    assert report(tmp_path / "r.jsonl") == 0  # beside the results unless it is said
    assert (tmp_path / "r.html").exists()
    # A run that is still going, or was killed: its database has a log beside it, its lines end in the middle.
    output = Sqlite(tmp_path / "live.db")
    output.write(result(0, boxes=(A,)), None)
    output.flush()
    assert len(list(records(tmp_path / "live.db"))) == 1
    output.close()
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes((tmp_path / "r.jsonl").read_bytes()[:-20])
    assert len(list(records(cut))) == len(some()) - 1


def test_a_page_needs_nothing_else_and_trusts_nobody(tmp_path: Path) -> None:
    path, evil = tmp_path / "r.jsonl", '<script>alert(1)</script>"'
    frames = [as_json(shown(n, HAPPY, SAD)) | {"source": evil} for n in range(30)]
    frames[3] |= {"status": "error", "error": evil, "faces": []}
    path.write_text("".join(json.dumps(f).replace('"sad"', json.dumps(evil)) + "\n" for f in frames))
    assert report(path, "--title", evil, "--notice", evil, "--png", tmp_path / "png") == 0
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"https?:|@import|url\(|<link", page)
    assert "default-src 'none'" in page
    assert {p.name for p in (tmp_path / "png").iterdir()} == {
        f"hall-{chart}.png" for chart in ("timeline", "shares", "transitions", "latency")
    }
    assert all(cv2.imread(str(p)) is not None for p in (tmp_path / "png").iterdir())


def test_figures() -> None:
    labels = [HAPPY] * 10 + [None] * 5 + [SAD] * 10 + [HAPPY] * 5
    (camera,) = cameras(*(shown(n, label) for n, label in enumerate(labels)), shown(40, NEUTRAL))
    along = figures.axis(camera)
    assert (along.unit, along.start, round(along.end, 3)) == ("medium", 0.0, 1.64)
    (life,) = figures.lives(camera, along)
    assert [(s.label, round(s.start, 2), round(s.end, 2)) for s in life.stretches] == [
        (HAPPY, 0, 0.4), (-1, 0.4, 0.6), (SAD, 0.6, 1.0), (HAPPY, 1.0, 1.6), (NEUTRAL, 1.6, 1.64),
    ]  # fmt: skip
    counts = figures.transitions([life], 7)
    assert {(a, b): counts[a, b] for a, b in np.argwhere(counts).tolist()} == {
        (HAPPY, SAD): 1, (SAD, HAPPY): 1, (HAPPY, NEUTRAL): 1,
    }  # fmt: skip
    assert figures.shares(camera) == [(HAPPY, 15 / 31), (SAD, 10 / 31), (-1, 5 / 31), (NEUTRAL, 1 / 31)]
    assert figures.absent(camera) == 10  # 30 to 39
    assert round(figures.latency(camera).p50, 3) == 0.1
    means, present = figures.over_time(camera, along)
    assert means.shape == (31, 7)
    assert np.nanmax(np.abs(means[:7, HAPPY] - 0.7)) < 1e-6
    assert present[0] == 1
    assert np.isnan(means[25, HAPPY])  # nobody was there


def test_a_face_that_was_away_has_two_stretches_and_a_short_miss_is_none() -> None:
    seen = [n for n in range(100) if not (10 <= n < 20 or 40 <= n < 80)]
    (camera,) = cameras(*(shown(n, *((HAPPY,) if n in seen else ())) for n in range(100)))
    (life,) = figures.lives(camera, figures.axis(camera))
    assert [(round(s.start, 2), round(s.end, 2)) for s in life.stretches] == [(0, 1.6), (3.2, 4.0)]


def test_pictures_are_named_by_their_files_and_no_face_of_them_is_followed(tmp_path: Path) -> None:
    names = ["/photos/Lake.jpg", "/photos/a very long name of a holiday.png", "/photos/b.jpg"]
    frames = [as_json(shown(n, HAPPY, None)) | {"source": name} for n, name in enumerate(names)]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(frame) + "\n" for frame in frames))
    assert report(path, "--png", tmp_path / "png") == 0
    page = (tmp_path / "r.html").read_text()
    for name in ("Lake.jpg", "a very long name of a holiday.png", "b.jpg"):
        assert re.search(rf'<th scope="row">{name}</th><td>happy 70 %, uncertain \d+ %</td>', page)
    ticks = re.findall(r"<span[^>]*left:[0-9.]+%[^>]*>([^<]*)</span>", page)
    assert ticks[:3] == ["Lake.jpg", "a very long name …", "b.jpg"]
    assert "<title>Lake.jpg</title>" in page
    assert "faces followed" not in page
    assert "<dt>faces</dt><dd>6<small>in pictures" in page
    assert "per second" not in page
    assert {p.name for p in (tmp_path / "png").iterdir()} == {
        f"hall-{c}.png" for c in ("latency", "timeline", "shares")
    }


def test_a_picture_that_could_not_be_read_is_not_one_without_a_face(tmp_path: Path) -> None:
    broken = {"status": "error", "error": "b.jpg: it is empty", "faces": []}
    frames = [as_json(shown(n)) | {"source": f"/photos/{name}.jpg"} for n, name in enumerate("abc")]
    frames[1] |= broken
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(frame) + "\n" for frame in frames))
    for language, none, unread in (("en", "no face", "unreadable"), ("de", "kein Gesicht", "unlesbar")):
        assert report(path, "--language", language) == 0
        page = (tmp_path / "r.html").read_text()
        told = dict(re.findall(r'<th scope="row">(\w\.jpg)</th><td>([^<]*)</td>', page))
        assert told == {"a.jpg": none, "b.jpg": unread, "c.jpg": none}


def test_nothing_is_extrapolated_from_a_few() -> None:
    few = cameras(*(shown(n, HAPPY if n < 20 else SAD) for n in range(40)))[0]
    told = parts.changes(few, figures.lives(few, figures.axis(few)), ENGLISH)["told"]
    assert told == "1 change in 0:01.6 of faces"
    many = cameras(*(shown(n, HAPPY if n // 100 % 2 else SAD) for n in range(2000)))[0]
    told = parts.changes(many, figures.lives(many, figures.axis(many)), ENGLISH)["told"]
    assert re.fullmatch(r"19 changes in 1:\d\d of faces, \d+\.\d per face and minute", told)
    assert figures.rate(cameras(shown(0), shown(1))[0]) is None
    assert parts.latency(cameras(shown(0), shown(1))[0], ENGLISH)["told"].endswith("longest 100 ms")


def test_uncertain_looks_like_no_empty_track(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    frames = [as_json(shown(n, None if n % 50 > 25 else HAPPY)) for n in range(100)]
    path.write_text("".join(json.dumps(frame) + "\n" for frame in frames))
    assert report(path, "--png", tmp_path / "png") == 0
    page = (tmp_path / "r.html").read_text()
    assert '<li class="uncertain"' in page
    assert len(re.findall(r'<i class="uncertain"[^>]*title="uncertain, ', page)) == 2
    assert '<b class="uncertain">' in page
    assert re.search(r"\.strip i\.uncertain[^}]*repeating-linear-gradient", page)
    chart = cv2.imread(str(tmp_path / "png" / "hall-shares.png"))
    assert chart is not None
    row = chart[int(chart.shape[0] * 0.78)].astype(int)  # through the bar of "uncertain"
    assert np.count_nonzero(np.abs(np.diff(row.sum(axis=1))) > 60) > 20  # stripes


def test_charts_need_their_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(as_json(shown(0, HAPPY))) + "\n")
    monkeypatch.setattr("emotion_stream.emotion.report.png.importlib.util.find_spec", lambda name: None)
    assert report(path, "--png", tmp_path / "png") == 1
    assert f"{sys.executable} -m pip install matplotlib" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_a_camera_started_again_lies_on_the_clock_and_pictures_on_their_numbers() -> None:
    again = [shown(n, HAPPY) for n in range(5)]
    later = [replace(r, info=replace(r.info, epoch="b", captured_at=r.info.captured_at + 60)) for r in again]
    (camera,) = cameras(*again, *later)
    along = figures.axis(camera)
    assert (along.unit, round(along.end)) == ("clock", 60)
    lives = figures.lives(camera, along)  # a run numbers faces anew: these are two
    assert [(life.track, round(life.stretches[0].start)) for life in lives] == [(1, 0), (1, 60)]
    assert [len(life.stretches) for life in lives] == [1, 1]
    assert figures.longest(lives) == lives
    assert "<dd>2<small>10 sightings" in page([camera], Told("T"))
    (pictures,) = cameras(*(replace(r, info=replace(r.info, source=f"{r.info.seq}.jpg")) for r in again))
    assert figures.axis(pictures).unit == "picture"
    assert figures.lives(pictures, figures.axis(pictures)) == []


@pytest.mark.parametrize(
    ("content", "flags", "told"),
    [
        (None, [], r"r\.jsonl cannot be read \(No such file or directory\)"),
        (b"", [], r"r\.jsonl is empty: there is nothing to report"),
        (b"a,b\n1,2\n", [], r"r\.jsonl holds no results: name what --output .* has written"),
        (b'{"a": 1}\n', [], r"r\.jsonl holds no results \(line 1\): name what"),
        (b'{"camera": "x", "faces": []}\n', [], r"frame 1 of the results is not as this version writes them"),
        (b"camera,source,oh\n", [], r"r\.jsonl holds no results \(line 1\)"),
        (b"SQLite format 3\0" + bytes(200), [], r"r\.jsonl holds no results"),
        (b'{"camera": "cut o', [], r"there are no frames in these results"),
        (b"good", ["--html", "no/such/r.html"], r"no/such/r\.html cannot be written: there is no folder no/such"),
        (b"good", ["--html", "."], r"the report \. cannot be written: it is a folder"),
        (b"good", ["--html", "/dev/full"], r"/dev/full: No space left on device"),
        (b"good", ["--faces", "nowhere"], r"--faces nowhere: there is no such folder"),
        (b"good", ["--png", "r.jsonl"], r"r\.jsonl cannot be written: it is no folder"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    content: bytes | None,
    flags: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    good = json.dumps(as_json(shown(0, HAPPY))).encode() + b"\n"
    if content is not None:
        Path("r.jsonl").write_bytes(good if content == b"good" else content)
    assert report("r.jsonl", *flags) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(rf"emotion report: .*{told}.*\n", error), error


def test_results_are_not_overwritten(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "r.html"
    write_all(JsonLines(str(path)), [result(0)])
    before = path.read_bytes()
    assert report(path) == 2
    assert "would overwrite the results" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert report() == 2
    assert "emotion report results.jsonl" in capsys.readouterr().err


# --- faces -------------------------------------------------------------------------------------------------------


def test_the_surest_faces_are_chosen_one_of_each_track() -> None:
    choice = Choice()
    offers = [(0.5, 1), (0.9, 1), (0.905, 1), (0.6, 1), *((0.5 + n / 100, n) for n in range(2, 40))]
    for n, (confidence, track) in enumerate(offers):
        choice.offer(Sample("hall", "happy", confidence, track, n, 0.0))
    found = choice.samples
    assert len(found) == MOST
    assert (found[0].track, found[0].confidence) == (1, 0.9)
    assert len({s.track for s in found}) == MOST
    assert min(s.confidence for s in found) > 0.75


def test_faces_are_kept_in_a_folder_that_is_ours_alone(tmp_path: Path) -> None:
    output = Faces(tmp_path / "faces")
    for n in range(40):
        output.write(shown(n, HAPPY, SAD, None), picture(n))
    output.write(result(99, boxes=(Box(0, 0, 9, 9),)), picture())  # nothing can be seen of so small a face
    output.close()
    found = face_files.load(tmp_path / "faces")
    assert sorted((s.camera, s.emotion, s.track, s.seq) for s in found) == [
        ("hall", "happy", 1, 0), ("hall", "sad", 2, 0),
    ]  # fmt: skip
    cut = cv2.imread(str(next((tmp_path / "faces" / "hall").iterdir())))
    assert cut is not None
    assert cut.shape[:2] == (42, 42)
    holiday = tmp_path / "faces" / "hall" / "happy-0990-1-2-3.jpg"  # named like ours, but it is not
    cv2.imwrite(str(holiday), picture())
    assert len(face_files.load(tmp_path / "faces")) == 2
    truncate([f"faces={tmp_path / 'faces'}"])
    assert list((tmp_path / "faces" / "hall").iterdir()) == [holiday]


def test_faces_of_a_killed_run_are_whole_and_count(tmp_path: Path) -> None:
    code = (
        "import sys; from tests.emotion.test_report import *\n"
        "o = Faces(Path(sys.argv[1]))\n"
        "for n in range(10**6):\n"
        "    r = shown(n, HAPPY); shares = (*[0.0] * 3, n / 1e3 % 1, *[0.0] * 3)\n"
        "    f = replace(r.faces[0], track=n, probabilities=shares)\n"
        "    o.write(replace(r, faces=(f,)), picture(n)); print(n, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "f")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed_after(200, process)
    before = kept(tmp_path / "f")
    assert len(before) == MOST
    assert all(cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1) is not None for _, jpeg in before)
    output = Faces(tmp_path / "f")
    output.write(shown(0, HAPPY), picture())  # 0.7, surer than those
    assert len(kept(tmp_path / "f")) == MOST
    assert kept(tmp_path / "f")[0][0].confidence == 0.7


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over a part of the sample, with a report and a folder of faces."""
    folder = tmp_path_factory.mktemp("ran")
    clip = cv2.VideoCapture(str(SAMPLE))
    size = int(clip.get(3)), int(clip.get(4))
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, size)
    for _ in range(25):
        writer.write(clip.read()[1])
    writer.release()
    outputs = ["--output", "csv=r.csv", "--output", "faces=faces", "--report", "run.html"]
    done = subprocess.run(
        [sys.executable, "-m", "emotion_stream", "run", "--source", "clip.mp4", *outputs, "--detectors=1"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "written      run.html" in done.stderr
    assert "results.jsonl" not in done.stderr  # what it needs for itself is nobody's business
    return folder


def test_a_run_ends_with_a_report(ran: Path) -> None:
    page = (ran / "run.html").read_text()
    assert page.count("data:image/jpeg;base64,") == len(face_files.load(ran / "faces")) >= 1
    assert "<dd>25<small>all readable" in page
    assert "no frame was lost" in page
    assert sorted(p.name for p in ran.iterdir()) == ["clip.mp4", "faces", "r.csv", "run.html"]


def test_faces_are_cut_out_of_the_source(ran: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.chdir(ran)
    told = tabulate(records(Path("r.csv")))
    found = from_sources(told, blur=False)
    assert [s.emotion for s, _ in found] == ["happy"]
    sharp, hidden, ours = (
        np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
        for ((_, jpeg),) in (found, from_sources(told, blur=True), kept(Path("faces"))[:1])
    )
    # The run kept the same face, of this frame or one like it.
    assert sharp.shape == hidden.shape
    assert np.abs(cv2.resize(ours, sharp.shape[::-1]).astype(float) - sharp).mean() < 25
    flat = [float(np.mean(np.diff(image.astype(int), axis=1) == 0)) for image in (sharp, hidden)]
    assert flat[0] < 0.3
    assert flat[1] > 0.6  # a few blocks
    Path("clip.mp4").rename("gone.mp4")
    try:
        assert from_sources(told, blur=False) == []
        assert "no faces from" in caplog.text
    finally:
        Path("gone.mp4").rename("clip.mp4")


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--report", "no/such.html"], 1, "there is no folder no"),
        (
            ["--report", "r.csv", "--output", "csv=r.csv"],
            2,
            "output csv=r.csv and --report r.csv both go to r.csv",
        ),
    ],
)
def test_a_report_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, flags: list[str], code: int, told: str
) -> None:
    from emotion_stream.emotion.commands.run import COMMAND as RUN

    monkeypatch.chdir(tmp_path)
    assert RUN.main(["--source", "sample", *flags]) == code
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
