"""Areas written back into a settings file: everything else stays as it was."""

import stat
import tomllib
from pathlib import Path

import pytest

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.areas import parse_polygon
from emotion_stream.shared.settings.cameras import load_cameras
from emotion_stream.shared.settings.writing import save_areas, with_areas

WINDOW, PLANT, DOOR = (
    parse_polygon(t) for t in ("0,0 0.3,0 0.3,0.4 0,0.4", "0.5,0.5 0.6,0.5 0.6,0.6", "0,0 1,0 1,1")
)
FILE = """# our cameras
fps = 10   # enough

[cameras.hall]   # the hall
source = "rtsp://a:b@c/d"
ignore = [
    "0,0 0.30,0 0.3,0.4 0,0.4",  # the neighbour's window
    "0.5,0.5 0.6,0.5 0.6,0.6",
]

[cameras.hall.zones]
door = "0,0 1,0 1,1"  # the front door

[cameras.yard]
source = "1"
"""


def test_only_what_differs_is_written() -> None:
    assert with_areas(FILE, "hall", (WINDOW, PLANT), (("door", DOOR),)) == FILE
    changed = with_areas(FILE, "hall", (WINDOW, DOOR), (("door", DOOR), ("till 1", PLANT)))
    for kept in (
        "# our cameras",
        "fps = 10   # enough",
        "# the neighbour's window",
        "# the front door",
        '"0,0 0.30,0',
    ):
        assert kept in changed
    assert '"till 1" = "0.5,0.5 0.6,0.5 0.6,0.6"' in changed
    hall = tomllib.loads(changed)["cameras"]["hall"]
    assert hall["ignore"] == ["0,0 0.30,0 0.3,0.4 0,0.4", "0,0 1,0 1,1"]
    bare = tomllib.loads(with_areas(FILE, "hall", (), ()))["cameras"]
    assert bare == {"hall": {"source": "rtsp://a:b@c/d"}, "yard": {"source": "1"}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "source = ['hall=0']",
        "cameras = { hall = { fps = 3 } }",
        "cameras.hall.fps = 3\n[cameras.yard]\nfps = 2\n",
        '[cameras.hall]\nignore = "0,0 1,0 1,1"\nzones = { a = "0,0 1,0 1,1" }\n',
        '[cameras]\nhall.fps = 3\r\nhall.zones.a = "0,0 1,0 1,1"\r\n',
    ],
)
def test_whatever_a_file_looks_like(text: str) -> None:
    for camera in ("hall", "x.y"):
        before = tomllib.loads(text).get("cameras", {}).get(camera, {})
        after = tomllib.loads(with_areas(text, camera, (WINDOW,), (("tür", PLANT),)))["cameras"][camera]
        assert after["ignore"] == ["0,0 0.3,0 0.3,0.4 0,0.4"]
        assert after["zones"] == {"tür": "0.5,0.5 0.6,0.5 0.6,0.6"}
        assert {**after, "ignore": 0, "zones": 0} == {**before, "ignore": 0, "zones": 0}


def test_a_file_is_replaced_in_one_step_with_its_rights(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "link.toml"
    real.write_text(FILE)
    real.chmod(0o640)
    link.symlink_to(real)
    with real.open() as before:
        save_areas(link, "yard", (DOOR,), ())
        assert before.read() == FILE  # who had it open still reads the old one
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [camera.settings.ignore for camera in load_cameras(link)] == [(WINDOW, PLANT), (DOOR,)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.toml", "real.toml"]


@pytest.mark.parametrize("text", ["[cameras.hall\n", "cameras = 3", "[cameras.hall]\nnonsense = 1"])
def test_what_cannot_be_changed_stays_and_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(EmotionError, match=r"s\.toml|the file"):
        save_areas(file, "hall", (DOOR,), ())
    assert file.read_text() == text
    with pytest.raises(EmotionError, match="cannot be written"):
        save_areas(tmp_path / "none" / "s.toml", "hall", (DOOR,), ())
