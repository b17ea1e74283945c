"""`emotion run --keep`: what it leaves, says and refuses."""

import json
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from emotion_stream.emotion.runner.summary import sized, told_kept
from emotion_stream.emotion.written import check_kept
from emotion_stream.shared.claims import Source
from emotion_stream.shared.errors import UsageError
from emotion_stream.sink.results.kept import Kept
from emotion_stream.sink.retention.rules import Rules
from tests.emotion.test_run import FAST, emotion, write_clip
from tests.sink.retention.kept import shop


def test_a_run_goes_on_beside_what_is_kept_and_tells_of_it(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 12)
    with shop(tmp_path, Rules(), "jsonl", now=time.time() - 86_400) as earlier:
        earlier.write("clip")
    summary = tmp_path / "s.json"
    done = emotion(
        "run", str(clip), "--keep=7d", "--keep-size=20G", f"--output=jsonl={tmp_path / 'r.jsonl'}",
        f"--summary-json={summary}", *FAST,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    old, *new = sorted(tmp_path.glob("r-clip-*.jsonl"))
    assert len(old.read_text().splitlines()) == 1
    assert sum(len(path.read_text().splitlines()) for path in new) == 12
    assert not (tmp_path / "r.jsonl").exists()
    about = json.loads(summary.read_text())
    assert about["outputs"] == [str(tmp_path / "r-*.jsonl")]
    assert (about["kept"]["limit"], about["kept"]["seconds"]) == (20 << 30, 7 * 86_400)
    assert about["kept"]["next"] == str(old)
    assert f"written      {tmp_path / 'r-*.jsonl'}" in done.stderr
    assert "\nkept         " in done.stderr


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--keep=7",), "--keep 7: write a time as 7d, 12h or 4w (s, m, h, d, w), or off"),
        (("--keep=7d", "--report=r.html"), "--report tells of a whole run, and with --keep results go"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, flags: tuple[str, ...], told: str) -> None:
    done = emotion("run", "sample", *flags, f"--output=jsonl={tmp_path / 'r.jsonl'}")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_summary_says_what_goes_next() -> None:
    kept = Kept(3 << 29, 2 << 30, 86_400.0, 1e9, "out/r-hall-2001-09-09.jsonl", 1e9 + 86_400, 1 << 29)
    assert told_kept(kept.as_dict()) == (
        "1.5 GB of 2.0 GB since 2001-09-09 01:46 UTC; next to go: out/r-hall-2001-09-09.jsonl on"
        " 2001-09-10 01:46 UTC; room for 512.0 MB"
    )
    assert told_kept(Kept(0).as_dict()) == "0.0 MB"
    assert sized(20 << 30) == "20.0 GB"


@pytest.mark.parametrize("spec", ["jsonl=r.jsonl", "video=clip.mp4", "images=shots"])
def test_what_is_read_is_not_where_results_go_when_they_are_old(tmp_path: Path, spec: str) -> None:
    kind, _, name = spec.partition("=")
    sources = {
        "jsonl": tmp_path / "r-hall-2026-11-29.jsonl",
        "video": tmp_path / "clip-hall-2026-11-29.mp4",
        "images": tmp_path / "shots" / "2026-11-29" / "hall",
    }
    values = {"output": (f"{kind}={tmp_path / name}",), "keep": "7d"}
    for source in sources.values():
        refused = source == sources[kind]
        with pytest.raises(UsageError, match="is read, and would be removed") if refused else nullcontext():
            check_kept(values, [Source(source, "a source")])
        check_kept(values | {"keep": "off"}, [Source(source, "a source")])
