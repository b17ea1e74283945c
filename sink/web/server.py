"""The page's server: uvicorn on a thread of its own, with an event loop of its own."""

import asyncio
import logging
import socket
import threading
import time
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from emotion_stream.shared.words.words import Words, asked
from emotion_stream.sink.web.app import make_app
from emotion_stream.sink.web.areas import Keep
from emotion_stream.sink.web.http.address import Access
from emotion_stream.sink.web.http.assets import Pages
from emotion_stream.sink.web.http.connections import Connection, Counts
from emotion_stream.sink.web.http.security import Guard
from emotion_stream.sink.web.hub import Hub
from emotion_stream.sink.web.live import Bell, Seats
from emotion_stream.sink.web.pictures import Gallery

START_SECONDS = 10.0
FAREWELL_SECONDS = 3.0
"""For viewers to be told that the run has ended, and for what they have begun to fetch."""
KEEPSAKE_SECONDS = 2.0
"""For pages that have just been told to begin fetching the results."""
CONNECTIONS_EACH = 8
"""Connections open at once, for every viewer allowed; half of them for one client at the most."""
MOST_HEADER_BYTES = 16 * 1024

log = logging.getLogger(__name__)


class WebServer:
    """Serves a hub on a bound socket until it is stopped."""

    def __init__(
        self,
        hub: Hub,
        sock: socket.socket,
        access: Access,
        viewers: int,
        root_path: str = "",
        words: Words | None = None,
        keep: Keep | None = None,
    ) -> None:
        """`words` is the language; None: that of each browser. `keep` saves areas; None: nobody may."""
        self._hub = hub
        self._socket = sock
        self._gallery = Gallery(hub.notice)
        self._bell: Bell | None = None
        pages = Pages(lambda accept: words or asked(accept))
        self._seats = Seats(viewers)
        app = make_app(hub, self._gallery, self._own_bell, self._seats, pages, root_path, keep)
        port = int(sock.getsockname()[1])
        connections = max(64, CONNECTIONS_EACH * viewers)
        protocol = partial(Connection, Counts(connections // 2))
        self._server = uvicorn.Server(
            uvicorn.Config(
                cast(Any, Guard(cast(ASGIApp, app), access, port, pages.denied, root_path)),
                http=cast(Any, protocol),
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",  # the guard logs what goes wrong here; what clients do wrong is theirs
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=int(FAREWELL_SECONDS),
                limit_concurrency=connections,
                h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            )
        )
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Return once requests are answered."""
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            log.warning("the web page is slow to start")

    def stop(self, *, over: bool = True) -> None:
        """Tell the viewers that the run is `over`, or hang up on them so that they come again, and stop. May be
        called twice."""
        if self._socket.fileno() < 0:
            return
        watched = over and self._seats.taken > 0
        if over:
            self._hub.end()
        else:
            self._hub.leave()
        deadline = time.monotonic() + FAREWELL_SECONDS
        while self._seats.taken and time.monotonic() < deadline:
            time.sleep(0.02)
        if watched:
            time.sleep(KEEPSAKE_SECONDS)
        self._server.should_exit = True
        self._thread.join(FAREWELL_SECONDS + 2)
        self._gallery.close()
        self._socket.close()

    def _own_bell(self) -> Bell:
        if self._bell is None:
            raise RuntimeError("the server does not run")
        return self._bell

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._bell = Bell(loop)
        self._hub.changed = self._bell.ring
        serving = loop.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.005)
        self._started.set()
        await serving
