"""Stands between the workers and the server and cuts connections at the worst moments."""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

Moment = Literal["request", "reply", "half"]
"""When to cut: before the server gets the command, before its answer is passed on, amid the answer."""


class Proxy:
    """Listens on one Unix socket and passes everything to another. `cuts` counts the connections cut by moment."""

    def __init__(self, path: Path, server: Path) -> None:
        self.url = f"unix://{path}"
        self.cuts: Counter[str] = Counter()
        self._server = server
        self._armed: list[tuple[bytes, Moment]] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def arm(self, word: bytes, moment: Moment) -> None:
        """Cut the connection on which the next command with `word` in it comes."""
        with self._lock:
            self._armed.append((word, moment))

    @property
    def armed(self) -> int:
        return len(self._armed)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                _Link(client, self)

    def take(self, chunk: bytes) -> Moment | None:
        """The moment to cut this connection, if anybody waits for what is in `chunk`."""
        with self._lock:
            for item in self._armed:
                if item[0] in chunk:
                    self._armed.remove(item)
                    self.cuts[item[1]] += 1
                    return item[1]
        return None

    def connect(self) -> socket.socket:
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(str(self._server))
        return upstream


class _Link:
    """One connection, with a thread for each direction."""

    def __init__(self, client: socket.socket, proxy: Proxy) -> None:
        self._client, self._proxy = client, proxy
        self._moment: Moment | None = None
        try:
            self._upstream = proxy.connect()
        except OSError:
            client.close()
            return
        for target in (self._up, self._down):
            threading.Thread(target=self._pump, args=(target,), daemon=True).start()

    def _pump(self, pump: Callable[[], None]) -> None:
        try:
            pump()
        except OSError:
            pass
        finally:
            for end in (self._client, self._upstream):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                if pump == self._down:
                    end.close()

    def _up(self) -> None:
        while chunk := self._client.recv(1 << 16):
            moment = self._proxy.take(chunk) if self._proxy.armed else None
            if moment == "request":
                return
            self._moment = moment
            self._upstream.sendall(chunk)

    def _down(self) -> None:
        while chunk := self._upstream.recv(1 << 16):
            if self._moment == "half":
                self._client.sendall(chunk[: max(1, len(chunk) // 2)])
            if self._moment is not None:
                return
            self._client.sendall(chunk)
