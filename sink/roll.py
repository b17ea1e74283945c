"""Which of the cameras that a sink has seen still send."""

import time
from collections.abc import Collection

LATE = 15.0
"""Seconds without a result after which a camera counts as away."""


class Roll:
    """A roll call of cameras, for the health check. `ended` are those that have come to their end."""

    def __init__(self) -> None:
        self.ended: Collection[str] = ()
        self._due: dict[str, float] = {}
        self._live: frozenset[str] = frozenset()

    def seen(self, camera: str, interval: float, live: bool = True) -> None:
        """A result of it has come; the next is expected `interval` seconds later. Whether it is `live`: a file may
        wait for as long as the pipeline is busy."""
        if (camera in self._live) != live:
            self._live = self._live | {camera} if live else self._live - {camera}
        self._due = {**self._due, camera: time.monotonic() + 2 * interval + LATE}

    def forget(self, camera: str) -> None:
        """This camera is gone, and nobody misses it."""
        self._live = self._live - {camera}
        self._due = {name: due for name, due in self._due.items() if name != camera}

    def states(self) -> dict[str, bool]:
        """Live cameras that have not ended, and whether results of them come."""
        due, now = self._due, time.monotonic()
        return {name: now <= due[name] for name in self._live if name not in self.ended}

    def check(self) -> tuple[bool, str]:
        """True, because a sink can work without cameras; and lines that say which are away."""
        due, now = self._due, time.monotonic()
        if not due:
            return True, ""
        away = [name for name, until in due.items() if now > until and name not in self.ended]
        lines = [f"cameras: {len(due) - len(away)} of {len(due)}", *(f"{name}: no results" for name in away)]
        return True, "".join(f"{line}\n" for line in lines)
