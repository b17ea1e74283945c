"""Nobody's file is lost: one function decides, over all pairs of what is read and what is written."""

import itertools
import json
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.emotion.commands.picture import COMMAND as PICTURE
from emotion_stream.emotion.commands.run import COMMAND as RUN
from emotion_stream.emotion.report.command import COMMAND as REPORT
from emotion_stream.emotion.written import claims_of_run, settings_of, sources_of
from emotion_stream.producer.sources.spec import parse_sources
from emotion_stream.shared.claims import Claim, Source, check
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.sink.catalogue import truncate
from tests.support.pictures import sample_frames

OUTPUTS = ("jsonl={}", "csv={}", "sqlite={}", "video={}", "report", "summary_json")
FOREIGN: dict[str, Callable[[Path], object]] = {
    "text": lambda p: p.write_text("dear diary\n"),
    "json": lambda p: p.write_text('{"frames": 3}\n'),
    "csv": lambda p: p.write_text("a,b\n1,2\n"),
    "database": lambda p: sqlite3.connect(p).execute("CREATE TABLE mine (x)"),
    "page": lambda p: p.write_text("<!doctype html><title>mine</title>"),
    "picture": lambda p: p.write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()),
    "clip": lambda p: p.write_bytes(b"\0\0\0\x18ftypisom" + bytes(100)),
}


def values(**paths: str) -> dict[str, object]:
    """Settings that write to these files, by kind."""
    found: dict[str, object] = {}
    outputs = []
    for kind, path in paths.items():
        if kind in ("report", "summary_json"):
            found[kind] = path
        else:
            outputs.append(f"{kind}={path}")
    return found | {"output": tuple(outputs)} if outputs else found


def writes(kind: str, path: Path | str) -> dict[str, object]:
    """Settings that write this one file."""
    return values(**{kind.partition("=")[0]: str(path)})


def decide(settings: dict[str, object], sources: list[Source] | None = None, *, force: bool = False) -> None:
    """What a run decides before it starts."""
    check(sources or [], claims_of_run(settings, ["cam"]), force=force)


def aliases(path: Path) -> dict[str, Path]:
    """Other names of one file."""
    link, hard = path.with_name(f"soft-{path.name}"), path.with_name(f"hard-{path.name}")
    if not link.exists():
        link.symlink_to(path)
        os.link(path, hard)
    return {
        "itself": path,
        "dots": path.parent / "." / ".." / path.parent.name / path.name,
        "link": link,
        "hard": hard,
    }


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("source", ["clip.mp4", "picture.jpg", "folder", "glob"])
@pytest.mark.parametrize("force", [False, True])
def test_a_source_is_never_written_over(tmp_path: Path, kind: str, source: str, force: bool) -> None:
    (tmp_path / "folder").mkdir()
    file = tmp_path / {"clip.mp4": "clip.mp4", "picture.jpg": "picture.jpg"}.get(source, "folder/a.jpg")
    file.write_bytes(b"x")
    text = {"folder": "folder", "glob": "fold*/*.jpg"}.get(source, source)
    sources = sources_of(parse_sources([str(tmp_path / text)]))
    for name, alias in aliases(file).items():
        with pytest.raises(UsageError, match="would overwrite a source"):
            decide(writes(kind, alias), sources, force=force)
        assert file.read_bytes() == b"x", name


def test_what_else_is_read_is_never_written_over(tmp_path: Path) -> None:
    read = {name: tmp_path / name for name in ("settings.toml", "password", "cascade.xml")}
    for path in read.values():
        path.write_text("x")
    model = tmp_path / "model"
    model.mkdir()
    (model / "manifest.json").write_text("{}")
    settings = {"config": str(read["settings.toml"]), "redis_password_file": str(read["password"])}
    sources = settings_of(settings | {"cascade": str(read["cascade.xml"]), "model": str(model)})
    for path in (*read.values(), model / "manifest.json"):
        for kind in OUTPUTS:
            with pytest.raises(UsageError, match="would overwrite"):
                decide(writes(kind, path), sources, force=True)


