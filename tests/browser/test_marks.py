"""Events on the page's timeline: a mark each, and words for whoever reads it."""

import re
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page, expect

from emotion_stream.sink.events.watch import Watcher
from tests.browser.conftest import Show, until
from tests.browser.test_page import address
from tests.support.web_feed import HAPPY, SAD, make_result


def test_events_are_marked_on_the_timeline_and_told_in_words(show: Show, page: Page, tmp_path: Path) -> None:
    feed = show("hall", rate=0.01)
    watcher = Watcher(hold=0.5)
    now = time.time()
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{address(feed)}#hall")
    for n in range(300):  # half a minute, ten frames a second: somebody comes, and changes
        shares = SAD if n < 150 else HAPPY
        result = make_result(n, "hall", probabilities=shares, captured_at=now - 30 + n / 10)
        result = replace(result, info=replace(result.info, media_time=n / 10))
        feed.web.write(result, None)
        for event in watcher.see(result, now - 30 + n / 10):
            feed.web.tell(event)
    chart = page.locator(".large .chart")
    expect(chart).to_have_attribute("aria-valuetext", re.compile("the last minutes: (sad .*happy|happy .*sad)"))

    def marked() -> bool:
        page.locator(".large .chart canvas").screenshot(path=str(tmp_path / "c.png"))
        image = cv2.imread(str(tmp_path / "c.png"))
        assert image is not None
        strip = image[1:9].astype(int)  # above the bars
        inked = np.abs(strip - np.median(strip, axis=(0, 1))).sum(axis=2).max(axis=0) > 60
        return int(np.diff(inked.astype(int)).clip(0).sum() + inked[0]) == 2

    until(page, marked)
    chart.focus()
    said = set()
    for _ in range(40):
        page.keyboard.press("ArrowLeft")
        said |= set((page.locator(".large .reading").text_content() or "").partition(" · ")[2].split(", "))
    assert any(text.startswith("face ") and text.endswith(": sad to happy") for text in said), said
    assert any(text.endswith(" appears") for text in said), said
