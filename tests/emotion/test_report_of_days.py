"""`emotion report` of results that lie in several files: of a run that began a new one each day, mostly."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emotion_stream.emotion.report.command import COMMAND
from emotion_stream.emotion.report.find import find
from emotion_stream.emotion.report.read import together
from emotion_stream.sink.retention.rules import DAY, Rules
from tests.sink.retention.kept import MORNING, Shop

FRAMES = 5
"""Of each camera and day."""


def report(*arguments: object) -> int:
    return COMMAND.main([str(a) for a in arguments])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What three days of two cameras left, beside things that are no results."""
    folder = tmp_path_factory.mktemp("days")
    shop = Shop(folder, Rules(), ("jsonl", "csv", "events", "faces"))
    shop.open()
    for day in range(3):
        for n in range(FRAMES):
            shop.now = MORNING + day * DAY + 3600 + n
            shop.write("hall", "door")
    shop.flush()
    shop.close()
    assert len(list(folder.glob("r-*.jsonl"))) == 6
    (folder / "notes.txt").write_text("no results\n")
    (folder / "empty.jsonl").write_bytes(b"")
    return folder


@pytest.fixture
def days(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which we are."""
    shutil.copytree(written, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    return tmp_path / "out"


HALL = [f"r-hall-2026-{day}.jsonl" for day in ("11-29", "11-30", "12-01")]


@pytest.mark.parametrize(
    ("named", "page"),
    [
        (["r.jsonl"], "r.html"),  # as the run was told to write it
        (["r.csv"], "r.html"),
        (["."], "report.html"),
        (["r-*.jsonl"], "report.html"),  # as a shell without files of that name, or none, hands it on
        ([name.replace("hall", camera) for name in HALL[::-1] for camera in ("hall", "door")], "report.html"),
        ([*HALL, "r-door*", "r-hall-2026-11-29.csv", HALL[0], f"./{HALL[1]}"], "report.html"),  # frames come twice
    ],
)
def test_several_files_are_one_report(days: Path, named: list[str], page: str) -> None:
    whole = days.parent / "whole.jsonl"
    whole.write_bytes(b"".join(path.read_bytes() for path in sorted(days.glob("r-*.jsonl"))))
    assert report(whole, "--title", "T") == 0
    assert report(*named, "--title", "T") == 0
    assert Path(page).read_text() == (days.parent / "whole.html").read_text()
    assert f"<dd>{6 * FRAMES}<small>" in Path(page).read_text()
    assert [path.suffix for path in days.glob("*.html")] == [".html"]  # nothing else is written


def test_a_report_of_days_is_called_as_its_cameras(days: Path) -> None:
    assert report(*HALL) == 0
    assert "<h1>hall</h1>" in (days / "report.html").read_text()
    assert report(HALL[0]) == 0
    assert "<h1>r-hall-2026-11-29</h1>" in (days / "r-hall-2026-11-29.html").read_text()


def test_faces_of_days_are_shown(days: Path) -> None:
    for faces in ("faces/2026-11-30", "faces"):
        assert report("r.jsonl", "--faces", faces, "--html", "f.html") == 0
        shown = re.findall(r"data:image/jpeg;base64,[^\"]+", (days / "f.html").read_text())
        assert len(shown) > (0 if faces != "faces" else 2 * FRAMES), faces


def test_parts_of_a_day_come_in_their_order(tmp_path: Path) -> None:
    """By their names, `.002.jsonl` would come before `.jsonl`."""
    shop = Shop(tmp_path, Rules(part=64 << 10), ("jsonl",))
    shop.open()
    while not (tmp_path / "r-hall-2026-11-29.002.jsonl").exists():
        shop.now += 1
        shop.write("hall")
        shop.flush()
    shop.close()
    seqs = [record["seq"] for record in together(find([str(tmp_path / "r.jsonl")]))]
    assert seqs == list(range(shop.seq))


def test_a_timeline_of_days_shows_the_days(days: Path) -> None:
    lines = [json.loads(line) for name in HALL for line in Path(name).read_text().splitlines()]
    for n, line in enumerate(lines):
        line["time"] = n // FRAMES * float(DAY) + n % FRAMES  # as a camera that ran all the time
    Path("r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert report("r.jsonl") == 0
    page = Path("r.html").read_text()
    assert re.findall(r"<span[^>]*>(\d\d-\d\d)</span>", page) == ["11-30", "12-01"]  # their midnights
    assert "11-29 01:00:00 to 11-29 01:00:01" in page


def spoil(name: str, content: bytes) -> Callable[[], object]:
    return lambda: Path(name).write_bytes(content)


@pytest.mark.parametrize(
    ("change", "named", "code", "told"),
    [
        (None, ["faces"], 1, "faces: no file in this folder holds results: name what --output "),
        (None, ["no-*.jsonl"], 1, r"no-\*.jsonl: no file of such a name holds results: name what --output "),
        (None, [HALL[0], "none.jsonl"], 1, r"none.jsonl cannot be read \(No such file or directory\)"),
        (None, ["no/such/r.jsonl"], 1, "there is no folder no/such"),
        (None, [HALL[0], "e-hall-2026-11-29.jsonl"], 1, "e-hall-2026-11-29.jsonl holds no results"),
        (None, [HALL[0], "notes.txt"], 1, "notes.txt holds no results"),
        (None, ["e.jsonl"], 1, "e-door-2026-11-29.jsonl holds no results"),
        (spoil("b.jsonl", b""), ["b.jsonl", "empty.jsonl"], 1, "there are no frames in these results"),
        (
            spoil(HALL[1], b'{"camera": "x", "faces": []}\n'),
            ["r.jsonl"],
            1,
            rf"{HALL[1]} holds no results \(line 1\)",
        ),
        (spoil(HALL[1], b"nonsense"), ["r.jsonl", HALL[1]], 1, f"{HALL[1]} holds no results"),
        (None, [*HALL, "--html", HALL[2]], 2, f"would overwrite the results {HALL[2]}"),
        (None, [""], 2, "no results given"),
        (None, [HALL[0], ""], 2, "no results given"),
    ],
)
def test_what_is_wrong_is_one_line(
    days: Path, capsys: Any, change: Callable[[], object] | None, named: list[str], code: int, told: str
) -> None:
    if change is not None:
        change()
    before = {path: path.read_bytes() for path in days.glob("*.jsonl")}
    assert report(*named) == code
    error = capsys.readouterr().err
    assert re.fullmatch(rf"emotion report: .*({told}).*\n", error), error
    assert {path: path.read_bytes() for path in days.glob("*.jsonl")} == before


def test_a_frame_that_says_nonsense_in_a_later_file_is_told(days: Path, capsys: Any) -> None:
    record = json.loads(Path(HALL[1]).read_text().splitlines()[0])
    with Path(HALL[1]).open("a") as file:
        file.write(json.dumps({**record, "seq": "x"}) + "\n" + json.dumps({**record, "epoch": []}) + "\n")
    assert report("r.jsonl") == 1
    assert re.fullmatch("emotion report: frame .* is not as this version writes them.*\n", capsys.readouterr().err)
