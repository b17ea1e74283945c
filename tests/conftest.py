"""A real server for every test that wants one, and messages to put into it."""

import importlib.machinery
import importlib.util
import itertools
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import cast

import cv2
import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, settings

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.messages.types import Frame, FrameInfo
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams

_numbers = itertools.count()

# How fast a machine is must not decide whether a test passes.
settings.register_profile("plain", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
settings.load_profile("plain")


@pytest.fixture(autouse=True)
def _hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs in this process takes these over; the next test's errors are pytest's again."""
    for owner, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """An embedded server for the whole test session."""
    with tempfile.TemporaryDirectory(prefix="emotion-test-") as directory:
        embedded = EmbeddedServer(Path(directory), memory=256 << 20, durable=True)
        embedded.start()
        yield embedded
        embedded.stop()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder for sockets: their paths have 107 letters at the most, and those of `tmp_path` grow long."""
    with tempfile.TemporaryDirectory(prefix="emotion-test-") as directory:
        yield Path(directory)


def program(name: str) -> ModuleType:
    """A program of deploy/, which belongs to no package."""
    path = Path(__file__).resolve().parents[1] / "deploy" / name
    loader = importlib.machinery.SourceFileLoader(path.stem, str(path))
    spec = importlib.util.spec_from_loader(path.stem, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def secrets() -> ModuleType:
    """deploy/make_secrets.py."""
    return program("make_secrets.py")


@pytest.fixture
def client(server: EmbeddedServer) -> "Iterator[redis.Redis]":
    connection = connect(server.url)
    yield connection
    connection.close()


@pytest.fixture
def streams(client: "redis.Redis") -> Streams:
    """Streams in a namespace of the test's own."""
    return Streams(client, Keys(f"test{next(_numbers)}"))


def make_jpeg(width: int = 64, height: int = 48, shade: int = 128) -> bytes:
    ok, data = cv2.imencode(".jpg", np.full((height, width, 3), shade, np.uint8))
    assert ok
    return data.tobytes()


def make_frame(seq: int = 0, camera: str = "cam", epoch: str = "run", **changes: object) -> Frame:
    """A lossless frame of one plain picture."""
    info = FrameInfo(camera, "test", epoch, seq, 1e9 + seq, seq / 10, 64, 48, "lossless")
    return Frame(replace(info, **changes), make_jpeg())  # type: ignore[arg-type]


def append_frames(streams: Streams, count: int, camera: str = "cam") -> list[str]:
    """Append `count` lossless frames; returns their stream ids."""
    assert streams.lease(f"camera:{camera}", "me", 60)
    ids = [streams.append_frame(make_frame(seq, camera), "me", ttl=60) for seq in range(count)]
    assert None not in ids
    return [i for i in ids if i]


def entries(streams: Streams, stream: str) -> list[tuple[str, dict[bytes, bytes]]]:
    """All entries of a stream, with their ids."""
    found = cast(list[tuple[bytes, dict[bytes, bytes]]], streams.client.xrange(stream))
    return [(i.decode(), fields) for i, fields in found]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The marker `needs`: what only the train extra brings. `make test-training` runs the tests that have it."""
    for module in {module for marker in item.iter_markers("needs") for module in marker.args}:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (the train extra)")
