"""`emotion cameras`. There may be no camera here: a clip, opened as OpenCV opens devices, stands in for one."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import cv2
import pytest

from emotion_stream.emotion.__main__ import main
from emotion_stream.emotion.commands.cameras import Camera, indices, missing, probe, table
from tests.support.pictures import SAMPLE, sample_frames


def opener(index: int) -> cv2.VideoCapture:
    """Index 1 is not there, 3 has nothing more to deliver."""
    device = cv2.VideoCapture("" if index == 1 else str(SAMPLE))
    while index == 3 and device.grab():
        pass
    return device


def test_every_index_that_opens_is_told_beyond_gaps(tmp_path: Path) -> None:
    (tmp_path / "video2").mkdir()
    (tmp_path / "video2" / "name").write_text("Integrated Camera: Front\n")
    height, width = sample_frames()[0].shape[:2]
    found = probe([0, 1, 2, 3], opener, tmp_path)
    assert [c.index for c in found] == [0, 2, 3]
    assert [c.readable for c in found] == [True, True, False]
    assert [c.name for c in found] == [None, "Integrated Camera: Front", None]
    assert {(c.width, c.height) for c in found} == {(width, height)}
    assert all(c.fps is not None and c.fps > 1 for c in found)


def test_indices_are_those_of_the_devices_that_are_there(tmp_path: Path) -> None:
    for name in ("video10", "video2", "video0", "videoX", "video", "null"):
        (tmp_path / name).touch()
    assert indices("linux", tmp_path) == [0, 2, 10]
    assert indices("linux", tmp_path / "gone") == []
    assert indices("darwin", tmp_path) == list(range(10))


def test_the_table_has_a_row_for_each_camera() -> None:
    cameras = [Camera(0, 1280, 720, 30.0, "Front", True), Camera(12, 0, 0, None, None, False)]
    rows = table(cameras).splitlines()
    assert rows[1].split() == ["0", "1280", "x", "720", "30", "fps", "yes", "Front"]
    assert rows[2].split() == ["12", "0", "x", "0", "unknown", "none", "-"]
    assert json.loads(json.dumps(asdict(cameras[1])))["fps"] is None


def test_what_to_try_depends_on_what_is_there() -> None:
    assert "plug one in" in missing([])
    if sys.platform.startswith("linux"):
        assert "/dev/video0, /dev/video2 does not open" in missing([0, 2])


@pytest.mark.skipif(bool(indices()), reason="there are devices here")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_without_a_camera_the_command_ends_at_once(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    assert main(["cameras", *flags]) == 1
    assert time.monotonic() - started < 1
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("emotion cameras: no camera found: ")
    assert "--source sample" in err
