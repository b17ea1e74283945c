"""Fixtures of the tests in this room."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.shard import Streams
from tests.producer.test_sources import encoded, noise

Factory = Callable[..., Streams]


@pytest.fixture
def factory(server: EmbeddedServer, streams: Streams) -> Iterator[Factory]:
    """Makes streams of the test's own namespace, each on its own connection."""
    with ExitStack() as stack:

        def make(camera: str = "") -> Streams:
            client = connect(server.url)
            stack.callback(client.close)
            return Streams(client, streams.keys)

        yield make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 pictures, number 7 of them corrupt."""
    path = tmp_path / "pics"
    path.mkdir()
    jpeg = encoded(".jpg", noise())
    for n in range(40):
        (path / f"img{n}.jpg").write_bytes(b"no JPEG" if n == 7 else jpeg)
    return path
