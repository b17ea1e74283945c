"""`emotion config`: what is in force, from where; and a run of cameras that differ."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_stream.emotion.__main__ import main
from tests.emotion.conftest import command
from tests.support.pictures import sample_frames

HALL = """
min_face = 0.2
web_token = "abcdefghijklmnop"
output = ["webhook=https://hooks.example/secretpath"]

[cameras.hall]
source = "rtsp://admin:secret@10.0.0.7/stream#transport=udp"
name = "Haupteingang Süd"
fps = 10
min_face = 0.08
ignore = ["0,0 0.3,0 0.3,0.4 0,0.4"]
zones = { door = "0.5,0 1,0 1,1" }

[cameras.yard]
source = "0"
blur_faces = true
"""


@pytest.fixture
def hall(tmp_path: Path) -> str:
    path = tmp_path / "emotion.toml"
    path.write_text(HALL, encoding="utf-8")
    return str(path)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["config", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_every_value_says_where_it_comes_from(
    hall: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMOTION_FPS", "7")
    found = told(capsys, f"--config={hall}", "--max-width=640", "--min-face=0.3")
    first, second = found["cameras"]
    assert (first["camera"], first["name"], first["played"]) == ("hall", "Haupteingang Süd", True)
    table = f"{hall} [cameras.hall]"
    own = first["settings"]
    assert own["fps"] == {"value": 10.0, "from": table}
    assert own["min_face"] == {"value": 0.08, "from": table}, "its table wins over a flag"
    assert own["max_width"] == {"value": 640, "from": "--max-width"}
    assert own["jpeg_quality"] == {"value": 85, "from": "default"}
    assert own["rtsp_transport"] == {"value": "udp", "from": "the address of hall"}
    assert own["ignore"] == {"value": ["0,0 0.3,0 0.3,0.4 0,0.4"], "from": table}
    assert own["zones"]["value"] == {"door": "0.5,0 1,0 1,1"}
    assert second["settings"]["fps"] == {"value": 7.0, "from": "EMOTION_FPS"}
    assert second["settings"]["min_face"] == {"value": 0.3, "from": "--min-face"}
    assert second["settings"]["blur_faces"] == {"value": True, "from": f"{hall} [cameras.yard]"}
    assert found["settings"]["web_token"] == {"value": "***", "from": hall}


def test_the_table_for_people_hides_secrets(hall: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", f"--config={hall}"]) == 0
    text = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "camera hall (Haupteingang Süd): rtsp://admin:***@10.0.0.7/stream" in lines
    assert f"fps 10 {hall} [cameras.hall]" in lines
    assert f"min_face 0.08 {hall} [cameras.hall]" in lines
    assert f"zones door: 0.5,0 1,0 1,1 {hall} [cameras.hall]" in lines
    assert "notice - default" in lines
    assert "camera yard: 0" in lines
    assert f"web_token *** {hall}" in lines
    assert not any(secret in text for secret in ("secretpath", "abcdefghijklmnop", ":secret@"))
    assert main(["config"]) == 0
    assert "no cameras: name sources with --source" in capsys.readouterr().out


def test_sources_of_the_command_line_come_before_tables(hall: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, f"--config={hall}", "hall=not-there.mp4", "clip.mp4")
    assert [(c["camera"], c["source"], c["played"]) for c in found["cameras"]] == [
        ("hall", "not-there.mp4", True),
        ("clip", "clip.mp4", True),
        ("yard", "0", False),
    ]
    assert found["cameras"][0]["name"] == "Haupteingang Süd"
    assert found["cameras"][0]["settings"]["fps"]["value"] == 10
    assert found["cameras"][1]["settings"]["fps"] == {"value": None, "from": "default"}


@pytest.mark.parametrize("name", ["config", "run", "producer", "sink"])
def test_a_mistake_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("emotion.toml").write_text('[cameras.hall]\nsource = "0"\nminface = 0.1\n')
    assert main([name, "--config=emotion.toml"]) == 2
    says = "emotion.toml, [cameras.hall]: unknown setting 'minface'; did you mean 'min_face'?"
    assert capsys.readouterr().err.strip() == f"emotion {name}: {says}"


def test_a_run_of_cameras_that_differ(tmp_path: Path) -> None:
    """One detector and one sink; three people, of whom one is near."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = sample_frames()[115]
    cv2.imwrite(str(folder / "0.png"), picture)
    (tmp_path / "emotion.toml").write_text(
        f"""
        jpeg_quality = 100
        min_face = 0.1
        detectors = 1
        output = ["jsonl=out.jsonl", "images=out"]
        [cameras.all]
        source = "{folder}"
        [cameras.near]
        source = "{folder}"
        name = "Süd"
        min_face = 0.38
        blur_faces = true
        """,
        encoding="utf-8",
    )
    env = {**os.environ, "EMOTION_CONFIG": "emotion.toml"}
    done = subprocess.run(
        command("run"), cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    faces = {record["name"]: [face["box"] for face in record["faces"]] for record in records}
    assert {name: len(boxes) for name, boxes in faces.items()} == {"all": 3, "Süd": 1}
    (x, y, width, height) = faces["Süd"][0]
    middle = np.s_[y + height // 3 : y + height * 2 // 3, x + width // 3 : x + width * 2 // 3]
    colours = {}
    for camera in ("all", "near"):
        (file,) = (tmp_path / "out" / camera).glob("*.jpg")
        drawn = cv2.imread(str(file))
        assert drawn is not None
        colours[camera] = float(np.abs(drawn[middle].astype(int) - picture[middle]).mean())
    assert colours["all"] < 3 < 10 < colours["near"], "only the camera that hides faces hides them"
