"""Cameras that come, go and change their order while somebody looks at the page."""

import time

from playwright.sync_api import Page, expect

from emotion_stream.shared.messages.signal import Signal
from emotion_stream.sink.results.monitor import Report
from emotion_stream.sink.results.stats import Stats
from tests.browser.conftest import Feed, Show, until
from tests.browser.test_page import address, pictures_seen, pytestmark  # noqa: F401


def shown(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all("#cameras > .camera", "all => all.map((e) => e.dataset.name)")
    return found


def place(feed: Feed, *names: str) -> None:
    """As the sink does where the settings name these, in this order."""
    signals = {name: Signal("live", None, time.time(), "rtsp://x", place=n) for n, name in enumerate(names)}
    feed.cameras = tuple(name for name in names if name != "dead")
    feed.web.report(Report(Stats(), 0.1, frozenset(), signals))


def test_they_come_and_go_without_anybody_asking(show: Show, page: Page) -> None:
    feed = show("hall", "yard")
    page.goto(address(feed))
    until(page, lambda: len(pictures_seen(page)) == 2)
    place(feed, "door", "hall", "yard")
    until(page, lambda: shown(page) == ["door", "hall", "yard"])
    until(page, lambda: len(pictures_seen(page)) == 3)
    page.locator('.camera[data-name="hall"]').focus()
    place(feed, "yard", "hall", "door")
    until(page, lambda: shown(page) == ["yard", "hall", "door"])
    expect(page.locator('.camera[data-name="hall"]')).to_be_focused()
    page.keyboard.press("f")  # the one that fills the window goes: all others are seen again
    until(page, lambda: page.url.endswith("#hall"))
    place(feed, "yard", "door")
    page.wait_for_timeout(400)  # what is on its way
    feed.web.let_go("hall")
    until(page, lambda: shown(page) == ["yard", "door"])
    expect(page.locator("#told")).to_have_text("Camera hall: removed")
    assert "#" not in page.url
    expect(page.locator("#cameras")).not_to_have_class("one")
    assert page.evaluate("document.activeElement.id") == "cameras"
    until(page, lambda: len(pictures_seen(page)) == 2)
    place(feed, "yard", "hall", "door")  # it comes back, and is numbered anew
    until(page, lambda: shown(page) == ["yard", "hall", "door"])
    until(page, lambda: len(pictures_seen(page)) == 3)
    expect(page.locator("#cameras")).to_have_attribute("data-count", "3")