@pytest.mark.parametrize("pair", list(itertools.combinations(OUTPUTS, 2)), ids="-".join)
@pytest.mark.parametrize("there", [False, True])
def test_no_two_go_to_one_file(tmp_path: Path, pair: tuple[str, str], there: bool) -> None:
    file = tmp_path / "one.mp4"
    others = [file, tmp_path / ".." / tmp_path.name / "one.mp4"]
    if there:
        file.touch()
        others = list(aliases(file).values())
    one, other = (kind.partition("=")[0] for kind in pair)
    for alias in others:
        for settings in (
            values(**{one: str(file), other: str(alias)}),
            values(**{one: str(alias), other: str(file)}),
        ):
            with pytest.raises(UsageError, match="both go to"):
                decide(settings, force=True)


@pytest.mark.parametrize("sidecar", ["a.db-wal", "a.db-shm", "a.db-journal", "v-left.mp4", "pics/left"])
def test_what_lies_beside_a_file_is_not_written_by_another(tmp_path: Path, sidecar: str) -> None:
    (tmp_path / "pics").mkdir()
    outputs = tuple(f"{kind}={tmp_path / name}" for kind, name in (
        ("sqlite", "a.db"), ("video", "v.mp4"), ("images", "pics"),
    ))  # fmt: skip
    settings = {"output": outputs, "summary_json": str(tmp_path / sidecar)}
    with pytest.raises(UsageError, match="both go to"):
        check([], claims_of_run(settings, ["left", "right"]), force=True)
    settings["summary_json"] = str(tmp_path / "summary.json")
    check([], claims_of_run(settings, ["left", "right"]))


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize("kind", OUTPUTS)
def test_what_is_somebodys_is_replaced_only_by_force(tmp_path: Path, kind: str, foreign: str) -> None:
    file = tmp_path / "mine.mp4"
    FOREIGN[foreign](file)
    before = file.read_bytes()
    with pytest.raises(EmotionError, match=r"holds something else.*--force"):
        decide(writes(kind, file))
    decide(writes(kind, file), force=True)
    assert file.read_bytes() == before  # deciding changes nothing
    specs = [kind.format(file)] if "=" in kind else []
    if specs:
        with pytest.raises(EmotionError, match="something else"):
            truncate(specs)
        assert file.read_bytes() == before
        truncate(specs, force=True)
        assert not file.exists() or not file.stat().st_size


def test_a_journal_without_its_database_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / "a.db-journal").write_text("precious")
    with pytest.raises(EmotionError, match=r"a\.db-journal is there already"):
        decide(values(sqlite=str(tmp_path / "a.db")))


def test_pictures_that_are_read_are_not_cleared_away(tmp_path: Path) -> None:
    """An earlier run's folder of images is played: its pictures carry our mark."""
    played = tmp_path / "out" / "left"
    played.mkdir(parents=True)
    (played / "00000000.jpg").write_bytes(b"x")
    for source in (played, played / "00000000.jpg", tmp_path / "out" / "*" / "*.jpg"):
        for kind in ("images", "faces"):
            claims = claims_of_run({"output": (f"{kind}={tmp_path / 'out'}",)}, ["cam"])
            with pytest.raises(UsageError, match="would overwrite a source"):
                check(sources_of(parse_sources([str(source)])), claims, force=True)


