"""Stands before every request: limits, Host and Origin checks against DNS rebinding, token, headers."""

import hmac
import json
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotion_stream.sink.web.http.address import Access, as_ip
from emotion_stream.sink.web.http.paths import Head, back, below

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
PICTURES = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""The policy of pictures: browsers style the page they show a picture on by themselves."""
OPEN_PATHS = ("/healthz", "/static/")
"""What needs no token: it tells nothing that is not public anyway."""
MOST_BODY = 64 * 1024
"""Bytes of what is sent here at the most: sixteen areas of 32 corners, twice."""
REQUESTS = 100.0, 400.0
"""Requests per second and client, and how many at once."""
WRONG_TOKENS = 0.2, 10.0
"""Wrong or missing tokens per second and client, and how many at once."""
MOST_CLIENTS = 4096
_HOST = re.compile(r"(?:\[([0-9a-f:.]+(?:%[\w.-]+)?)\]|([^][:@/\s]+))(?::[0-9]*)?")


Denied = Callable[[str, str], bytes]
"""The page that asks for the token, for a header `Accept-Language` and what is wrong with the one that it got."""


@dataclass(slots=True)
class Budget:
    """How often each client may do something: `rate` times a second, `most` at once."""

    rate: float
    most: float
    clock: Callable[[], float] = time.monotonic
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def spend(self, client: str) -> bool:
        """Whether the client may do it once more."""
        now = self.clock()
        left, at = self._left.pop(client, (self.most, now))
        left = min(self.most, left + (now - at) * self.rate)
        self._left[client] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        return left >= 1


def host_name(header: str) -> str:
    """The name in a `Host` header, without its port, lower case; nothing where it is no such header. Pure."""
    match = _HOST.fullmatch(header.strip().lower())
    return (match[1] or match[2]) if match else ""


def is_ours(access: Access, header: str) -> bool:
    """Whether a request may be addressed to this host. Pure."""
    name = host_name(header)
    return name in access.names or (access.any_ip and as_ip(name) is not None)


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether another site's page makes this request; following a link from there is fine. Pure."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").strip().lower():
        return True
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return headers.get("sec-fetch-site", "none") in ("cross-site", "same-site") and not is_link


def same(given: str, token: str) -> bool:
    """Compare in a time that tells nothing about either."""
    return hmac.compare_digest(sha256(given.encode()).digest(), sha256(token.encode()).digest())


class Guard:
    """ASGI middleware. A token is taken from `Authorization: Bearer`, from a cookie, or from `?token=`, which for
    the page itself is exchanged for the cookie, so that it does not stay in the address bar."""

    def __init__(self, app: ASGIApp, access: Access, port: int, denied: Denied, root_path: str = "") -> None:
        """
        Args:
            denied: the page that asks for the token.
            root_path: below which path a proxy serves all this, "" or "/path".
        """
        self._app = Head(app)
        self._root = root_path
        self._access = access
        self._cookie = f"emotion_token_{port}"  # cookies do not tell ports apart
        self._denied = denied
        self._requests = Budget(*REQUESTS)
        self._wrong = Budget(*WRONG_TOKENS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it with the reason why not."""
        started = False

        async def safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if headers.get("content-type", "").startswith(("image/", "multipart/")):
                    headers["Content-Security-Policy"] = PICTURES
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if scope["type"] != "http":
            return
        scope = {**scope, "path": below(self._root, scope["path"])}
        try:
            await (self._refusal(scope) or self._app)(scope, receive, safely)
        except Exception:
            log.exception("the web page failed at %s", scope["path"][:80])
            if not started:
                await problem(500, "something went wrong here: the log tells what")(scope, receive, safely)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that does not come through."""
        headers = Headers(scope=scope)
        client = scope["client"][0] if scope.get("client") else ""
        if not self._requests.spend(client):
            return problem(429, "too many requests: slow down", {"Retry-After": "1"})
        if not is_ours(self._access, headers.get("host", "")):
            return problem(421, "not served under this name: --web-host NAME allows one")
        if is_foreign(headers):
            return problem(403, "pages of other sites may not ask")
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > MOST_BODY:
            return problem(
                413, f"what is sent may have {MOST_BODY} bytes, and says how many", {"Connection": "close"}
            )
        if self._root and scope["path"] == self._root:
            return Response(status_code=308, headers={"Location": f"{self._root}/"})
        if not self._access.token or scope["path"].startswith(OPEN_PATHS):
            return None
        return self._ask_for_token(scope, headers, client)

    def _ask_for_token(self, scope: Scope, headers: Headers, client: str) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        asked = [value for name, value in query if name == "token"]
        bearer = headers.get("authorization", "").partition(" ")
        given = [*asked, bearer[2].strip() if bearer[0].lower() == "bearer" else "", *self._cookies(headers)]
        if any(same(g, self._access.token) for g in given if g):
            if asked and scope["path"] == "/":
                return self._exchange([(name, value) for name, value in query if name != "token"])
            return None
        if not self._wrong.spend(client):
            return problem(429, "too many wrong tokens: wait a while", {"Retry-After": "30"})
        wrong = bool(asked or bearer[2].strip())
        if "text/html" in headers.get("accept", ""):
            why = "wrong" if wrong else "stale" if any(given) else ""
            page = self._denied(headers.get("accept-language", ""), why)
            page = page.replace(b'"./', b'"' + back(scope["path"]).encode())
            return Response(page, 401, media_type="text/html; charset=utf-8")
        return problem(401, "wrong token" if wrong else "a token is needed", {"WWW-Authenticate": "Bearer"})

    def _cookies(self, headers: Headers) -> list[str]:
        pairs = (part.strip().partition("=") for line in headers.getlist("cookie") for part in line.split(";"))
        return [value for name, _, value in pairs if name == self._cookie]

    def _exchange(self, rest: list[tuple[str, str]]) -> Response:
        """Back to the page, without the token in its address."""
        response = Response(status_code=303, headers={"Location": f"./?{urlencode(rest)}" if rest else "./"})
        # Lax: a link from elsewhere opens the page. What changes something is no link, and gets no cookie then.
        response.set_cookie(
            self._cookie, self._access.token, httponly=True, samesite="lax", path=self._root or "/"
        )
        return response


def problem(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal in the form that the interface's errors have."""
    return Response(json.dumps({"detail": why}), status, headers, media_type="application/json")
