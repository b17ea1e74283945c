"""The simulated year (`make year`), but only some days of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sink.retention.disks import ROOT, can_mount


def test_some_days_of_a_year(tmp_path: Path) -> None:
    if not can_mount(tmp_path / "try"):
        pytest.skip("no file system can be mounted here without being root of the machine")
    days = {"YEAR_DAYS": "20", "YEAR_FRAMES": "8", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.year"],
        cwd=ROOT,
        env={**os.environ, **days},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
