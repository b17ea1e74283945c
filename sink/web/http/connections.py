"""Connections that cannot be held open for nothing: limits per client, and patience with slow ones."""

import asyncio
from collections import Counter
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

REQUEST_PATIENCE = 10.0
"""Seconds within which a request must have come."""
SEND_PATIENCE = 20.0
"""Seconds for which a client may take nothing of what waits for it."""


class Counts:
    """Open connections by client address."""

    def __init__(self, per_client: int) -> None:
        self.per_client = per_client
        self.open: Counter[str] = Counter()


class Connection(H11Protocol):
    """One connection: hung up on where its client has too many, sends no whole request, or takes no answer."""

    def __init__(
        self,
        counts: Counts,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._counts = counts
        self._peer = ""
        self._request_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and hang up if its client has too many."""
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        self._counts.open[self._peer] += 1
        if self._counts.open[self._peer] > self._counts.per_client:
            transport.abort()
        else:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection no longer, and stop its clocks."""
        self._counts.open[self._peer] -= 1
        if self._counts.open[self._peer] <= 0:
            del self._counts.open[self._peer]
        self._await_request(False)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass the bytes on, and start or stop the clock for a whole request."""
        super().data_received(data)
        self._await_request(self.cycle is None or self.cycle.response_complete)

    def pause_writing(self) -> None:
        """Start the clock for a client that takes no answer."""
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(SEND_PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None
        super().resume_writing()

    def _await_request(self, wanted: bool = True) -> None:
        if not wanted and self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None
        elif wanted and self._request_timer is None:
            self._request_timer = self.loop.call_later(REQUEST_PATIENCE, self.transport.abort)
