"""Loops of stages in threads of the test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from emotion_stream.shared.process.service import Service


@contextmanager
def running(run: Callable[[], None], service: Service) -> Iterator[Service]:
    """`run`, which ends when `service` is told to stop, in a thread; stopped at the end."""
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield service
    finally:
        service.stop.set()
        thread.join(10)
        assert not thread.is_alive()
