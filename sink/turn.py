"""Which of the processes of one sink is the active one: it holds a lease, and the others stand by."""

import logging
import time
from collections.abc import Callable

from emotion_stream.shared.process.service import Service
from emotion_stream.shared.streams.access import LeaseLost
from emotion_stream.shared.streams.shard import Streams

log = logging.getLogger(__name__)

LEASE_SECONDS = 5.0


class Turn:
    """This process's claim to be the active one."""

    def __init__(self, streams: Streams, service: Service, name: str, check_alone: Callable[[], None]) -> None:
        """`name` is the sink's; `check_alone` is called where the lease had run out, and raises `LeaseLost` where
        another process has shown something meanwhile."""
        self.held_until = 0.0
        self._streams = streams
        self._service = service
        self._name = name
        self._check_alone = check_alone

    def wait(self) -> bool:
        """Wait for the lease. False: told to stop meanwhile."""
        waiting = False
        while not self._lease():
            if not waiting:
                log.info("another process is the active sink %r: standing by", self._name)
            waiting = True
            self._service.tick(self._streams)
            if self._service.stop.wait(0.5):
                return False
        return True

    def check(self) -> None:
        """Check before anything is written that no other process has taken over: this one may have stood still for
        long.

        Raises:
            LeaseLost: it has.
        """
        if time.monotonic() > self.held_until:
            self.renew()

    def renew(self) -> None:
        """Hold the lease for longer.

        Raises:
            LeaseLost: another process has it, or had it.
        """
        lapsed = time.monotonic() > self.held_until
        if not self._lease():
            raise LeaseLost(f"sink {self._name!r} has been taken over by another process")
        if lapsed:
            self._check_alone()

    def give_back(self) -> None:
        """Let another process be the active one."""
        self._streams.release(f"sink:{self._name}", self._service.worker)

    def _lease(self) -> bool:
        asked = time.monotonic()
        held = self._streams.lease(f"sink:{self._name}", self._service.worker, LEASE_SECONDS)
        if held:
            self.held_until = asked + LEASE_SECONDS
        return held
