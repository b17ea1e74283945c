"""One POST, from the connection to the answer within a time that holds for all of it together."""

import hmac
import http.client
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from emotion_stream import __version__
from emotion_stream.shared.errors import UsageError


@dataclass(frozen=True, slots=True)
class Hook:
    """Where to: `shown` is what may be told of it, because a path, too, may be a secret."""

    scheme: str
    host: str
    port: int | None
    path: str
    authorization: str
    shown: str


def parse_hook(url: str) -> Hook:
    """Read the address of a webhook.

    Raises:
        UsageError: it is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https") or any(c <= " " or c > "~" for c in url):
        raise UsageError("output webhook=...: name an address such as webhook=https://host/path")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    basic = f"Basic {b64encode(user.encode()).decode()}" if parts.username else ""
    where = f"[{host}]" if ":" in host else host
    return Hook(parts.scheme, host, port, path, basic, f"{parts.scheme}://{where}{f':{port}' if port else ''}")


def sign(body: bytes, secret: str) -> str:
    """The value of `X-Signature`: HMAC-SHA256 of the body, in hexadecimal. Pure."""
    return f"sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}"


class Post:
    """One request. `abort` may be called by any thread."""

    def __init__(self, hook: Hook, seconds: float, trust: ssl.SSLContext | None = None) -> None:
        self._hook = hook
        self._seconds = seconds
        self._over = False
        self._connection: http.client.HTTPConnection
        if hook.scheme == "https":
            self._connection = http.client.HTTPSConnection(hook.host, hook.port, timeout=seconds, context=trust)
        else:
            self._connection = http.client.HTTPConnection(hook.host, hook.port, timeout=seconds)

    def send(self, body: bytes, headers: Mapping[str, str]) -> int:
        """The status that was answered. Redirects are not followed.

        Raises:
            OSError: no connection, or no answer in time.
            HTTPException: what was answered is no HTTP.
        """
        about = {
            "Content-Type": "application/json",
            "User-Agent": f"emotion-stream/{__version__}",
            "Connection": "close",
            **({"Authorization": self._hook.authorization} if self._hook.authorization else {}),
            **headers,
        }
        # The connection's own time-out begins anew with every byte.
        timer = threading.Timer(self._seconds, self.abort)
        timer.daemon = True
        timer.start()
        try:
            self._connection.request("POST", self._hook.path, body, about)
            return self._connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError) as e:
            if self._over:
                raise TimeoutError(f"no answer within {self._seconds:g} s") from e
            if not isinstance(e, OSError | http.client.HTTPException):  # a socket that is closed under its reader
                raise OSError(str(e)) from e
            raise
        finally:
            timer.cancel()
            self._connection.close()

    def abort(self) -> None:
        """End it now: `send` raises."""
        self._over = True
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def why(error: Exception) -> str:
    """What to tell of an error of `send`, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.HTTPException):
        return "the answer is no HTTP"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
