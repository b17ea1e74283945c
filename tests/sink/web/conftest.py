"""Fixtures of the tests in this room."""

from collections.abc import Callable, Iterator

import pytest

from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.sink.web.http.address import Address
from emotion_stream.sink.web.output import Web

Serve = Callable[..., Web]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Makes a page on a free port; pages still open at the end of the test are closed."""
    made = []

    def start(*cameras: str, options: WebOptions | None = None, notice: str = "") -> Web:
        made.append(Web(Address(port=0), options or WebOptions(), cameras, notice))
        return made[-1]

    yield start
    for web in made:
        web.close()
