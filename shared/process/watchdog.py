"""Ends this process when one batch takes so long that it must be stuck."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

EXIT_STUCK = 70
"""Exit code (EX_SOFTWARE of sysexits.h) of a process that its watchdog ended."""


class Watchdog:
    """While `guard()` is held for longer than `limit` seconds, the process exits at once.

    Only the end of the process stops code that hangs inside a native library. The messages it held stay
    pending and go to another worker.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._deadline: float | None = None
        self._what = ""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Give the code inside `limit` seconds. `what` is for the log."""
        self._what = what
        self._deadline = time.monotonic() + self.limit
        try:
            yield
        finally:
            self._deadline = None

    def _watch(self) -> None:
        while True:
            time.sleep(min(0.25, self.limit / 4))
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                log.critical("stuck for more than %g s in %s: ending this process", self.limit, self._what)
                logging.shutdown()
                os._exit(EXIT_STUCK)