def test_places_that_cannot_be_written_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    for kind in OUTPUTS:
        with pytest.raises(EmotionError, match="it is a folder"):
            decide(writes(kind, tmp_path / "folder"))
        with pytest.raises(EmotionError, match="there is no folder"):
            decide(writes(kind, tmp_path / "gone" / "x.mp4"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for others than root
    with pytest.raises(EmotionError, match="permission denied"):
        decide(writes("report", tmp_path / "x.html"))


def test_devices_and_pipes_are_nobodys(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    decide({"output": ("jsonl=/dev/null",), "summary_json": "/dev/null", "report": str(tmp_path / "pipe")})
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


# --- the commands --------------------------------------------------------------------------------------------


def clip(path: Path) -> Path:
    """A small picture stands for any source."""
    assert cv2.imwrite(str(path), cv2.resize(sample_frames()[0], (64, 48)))
    return path


@pytest.mark.parametrize("flag", ["--summary-json={}", "--report={}", "--output=jsonl={}", "--output=csv={}"])
def test_run_refuses_in_one_line_before_anything_starts(
    tmp_path: Path, flag: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "emotion_stream.emotion.commands.run.Launch", lambda *_: pytest.fail("something was started")
    )
    source, mine = clip(tmp_path / "source.jpg"), tmp_path / "mine"
    mine.write_text("dear diary\n")
    before = source.read_bytes()
    for target, code in ((source, 2), (mine, 1)):
        assert RUN.main([f"--source={source}", flag.format(target)]) == code
        told = capsys.readouterr().err
        assert told.count("\n") == 1, told
    assert source.read_bytes() == before
    assert mine.read_text() == "dear diary\n"


def test_picture_marks_what_it_writes_and_replaces_only_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = clip(tmp_path / "face.jpg")
    for name in ("out.jpg", "out.png"):
        target = tmp_path / name
        arguments = [f"--image={source}", f"--output={target}"]
        assert PICTURE.main(arguments) == PICTURE.main(arguments) == 0  # its own file, the second time
        assert cv2.imread(str(target)) is not None
        clip(target)
        before = target.read_bytes()
        assert PICTURE.main(arguments) == 1
        assert "--force" in capsys.readouterr().err
        assert target.read_bytes() == before
        assert PICTURE.main([*arguments, "--force"]) == 0
        assert target.read_bytes() != before
    assert PICTURE.main([f"--image={source}", f"--output={source}", "--force"]) == 2
    capsys.readouterr()
    assert PICTURE.main([f"--image={source}", f"--output={tmp_path / 'x.gif'}"]) == 2
    assert "image/gif" in capsys.readouterr().err
    assert not (tmp_path / "x.gif").exists()


def test_a_report_replaces_neither_results_nor_sources_nor_pages_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, results = clip(tmp_path / "face.jpg"), tmp_path / "r.jsonl"
    face = {"track": 1, "confirmed": True, "box": [1, 1, 30, 30], "emotion": "happy", "confidence": 0.9}
    face |= {"uncertain": False, "probabilities": {"happy": 0.9, "sad": 0.1}, "raw": {"happy": 0.9, "sad": 0.1}}
    line = {"camera": "a", "source": str(source), "epoch": "e", "seq": 0, "time": 0.0, "width": 64, "height": 48}
    line |= {"captured_at": "2026-01-01T00:00:00.000+00:00", "latency_ms": 1.0, "status": "ok", "error": None}
    results.write_text(json.dumps(line | {"faces": [face]}) + "\n")
    page, charts = tmp_path / "page.html", tmp_path / "charts"
    arguments = [str(results), f"--html={page}", f"--png={charts}"]
    assert REPORT.main(arguments) == REPORT.main(arguments) == 0  # its own files, the second time
    for target in (source, results):
        before = target.read_bytes()
        assert REPORT.main([str(results), f"--html={target}", "--force"]) == 2
        assert target.read_bytes() == before
    for mine in (page, next(iter(charts.glob("*.png")))):
        FOREIGN["picture"](mine)
        before = mine.read_bytes()
        assert REPORT.main(arguments) == 1
        assert mine.read_bytes() == before
        assert REPORT.main([*arguments, "--force"]) == 0
        assert mine.read_bytes() != before


def test_a_claim_of_nothing_known_is_replaced_where_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    check([], [Claim(tmp_path / "x", "--x")])


def test_other_commands_ask_the_same_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dead letter's picture, a benchmark's figures, a model's files: before anything is measured."""
    from emotion_stream.benchmarks.command import COMMAND as BENCH
    from emotion_stream.emotion.commands.dead import COMMAND as DEAD
    from emotion_stream.emotion.commands.export import _check
    from emotion_stream.shared.settings.command_options import ExportOptions

    mine = tmp_path / "mine.json"
    mine.write_text("dear diary")
    for command, arguments in ((DEAD, ["show", "1-1", f"--jpeg={mine}"]), (BENCH, [f"--json={mine}"])):
        assert command.main(arguments) == 1
        assert "--force" in capsys.readouterr().err
    assert BENCH.main([f"--json={mine}", f"--clip={mine}", "--force"]) == 2
    model = tmp_path / "model"
    model.mkdir()
    (model / "vgg16-weights.npz").write_text("precious")
    with pytest.raises(EmotionError, match="vgg16-weights"):
        _check(ExportOptions(), tmp_path / "w.npz", model, force=False)
    with pytest.raises(UsageError, match="--weights"):
        _check(ExportOptions(), model / "vgg16-weights.npz", model, force=True)
    assert mine.read_text() == "dear diary"
    assert (model / "vgg16-weights.npz").read_text() == "precious"
