"""The stack that the tests of a module share."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import pytest

from tests.containers.stack import ROOT, Stack

FRAMES = 400


def _write_pictures(folder: Path) -> None:
    """Pictures of the sample clip, some under two names."""
    with av.open(str(ROOT / "samples" / "sample.mp4")) as container:
        for n, frame in enumerate(container.decode(video=0)):
            cv2.imwrite(str(folder / f"{n:05}.jpg"), frame.to_ndarray(format="bgr24"))
    for n in range(len(list(folder.glob("*.jpg"))), FRAMES):
        os.link(folder / f"{n % 250:05}.jpg", folder / f"{n:05}.jpg")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Built, and gone with all its volumes at the end."""
    media = tmp_path_factory.mktemp("media")
    made = Stack(f"emotiontest{os.getpid()}", media)
    _write_pictures(media)
    for folder in (media, *media.parents[:2]):
        folder.chmod(0o755)  # the producer is nobody here
    made.settings["PICTURES"] = str(media)
    started = time.monotonic()
    made.compose("--profile", "tools", "build", limit=600)
    print(f"\nbuilt in {time.monotonic() - started:.0f} s")
    yield made
    print(made.last_logs())
    made.compose("down", "--volumes", "--timeout", "10")
