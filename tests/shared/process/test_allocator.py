"""The memory of one picture serves for the next."""

import os
import platform
import subprocess
import sys

import pytest

PICTURES = """
import resource
import sys

import numpy as np

from emotion_stream.shared.process.allocator import keep_pictures

if sys.argv[1] == "keep":
    keep_pictures()
before = None
for number in range(120):
    first, second = (np.ones((1080, 1920, 3), np.uint8) for _ in range(2))
    if number == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    del first, second
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 100)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_pictures_take_no_new_pages() -> None:
    own = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")  # what would set it otherwise
    environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}

    def faults(way: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", PICTURES, way],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env=environ,
        )
        return int(done.stdout)

    assert faults("keep") < 50
    assert faults("leave") > 200  # else glibc keeps them by itself, and we need not ask for it
