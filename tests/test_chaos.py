"""The chaos program in its short form, as `make chaos` runs it, and whether it sees what it looks for."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.lossless import MOST_IDLE, least_busy


@pytest.mark.timeout(900)
def test_nothing_is_lost_whatever_happens(tmp_path: Path) -> None:
    env = {**os.environ, "CHAOS_KEEP": str(tmp_path / "logs")}
    command = [sys.executable, "-m", "tests.chaos"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, env=env, check=False)
    print(done.stdout)  # with the seed
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_process_that_spins_is_told_from_one_that_starts() -> None:
    """It is looked at until it is quiet: one that imports its libraries soon is, one that spins never."""
    began = time.monotonic()

    def used() -> dict[str, float]:
        passed = time.monotonic() - began
        return {"starts": min(passed, 1.5), "spins": passed, "spins half": passed / 2, "waits": passed / 50}

    busy = least_busy(used, 3)
    assert busy["starts"] < MOST_IDLE > busy["waits"]
    assert busy["spins"] > busy["spins half"] >= MOST_IDLE
