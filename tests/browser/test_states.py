"""What the page says of cameras that are lost, paused or over, and of frames that were skipped."""

import re
import time
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.sink.results.kept import Kept
from emotion_stream.sink.results.monitor import Report
from emotion_stream.sink.results.stats import Stats
from emotion_stream.sink.web.http.address import Address
from emotion_stream.sink.web.model import RunStatus
from emotion_stream.sink.web.output import Web
from tests.browser.conftest import Feed, Show, until
from tests.browser.test_page import address, pictures_seen, pytestmark  # noqa: F401


class Told:
    """A status with more of some cameras than the hub knows itself."""

    def __init__(self, status: RunStatus, more: dict[str, dict[str, Any]]) -> None:
        self._data = status.model_dump()
        for camera in self._data["cameras"]:
            camera |= more.get(camera["name"], {})

    def model_dump(self) -> dict[str, Any]:
        return self._data


def tell(feed: Feed, monkeypatch: pytest.MonkeyPatch, more: dict[str, dict[str, Any]]) -> None:
    """Let the server say this of cameras from now on."""
    hub, status = feed.web._hub, type(feed.web._hub).status
    monkeypatch.setattr(hub, "status", lambda: Told(status(hub), more))


def lost(reason: str | None = None, retry: float | None = None, **more: Any) -> dict[str, Any]:
    return {
        "state": "lost",
        "reason": reason,
        "retry_s": retry,
        "since": time.time() - 40,
        "source": "rtsp://cam/x",
        **more,
    }


