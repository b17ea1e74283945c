"""Metrics and health of a process over HTTP: /metrics, /livez, /readyz, and routes of one's own."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from emotion_stream.shared.errors import EmotionError

CLIENT_TIMEOUT = 5.0
"""Seconds without a byte after which a client is hung up on."""
PLAIN = "text/plain; charset=utf-8"

Route = Callable[[], tuple[str, bytes]]
"""Returns a content type and a body."""

log = logging.getLogger(__name__)


class Heartbeat:
    """Shows that a loop makes progress: the loop calls `beat`, the health check asks for `age`."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def beat(self) -> None:
        """Say that the loop has come round."""
        self._last = time.monotonic()

    def age(self) -> float:
        """Seconds since the last beat, or since this object was made."""
        return time.monotonic() - self._last


class HealthServer:
    """Serves the health of a process on a daemon thread.

    `/livez` answers 200 or 503 as `live()` says, `/readyz` as `ready()` does, `/metrics` gives the registry in the
    format that the client asks for, and `routes` adds paths. `live` should follow the loop's progress
    (`heartbeat.age() < limit`): a process that merely exists proves nothing. What `about()` says, whole lines, is
    added to the answer of `/readyz`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        live: Callable[[], bool],
        ready: Callable[[], bool],
        routes: Mapping[str, Route] | None = None,
        about: Callable[[], str] = lambda: "",
    ) -> None:
        self._host = host
        self._port = port
        self._registry = registry
        self._routes: dict[str, Route] = dict(routes or {})
        self._about = about
        self._checks = {"/livez": (live, b"live\n", b"stuck\n"), "/readyz": (ready, b"ready\n", b"unready\n")}
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """The port served on; the one asked for before `start`."""
        return self._port if self._server is None else int(self._server.server_address[1])

    def start(self) -> None:
        """Bind and serve.

        Raises:
            EmotionError: the address cannot be had.
        """
        try:
            self._server = _Server(self._host, self._port, self)
        except (OSError, UnicodeError) as e:
            why = getattr(e, "strerror", None) or e
            raise EmotionError(
                f"cannot serve metrics on {self._host}:{self._port} ({why}): choose another --metrics-port"
            ) from e
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and free the port. May be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a request."""
        if path in self._checks:
            check, good, bad = self._checks[path]
            told = self._about().encode() if path == "/readyz" else b""
            return (200, PLAIN, good + told) if check() else (503, PLAIN, bad + told)
        if path == "/metrics":
            encoder, content_type = choose_encoder(accept)
            return 200, content_type, encoder(self._registry)
        if path in self._routes:
            content_type, body = self._routes[path]()
            return 200, content_type, body
        return 404, PLAIN, b"unknown\n"


class _Server(ThreadingMixIn, TCPServer):
    """Not HTTPServer, because that one looks its own name up in the DNS when it starts."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, host: str, port: int, health: HealthServer) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.health = health
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a client of the health port went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_TIMEOUT

    def do_GET(self) -> None:
        try:
            status, content_type, body = self.server.health.answer(
                self.path.partition("?")[0], self.headers.get("Accept", "")
            )
        except Exception:  # a failing check is an answer, too: not healthy
            log.warning("request for %s failed", self.path[:80], exc_info=True)
            status, content_type, body = 503, PLAIN, b"failed\n"
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def version_string(self) -> str:
        return "emotion"

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)
