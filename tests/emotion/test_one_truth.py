"""Every output says the same of a face: console, summary, report, JSON lines, table, picture."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from emotion_stream.emotion.report import figures
from emotion_stream.emotion.report.parts import label
from emotion_stream.emotion.report.read import records
from emotion_stream.emotion.report.table import tabulate
from emotion_stream.shared.words.words import ENGLISH
from emotion_stream.sink.drawing.draw import _style
from emotion_stream.sink.results.output import as_json, said
from emotion_stream.sink.results.stats import Stats
from tests.emotion.test_report import HAPPY, SAD, cameras, report, shown
from tests.emotion.test_run import FAST, emotion, lines, write_clip


def test_console_and_report_count_the_same() -> None:
    results = [shown(n, HAPPY if n % 4 else None, SAD) for n in range(40)]
    stats = Stats()
    for result in results:
        stats.show(result)
    (camera,) = cameras(*results)
    report = {label(camera, n): round(share, 4) for n, share in figures.shares(camera)}
    assert stats.summary()["emotions"] == report == {"sad": 0.5, "happy": 0.375, "uncertain": 0.125}


def test_a_picture_a_line_and_a_count_say_the_same() -> None:
    result = shown(0, HAPPY, None)
    for face, told in zip(result.faces, as_json(result)["faces"], strict=True):
        assert said(told) == result.said(face)
        assert result.said(face) in _style(result, face, ENGLISH)[0]
    assert [result.said(face) for face in result.faces] == ["happy", "uncertain"]
    # A label that stays although another is a little more probable is the one whose probability is told.
    (face, _) = result.faces
    held = replace(face, probabilities=(0.0, 0.0, 0.0, 0.3, 0.4, 0.3, 0.0))
    assert "happy 30%" in _style(replace(result, faces=(held,)), held, ENGLISH)[0]
    assert as_json(replace(result, faces=(held,)))["faces"][0]["confidence"] == 0.3


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), {"head": "consensus", "smoothing": 0.3, "confirm": "4/6"}),
        (
            ("--head=fer2013", "--uncertain=0.9", "--smoothing=0", "--confirm=1/1"),
            {"head": "fer2013", "smoothing": 0.0, "confirm": "1/1", "uncertain_below": 0.9},
        ),
    ],
)
def test_a_run_tells_by_which_rules_it_labelled(
    tmp_path: Path, flags: tuple[str, ...], told: dict[str, object]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 30)
    out = {name: tmp_path / name for name in ("r.jsonl", "s.json", "r.html")}
    done = emotion(
        "run", str(clip), f"--output=jsonl={out['r.jsonl']}", f"--summary-json={out['s.json']}",
        f"--report={out['r.html']}", *FAST, *flags,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(out["s.json"].read_text())
    assert summary["labels"].items() >= told.items()
    line = next(line for line in done.stderr.splitlines() if line.startswith("labels"))
    rules = line.removeprefix("labels").strip()
    assert f"head {told['head']}" in rules
    assert rules in out["r.html"].read_text()
    later = tmp_path / "later.html"
    assert report(out["r.jsonl"], "--summary", out["s.json"], "--html", later) == 0
    assert rules in later.read_text()
    assert report(out["r.jsonl"], "--summary", out["r.jsonl"], "--html", later) == 1
    assert report(out["r.jsonl"], "--summary", out["s.json"], "--html", out["s.json"]) == 2
    # Shares: the summary, the console and the report, of the lines as they are.
    faces = [face for frame in lines(out["r.jsonl"]) for face in frame["faces"] if face["confirmed"]]
    names = [said(face) for face in faces]
    shares = {name: round(names.count(name) / len(names), 4) for name in set(names)}
    assert summary["emotions"] == shares
    (camera,) = tabulate(records(out["r.jsonl"]))
    assert {label(camera, n): round(share, 4) for n, share in figures.shares(camera)} == shares
    console = next(line for line in done.stderr.splitlines() if line.startswith("emotions"))
    assert {name for name, _ in re.findall(r"(\w+) (\d+)%", console)} == set(shares)
