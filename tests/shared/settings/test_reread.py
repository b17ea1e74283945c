"""The settings file, read again while a process runs."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.settings.cameras import cameras_of, find_cameras
from emotion_stream.shared.settings.reread import LOOK_EVERY, Reread, line_of, with_line

TEXT = """\
fps = 3
[cameras.hall]
source = "0"

[cameras."back.door"]
# fps = 1
source = "1"
fps = 2
  [cameras."back.door".zones]
  door = "0,0 1,0 1,1"
[cameras.yard]
fps = 9
"""


def names(values: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(camera.id for camera in cameras_of(values))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(TEXT)
    return path


def test_it_is_read_again_where_somebody_asks(settings: Path) -> None:
    asked = Event()
    reread = Reread({"config": str(settings)}, asked)
    assert reread.news(names) is None
    asked.set()
    assert reread.news(names) == ("hall", "back.door", "yard")
    assert reread.news(names) is None
    settings.write_text("[cameras.attic]\nsource = '0'\n")
    assert reread.news(names) is None, "nobody watches it"
    asked.set()
    assert reread.news(names) == ("attic",)


def test_it_is_read_by_itself_when_it_has_changed_and_rests(settings: Path) -> None:
    clock = Clock()
    reread = Reread({"config": str(settings)}, Event(), watch=True, clock=clock)

    def look() -> tuple[str, ...] | None:
        clock.now += LOOK_EVERY
        return reread.news(names)

    assert look() is None
    settings.write_text("[cameras.attic]\n")
    assert look() is None, "somebody may be writing it still"
    settings.write_text("[cameras.attic]\nfps = 1\n")
    assert look() is None
    assert look() == ("attic",)
    assert look() is None
    settings.unlink()  # as editors do before they put another one in its place
    assert (look(), look()) == (None, None)
    target = settings.with_name("..data")
    target.write_text("[cameras.cellar]\n")
    settings.symlink_to(target)  # as Kubernetes has it
    assert (look(), look()) == (None, ("cellar",))
    other = settings.with_name("..new")
    other.write_text("[cameras.garage]\n")
    os.replace(other, target)
    assert (look(), look()) == (None, ("garage",))


def test_what_changes_while_a_process_begins_is_read(settings: Path) -> None:
    values: dict[str, Any] = {"config": str(settings)}
    values["cameras"] = find_cameras(values)
    for text, found in ((TEXT, None), ("[cameras.attic]\n", ("attic",))):
        settings.write_text(text)
        clock = Clock()
        reread = Reread(values, Event(), watch=True, clock=clock)
        clock.now += LOOK_EVERY
        assert reread.news(names) == found
        clock.now += LOOK_EVERY
        assert reread.news(names) is None


def test_a_mistake_is_told_with_its_line_and_looked_at_once(
    settings: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    reread = Reread({"config": str(settings)}, Event(), watch=True, clock=clock)
    settings.write_text(TEXT + "min_fac = 3\n")
    for _ in range(5):
        clock.now += LOOK_EVERY
        assert reread.news(names) is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    begin = f"the cameras stay as they are: {settings}, line 13, [cameras.yard]: unknown setting 'min_fac'"
    assert record.getMessage() == f"{begin}; did you mean 'min_face'?"


def test_settings_that_need_a_restart_are_told_in_one_line(
    settings: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Event()
    reread = Reread({"config": str(settings)}, asked)
    settings.write_text("max_width = 640\n" + TEXT.replace("fps = 3\n", ""))
    for _ in range(2):
        asked.set()
        assert reread.news(names) == ("hall", "back.door", "yard")
    (record,) = caplog.records
    assert record.getMessage().startswith("fps, max_width: changed, which needs a restart")


def test_without_a_file_there_is_nothing_to_read(caplog: pytest.LogCaptureFixture) -> None:
    asked = Event()
    asked.set()
    assert Reread({}, asked, watch=True).news(names) is None
    assert "--config names one" in caplog.text


def test_cameras_of_a_file_of_their_own(settings: Path, tmp_path: Path) -> None:
    apart, asked = tmp_path / "cameras.toml", Event()
    apart.write_text("[cameras.hall]\nsource = '0'\n")
    settings.write_text("fps = 3\n")
    reread = Reread({"config": str(settings), "cameras_file": str(apart), "only_cameras": ("yard",)}, asked)
    apart.write_text("[cameras.hall]\n[cameras.yard]\n")
    asked.set()
    assert reread.news(names) == ("yard",)


@pytest.mark.parametrize(
    ("camera", "key", "line"),
    [
        ("hall", "source", 3),
        ("back.door", "fps", 8),
        ("back.door", "zones", 5),
        ("yard", "fps", 12),
        ("yard", "source", 11),
        ("hall", None, 2),
        ("attic", None, None),
        (None, "fps", 1),
        (None, "sorce", None),
    ],
)
def test_the_line_of_a_setting(camera: str | None, key: str | None, line: int | None) -> None:
    assert line_of(TEXT, camera, key) == line


def test_messages_that_know_their_place_stay(settings: Path) -> None:
    for message in ("nothing is wrong", f"settings file {settings} is not TOML: x (at line 3, column 1)"):
        assert with_line(message, (settings,)) == message
    told = "[cameras.hall], source: source 0: no such camera"
    assert with_line(told, (settings,)) == f"{settings}, line 3, {told}"
    with pytest.raises(UsageError):
        raise UsageError(with_line(told, ()))
