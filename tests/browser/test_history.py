"""The last hour, all of a run, or a minute of it, on the page."""

import re
import time
from importlib import import_module
from importlib.util import find_spec

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Show
from tests.browser.test_page import address
from tests.support.web_feed import HAPPY, SAD, make_result

KEPT = "emotion_stream.sink.results.history"
pytestmark = [
    pytest.mark.skipif(find_spec(KEPT) is None, reason="this sink keeps no history"),
    pytest.mark.timeout(300),
]


def test_an_hour_at_a_glance_and_any_minute_on_a_click(show: Show, page: Page) -> None:
    feed = show("door", "hall", rate=0.01)
    histories = import_module(KEPT).Histories()
    feed.web.remember(histories)  # type: ignore[attr-defined, unused-ignore]
    now = time.time() // 60 * 60
    for n in range(-2 * 360, 0):  # two hours, a picture every ten seconds: sad, and happy in the last 70 minutes
        shares = SAD if n < -420 else HAPPY
        for name in ("door", "hall"):
            result = make_result(n + 721, name, probabilities=shares, captured_at=now + 10 * n)
            histories.add(result)
            feed.web.write(result, None)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{address(feed)}#door")
    camera = page.locator(".large")
    expect(camera.locator(".spans button")).to_have_text(["5 min", "1 h", "All"])
    told = camera.locator(".spans span")
    all_time, hour = camera.get_by_role("button", name="All"), camera.get_by_role("button", name="1 h")
    all_time.click()
    expect(told).to_have_text(re.compile(r"^\d\d:\d\d:\d\d to \d\d:\d\d:\d\d: 720 frames, up to 1 face at once$"))
    expect(all_time).to_have_attribute("aria-pressed", "true")
    shown = camera.locator(".chart")
    expect(shown).to_have_attribute("aria-valuetext", re.compile("the time shown: (sad .*happy|happy .*sad)"))
    hour.click()
    expect(told).to_have_text(re.compile(r": 3[56]\d frames"))
    expect(shown).to_have_attribute("aria-valuetext", "Emotions over the time shown: happy 90 %")
    box = shown.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 30)
    expect(told).to_have_text(re.compile(r"^\d\d:(\d\d):00 to \d\d:\d\d:00: [567] frames"))
    page.keyboard.press("Escape")  # back among the others it shows what is now
    page.locator(".camera[data-name=door] .enlarge").click()
    expect(page.locator(".large .spans button").first).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".large .spans span")).to_have_text("")
