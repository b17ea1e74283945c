"""Files that are written at once: whole, or as they were before."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.shared.whole import write_whole
from tests.emotion.conftest import command
from tests.sink.retention.disks import can_mount, within


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder that will be a small file system."""
    if not can_mount(tmp_path / "try"):
        pytest.skip("no file system can be mounted here without being root of the machine")
    return tmp_path / "small"


def test_a_picture_that_does_not_fit_leaves_what_was_there(small: Path, tmp_path: Path) -> None:
    photo, target = tmp_path / "photo.png", small / "out.png"
    cv2.imwrite(str(photo), np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8))
    script = 'echo old > "$0"; "$@"; echo "code $?"; ls -A "$(dirname "$0")"; cat "$0"'
    picture = command("picture", str(photo), "--output", str(target), "--force")
    done = within(small, "64k", "sh", "-c", script, str(target), *picture)
    assert f"cannot write {target}: No space left on device" in done.stderr
    assert done.stdout.splitlines()[-3:] == ["code 1", "out.png", "old"]


def test_a_report_that_does_not_fit_does_not_take_the_summary_with_it(small: Path, tmp_path: Path) -> None:
    pictures, summary = tmp_path / "pictures", tmp_path / "summary.json"
    pictures.mkdir()
    (pictures / "none.jpg").write_text("no picture")
    files = ("--report", f"{small}/page.html", "--summary-json", str(summary))
    done = within(small, "4k", *command("run", "--source", str(pictures), *files))
    assert done.returncode == 1
    assert "frames       1 (1 unreadable)" in done.stderr
    assert done.stderr.endswith(f"the report cannot be written: {small}/page.html: No space left on device\n")
    assert json.loads(summary.read_text())["frames"] == 1


def test_links_rights_and_devices(tmp_path: Path) -> None:
    target, link = tmp_path / "a.html", tmp_path / "link.html"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target.name)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o600)
    write_whole(Path(os.devnull), b"new")
    assert not Path(os.devnull).is_file()
    with pytest.raises(OSError, match=r"No such file or directory: '.*there\.html'"):
        write_whole(tmp_path / "not" / "there.html", b"new")


def test_a_folder_that_takes_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may have one file of a folder alone: nothing can take its place."""
    target = tmp_path / "page.html"
    target.write_text("old")

    def refuse(part: Path, path: Path) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(os, "replace", refuse)
    write_whole(target, b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]
