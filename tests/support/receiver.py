"""A web server that gets webhooks, and does with them what a test says."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """A web server. `behave` answers a request, or does something else with it.

    Attributes:
        requests: headers and body of each, in the order of their coming.
        answered: ids of the events of each request that got an answer below 500.
    """

    behave: Callable[["Handler", int], None]
    requests: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/SECRETPATH?token=abc"

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]


class Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        number = len(self.receiver.requests)
        self.receiver.requests.append((dict(self.headers.items()) | {"path": self.path}, body))
        self.receiver.behave(self, number)

    def answer(self, status: int, **headers: str) -> None:
        body = self.receiver.requests[-1][1]
        if status < 500:
            self.receiver.answered += [event["id"] for event in json.loads(body)["events"]]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *about: Any) -> None:
        """Tests are silent."""


@contextmanager
def serving(behave: Callable[[Handler, int], None], trust: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A server, over TLS with `trust`."""
    receiver = Receiver(behave)
    handler = type("Own", (Handler,), {"receiver": receiver})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *about: None  # type: ignore[method-assign]  # it hangs up on purpose
    if trust is not None:
        server.socket = trust.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
