"""The page can be read, named and reached by everybody."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from emotion_stream.emotion.report.command import COMMAND as REPORT
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.sink.outputs.faces import Faces
from emotion_stream.sink.outputs.jsonl import JsonLines
from tests.browser.conftest import Show, until
from tests.browser.test_page import TOKEN, address, pictures_seen
from tests.support.web_feed import HAPPY, SAD, make_image, make_result


def test_nothing_sticks_out(show: Show, page: Page) -> None:
    feed = show("a-camera-with-a-name-as-long-as-names-may-be-0123456789-0123456", "b", notice="Notice " * 20)
    page.goto(address(feed))
    until(page, lambda: len(pictures_seen(page)) >= 1)
    for width in (1920, 1280, 768, 390, 320):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(100)  # for the next layout
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), width
    sizes = page.evaluate("""() => [...document.querySelectorAll("button, summary")].filter(e => e.offsetWidth)
        .map(e => Math.min(e.offsetWidth, e.offsetHeight))""")
    assert min(sizes) >= 38  # large enough for a finger


CONTRAST = """() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126*r + 0.7152*g + 0.0722*b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(c)) return c; } return "rgb(255, 255, 255)"; };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !e.getClientRects().length || e.closest(".veil, .hidden, .skip")) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(`${e.className || e.tagName} ${e.textContent.slice(0, 20)}`);
  }
  return poor; }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_both_be_read(show: Show, page: Page, scheme: Any) -> None:
    feed = show("door", notice="Emotion recognition in use")
    page.emulate_media(color_scheme=scheme)
    page.goto(address(feed))
    expect(page.locator(".face")).to_have_count(2)
    assert page.evaluate(CONTRAST) == []
    before = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("t")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != before
    assert page.evaluate(CONTRAST) == []
    page.reload()
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != before  # it is remembered


def test_everything_has_a_name(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    expect(page.locator(".face")).to_have_count(2)
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, a, summary, img, canvas, input")]
        .filter(e => e.checkVisibility() && !e.closest("[aria-hidden=true], .chart"))
        .filter(e => !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label") || e.alt || e.title
            || (e.tagName === "IMG" && e.getAttribute("alt") === ""))).map(e => e.outerHTML)""")
    assert nameless == []
    assert page.evaluate("() => document.documentElement.lang") == "en"
    assert page.locator("h1").count() == 1


def test_the_token_is_asked_for_and_leaves_the_address(show: Show, page: Page) -> None:
    feed = show("door", options=WebOptions(web_token=TOKEN))
    plain = address(feed).partition("?")[0]
    page.goto(plain)
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Open").click()
    until(page, lambda: pictures_seen(page) == ["door"])
    assert page.url == plain
    assert page.evaluate("() => document.cookie") == ""  # no script can read it
    page.goto(address(feed))
    assert page.url == plain


def test_the_interface_is_described_offline(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(f"{address(feed)}docs")
    expect(page.get_by_text("GET /api/events")).to_be_visible()
    for path in ("/api/run", "/api/cameras", "/api/live", "/stream/{camera}.mjpg", "/snapshot/{camera}.jpg"):
        expect(page.get_by_text(f"GET {path}", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="CameraStatus")).to_be_visible()
    assert page.evaluate(CONTRAST) == []


def test_motion_jpeg_plays_in_an_image(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(f"{address(feed)}stream/door.mjpg", wait_until="commit")
    until(page, lambda: page.evaluate("() => document.images[0]?.naturalWidth") == 640)
    page.goto("about:blank")
    until(page, lambda: feed.web._hub.viewers == 0)


def test_a_hidden_page_takes_nothing(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    until(page, lambda: feed.web._hub.viewers == 1)
    page.evaluate("""() => { Object.defineProperty(document, "hidden", { value: true, configurable: true });
        document.dispatchEvent(new Event("visibilitychange")); }""")
    until(page, lambda: feed.web._hub.viewers == 0)
    page.evaluate("""() => { delete document.hidden; document.dispatchEvent(new Event("visibilitychange")); }""")
    until(page, lambda: feed.web._hub.viewers == 1)


def test_a_report_is_seen_whole_everywhere(page: Page, tmp_path: Path) -> None:
    lines, faces = JsonLines(str(tmp_path / "r.jsonl")), Faces(tmp_path / "faces")
    for seq in range(200):
        for camera in ("door", "a-camera-with-a-name-as-long-as-names-may-be-0123456789-0123456"):
            shares = HAPPY if seq // 40 % 2 else SAD
            result = make_result(
                seq, camera, faces=3, probabilities=shares, source="a/long/path/" * 12, mode="lossless"
            )
            lines.write(result, None)
            faces.write(result, make_image(100))
    lines.close()
    assert (
        REPORT.main([str(tmp_path / "r.jsonl"), "--faces", str(tmp_path / "faces"), "--notice", "Notice " * 20])
        == 0
    )
    for scheme, width in (("light", 1280), ("dark", 390), ("light", 320)):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 800})
        page.goto((tmp_path / "r.html").as_uri())
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), width
        assert page.evaluate("() => [...document.images].every(i => i.naturalWidth > 0)")
        assert page.evaluate(CONTRAST) == []
    expect(page.get_by_role("heading", name="door", exact=True)).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^Face 1, seen for 0:20$")).first).to_be_visible()
    happy = page.locator(".strip [title='happy, 0:04.0 to 0:08.0']")
    expect(happy).to_have_count(6)
    shade = happy.first.evaluate("e => getComputedStyle(e).backgroundColor")
    assert shade == "rgb(227, 173, 0)"
