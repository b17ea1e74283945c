"""A camera that may not be opened says which group may."""

import grp
import os
import sys
from pathlib import Path

import pytest

from emotion_stream.producer.cameras.permission import denied
from emotion_stream.producer.sources import spec as spec_module
from emotion_stream.producer.sources.spec import check_cameras, parse_sources
from emotion_stream.shared.errors import EmotionError

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has a file for each camera"
)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A camera's file that belongs to a group which we are not in; whoever runs this may be root, who may all."""
    path = tmp_path / "video3"
    path.touch(0o660)
    monkeypatch.setattr(os, "access", lambda name, how: Path(name) != path)
    return path


def test_the_group_to_join(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "exists", lambda name: name != "/.dockerenv")
    group = grp.getgrgid(device.stat().st_gid).gr_name
    assert denied(3, device.parent) == (
        f"no permission for {device}: join the group {group} (sudo usermod -aG {group} $USER), then log in again"
    )
    assert denied(4, device.parent) is None, "it is not there"


def test_a_group_without_a_name_is_joined_by_number(device: Path) -> None:
    try:
        os.chown(device, -1, 54321)
    except PermissionError:
        pytest.skip("only root gives files away")
    told = denied(3, device.parent)
    assert told is not None
    assert "VIDEO_GROUP=54321 in .env" in told


def test_it_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec_module, "denied", lambda index: "no permission for /dev/video0: join")
    monkeypatch.setattr(os.path, "exists", lambda name: True)
    with pytest.raises(EmotionError, match="source 0: no permission for /dev/video0: join"):
        check_cameras(parse_sources(["hall=0"]))