def test_a_lost_camera_says_why_and_when_it_is_tried_again(
    show: Show, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = show("door", "hall", "yard")
    page.goto(address(feed))
    until(page, lambda: len(pictures_seen(page)) == 3)
    feed.silent |= {"hall", "yard"}
    more = {"hall": lost("401 Unauthorized", 8.0), "yard": lost()}
    tell(feed, monkeypatch, more)
    hall, yard = page.locator(".camera[data-name=hall]"), page.locator(".camera[data-name=yard]")
    expect(hall.locator(".veil")).to_have_text(re.compile(r"^No signal: 401 Unauthorized\. Trying again in \d s$"))
    expect(hall.locator(".pill")).to_have_text("no signal")
    expect(hall.locator(".age")).to_have_text(re.compile(r"^for (39|4\d) s$"))
    expect(hall.locator(".face")).to_have_count(0)
    expect(yard.locator(".veil")).to_have_text(re.compile(r"^No signal for (39|4\d) s$"))
    expect(page.locator("#run-state")).to_have_text("2 of 3: no signal")
    expect(page.locator("#run-state")).to_have_attribute("data-state", "lost")
    expect(page.locator("#run-state")).to_have_attribute("title", "hall: 401 Unauthorized\nyard")
    for camera in (hall, yard):
        assert camera.locator(".faces").evaluate("e => getComputedStyle(e, '::before').content") == '""'
    assert hall.locator("h2").get_attribute("title") == "rtsp://cam/x"
    more["hall"]["retry_s"] = 0.0
    expect(hall.locator(".veil")).to_have_text("No signal: 401 Unauthorized. Trying again now")
    more["yard"] |= {"state": "frozen"}
    expect(yard.locator(".veil")).to_have_text(re.compile("^Frozen: the same picture for"))
    expect(page.locator("#run-state")).to_have_text("1 of 3: no signal")


def test_with_every_camera_dead_nothing_is_live(show: Show, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = show("door", "hall")
    page.goto(address(feed))
    expect(page.locator("#run-state")).to_have_text("live")
    feed.silent |= {"door", "hall"}
    tell(feed, monkeypatch, {"door": lost("connection refused"), "hall": lost("timed out")})
    expect(page.locator("#run-state")).to_have_text("all 2: no signal")
    for figure in ("#p50", "#p99", "#lag"):  # the last ones are old
        expect(page.locator(figure)).to_have_text("–")
    assert "nobody" not in page.inner_text("main")
    assert "live" not in page.inner_text("main")


def test_of_a_server_that_tells_no_reason_it_says_how_long(
    show: Show, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = show("door")
    page.goto(address(feed))
    expect(page.locator("#run-state")).to_have_text("live")
    feed.silent.add("door")
    expect(page.locator("#run-state")).to_have_text("no signal")
    expect(page.locator(".veil")).to_have_text("No signal: no pictures come")
    tell(feed, monkeypatch, {"door": {"state": "no signal", "reason": None, "since": None, "retry_s": None}})
    expect(page.locator(".veil")).to_have_text(re.compile(r"^No signal for \d"))


def test_an_ended_camera_is_not_live(show: Show, page: Page) -> None:
    feed = show("door", "hall", rate=0.01)
    page.goto(address(feed))
    expect(page.locator("#run-state")).to_have_text("all 2: waiting")
    feed.web.report(Report(Stats(), 0.0, frozenset(["door", "hall"])))
    expect(page.locator("#run-state")).to_have_text("ended")
    expect(page.locator("#banner")).to_be_hidden()  # the run has not: another camera may come


def test_an_axis_without_data_has_no_clock(show: Show, page: Page) -> None:
    feed = show("door", rate=0.01)
    page.add_init_script("""window.words = []; const write = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
            words.push(text); write.call(this, text, ...rest); };""")
    page.goto(address(feed))
    expect(page.locator(".camera")).to_have_count(1)
    page.wait_for_timeout(1500)
    assert [word for word in page.evaluate("() => words") if re.search(r"\d", word)] == []
    expect(page.locator(".chart")).to_have_attribute("aria-valuetext", "Emotions over time: nobody was seen yet")


def test_a_paused_page_says_how_old_it_is(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    until(page, lambda: pictures_seen(page) == ["door"])
    page.keyboard.press("Space")
    expect(page.locator("#run-state")).to_have_text("paused")
    expect(page.locator(".camera .pill")).to_have_text("paused")
    expect(page.locator(".camera .age")).to_have_text(re.compile(r"^[23]\.\d s old$"))
    page.keyboard.press("Space")
    expect(page.locator(".camera .pill")).to_have_text("live")
    expect(page.locator(".camera .age")).to_have_text("now")


def test_skipped_frames_in_words_and_the_metric_on_demand(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    until(page, lambda: pictures_seen(page) == ["door"])
    feed.silent.add("door")
    page.wait_for_timeout(1000)
    frames = feed.web._hub.find("door").frames  # type: ignore[union-attr]
    feed.web.lost("door", "superseded_detector", frames)
    feed.web.lost("door", "missing", 2)
    summary = page.locator(".why summary")
    skipped, dropped = (int(100 * n / (2 * frames + 2) + 0.5) for n in (frames, frames + 2))  # as a browser rounds
    expect(summary).to_have_text(f"{skipped} % of frames skipped to stay live, 2 frames lost on the way")
    expect(page.locator("#dropped")).to_have_text(f"{dropped} %")
    assert "superseded" not in page.inner_text("body")
    before = page.locator(".camera").bounding_box()
    summary.click()
    expect(page.locator(".why p")).to_contain_text("superseded_detector")
    expect(page.locator(".why p")).to_contain_text("emotion_dropped_frames_total")
    assert page.locator(".camera").bounding_box() == before  # nothing jumps
    page.locator("h1").click()
    expect(page.locator(".why p")).to_be_hidden()


def test_the_restart_of_a_sink_is_not_the_end(page: Page) -> None:
    """A sink on its own hangs up when it is stopped, unless all cameras are over."""
    web = Web(Address(port=0), WebOptions(), ["door"], announce=True)
    feed = Feed(web, ("door",))
    page.goto(str(web.urls[0]))
    until(page, lambda: pictures_seen(page) == ["door"])
    feed.stop()
    web.close()
    expect(page.locator("#banner")).to_have_text("The sink restarts: trying again")
    page.wait_for_timeout(2500)  # it asks in vain meanwhile
    expect(page.locator("#banner")).to_have_text("The sink restarts: trying again")
    again = Web(Address(port=web.address.port), WebOptions(), ["door"], announce=True)
    feed = Feed(again, ("door",))
    try:
        expect(page.locator("#banner")).to_be_hidden()
        expect(page.locator("#run-state")).to_have_text("live")
    finally:
        feed.stop()
        again._hub.end()
        again.close()


def test_the_timeline_is_read_by_keyboard_and_by_touch(show: Show, page: Page) -> None:
    feed = show("a-camera", "b")
    page.set_viewport_size({"width": 1000, "height": 720})
    page.goto(address(feed))
    chart = page.locator(".camera").first.locator(".chart")
    reading = page.locator(".camera").first.locator(".reading")
    until(page, lambda: "happy" in (chart.get_attribute("aria-valuetext") or ""))
    expect(reading).to_have_text("")
    page.wait_for_timeout(2500)  # for more than one point
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(reading).to_have_text(re.compile(r"^\d\d:\d\d:\d\d  happy 90 %"))
    newest = reading.text_content()
    page.wait_for_timeout(2200)
    expect(reading).to_have_text(newest or "")  # it stays at its time while new ones come
    assert page.url == address(feed)
    page.keyboard.press("Home")
    assert (reading.text_content() or "") < (newest or "")
    assert chart.get_attribute("aria-valuetext") == reading.text_content()
    page.locator("#pause").focus()
    expect(reading).to_have_text("")
    # A finger.
    box = chart.bounding_box()
    assert box
    page.evaluate("""([x, y]) => { const target = document.elementFromPoint(x, y);
        const where = { pointerType: "touch", clientX: x, clientY: y, bubbles: true };
        target.dispatchEvent(new PointerEvent("pointerdown", where)); }""",
        [box["x"] + box["width"] - 6, box["y"] + 10])  # fmt: skip
    expect(reading).to_have_text(re.compile("happy"))
    inside = page.evaluate("""() => { const r = document.querySelector(".reading").getBoundingClientRect(),
        c = document.querySelector(".camera").getBoundingClientRect();
        return r.left >= c.left && r.right <= c.right; }""")
    assert inside


def test_colours_and_bars_have_names(show: Show, page: Page) -> None:
    feed = show("a", "b", "c", "d")  # small cards
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(address(feed))
    expect(page.locator("#legend li")).to_have_count(7)
    assert page.locator("#legend li").all_text_contents() == [
        "angry",
        "disgust",
        "fear",
        "happy",
        "sad",
        "surprise",
        "neutral",
    ]
    bar = page.locator(".face").first.locator("li").nth(3)
    expect(bar).to_have_attribute("title", "happy 90 %")
    swatch = page.locator("#legend i").nth(3).evaluate("e => getComputedStyle(e).backgroundColor")
    assert swatch == bar.locator("b").evaluate("e => getComputedStyle(e).backgroundColor")


def test_the_page_says_what_is_kept_and_which_disk_is_full(
    show: Show, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = show("door")
    page.goto(address(feed))
    kept = page.locator("#kept")
    until(page, lambda: len(pictures_seen(page)) == 1)
    expect(kept).to_be_hidden()  # results are not kept in order
    told = Kept(3 << 29, 2 << 30, 86_400.0, 1e9, "out/r-door-2001-09-09.jsonl", 1e9 + 86_400, 1 << 29)
    hub, status = feed.web._hub, type(feed.web._hub).status
    now = [told]
    report = Report(Stats(), 0.0, frozenset())

    def keeping() -> RunStatus:
        hub._report = replace(report, kept=now[0])
        return status(hub)

    monkeypatch.setattr(hub, "status", keeping)
    expect(kept).to_have_text(
        re.compile(
            r"^Results kept: 1\.5 GB · since Sep 9, 2001.* · room for 512\.0 MB · the oldest go on Sep 10, 2001"
        )
    )
    expect(kept).to_have_attribute("title", "Next to go: r-door-2001-09-09.jsonl")
    now[0] = replace(told, paused=("jsonl", "video"))
    expect(kept).to_contain_text("the disk is full, not written: jsonl, video")
    expect(kept).to_have_attribute("data-full", "")
