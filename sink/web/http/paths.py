"""Requests as the pages below see them: without the path that a proxy serves all this by, and `HEAD` as `GET`."""

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def below(root: str, path: str) -> str:
    """The path without `root`, where it begins with it: some proxies strip it, and some do not. Pure."""
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def back(path: str) -> str:
    """The way from a page at `path` to the first page, relative: proxies may serve that by any path. Pure."""
    return "../" * (path.count("/") - 1) or "./"


def is_proxied(request: Request) -> bool:
    """Whether there seems to be a proxy between: it says so, or speaks as nginx does by itself, HTTP/1.0."""
    told = ("x-forwarded-for", "x-real-ip", "forwarded", "via")
    return request.scope.get("http_version") == "1.0" or any(name in request.headers for name in told)


class Head:
    """ASGI: answers `HEAD` as `GET`, without a body; streams end at once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        done = asyncio.Event()

        async def first(message: Message) -> None:
            if done.is_set():
                return
            if message["type"] == "http.response.body":
                done.set()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        async def until_done() -> Message:
            await done.wait()
            return {"type": "http.disconnect"}

        # By this version of ASGI, an answer that goes on is ended by a disconnect that is received.
        asgi = {**scope["asgi"], "spec_version": "2.3"}
        await self._app({**scope, "method": "GET", "asgi": asgi}, until_done, first)
