"""The chaos program in its short form, as `make chaos` runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["lossless", "real", "live"])
def test_nothing_is_lost_whatever_happens(kind: str, tmp_path: Path) -> None:
    env = {**os.environ, "CHAOS_KEEP": str(tmp_path / "logs")}
    command = [sys.executable, "-m", "tests.chaos", kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, env=env, check=False)
    print(done.stdout)  # with the seed
    assert done.returncode == 0, done.stdout + done.stderr
