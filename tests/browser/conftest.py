"""Fixtures of the tests in this room."""

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.shared.words.words import Words
from emotion_stream.sink.results.monitor import Report
from emotion_stream.sink.results.stats import Stats
from emotion_stream.sink.web.http.address import Address
from emotion_stream.sink.web.output import Web
from tests.support.web_feed import HAPPY, make_image, make_result

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


SWITCHES = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


PATIENCE = 60_000
"""Milliseconds: the machines that run these tests may have much else to do."""


class Feed:
    """Gives a page results of some cameras, a few a second, until it is told to stop."""

    def __init__(self, web: Web, cameras: tuple[str, ...], rate: float = 3.0) -> None:
        self.web = web
        self.cameras = cameras
        self.silent: set[str] = set()
        self.probabilities = HAPPY
        self.faces = 2
        self._rate = rate
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        stats = Stats()
        seq = 0
        while not self._over.wait(1 / self._rate):
            for n, camera in enumerate(self.cameras):
                if camera not in self.silent:
                    result = make_result(seq, camera, faces=self.faces, probabilities=self.probabilities)
                    self.web.write(result, make_image(60 + 10 * n))
                    stats.show(result)
            seq += 1
            self.web.report(Report(stats, 0.1, frozenset()))

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


Show = Callable[..., Feed]


@pytest.fixture
def show() -> Iterator[Show]:
    """Serves a page and feeds it."""
    feeds: list[Feed] = []

    def start(
        *cameras: str,
        options: WebOptions | None = None,
        notice: str = "",
        rate: float = 3.0,
        words: Words | None = None,
    ) -> Feed:
        web = Web(Address(port=0), options or WebOptions(), cameras, notice, words)
        feeds.append(Feed(web, cameras, rate))
        return feeds[-1]

    yield start
    for feed in feeds:
        feed.stop()
        feed.web.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES, timeout=PATIENCE)
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1000, "height": 720}, color_scheme="light")
    made.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab in which nothing may go wrong: neither script nor policy may complain."""
    complaints: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("request", lambda r: None if _is_local(r.url) else complaints.append(f"asked for {r.url}"))
    yield opened
    allowed = re.compile("ERR_(CONNECTION_REFUSED|INCOMPLETE_CHUNKED|INTERNET_DISCONNECTED)|401")
    assert [text for text in complaints if not allowed.search(text)] == []


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "blob:", "data:", "file:"))


def until(page: Page, condition: Callable[[], Any], seconds: float = PATIENCE / 1000) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)  # unlike time.sleep, it lets the page's events come in
