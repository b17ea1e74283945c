"""Fixtures of the tests in this room."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "emotion_stream", *arguments]


Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Launch]:
    """Starts `emotion` in the background; what still runs at the end of the test is killed."""
    started = []

    def launch(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield launch
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
