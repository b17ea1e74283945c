"""The web page in a real Chromium, fed with results: what people see and do."""

import itertools
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from emotion.report.command import COMMAND as REPORT
from shared.messages import Box
from shared.options import WebOptions
from sink.faces import Faces
from sink.jsonl import JsonLines
from sink.monitor import Report
from sink.output import as_json
from sink.stats import Stats
from sink.web.address import Address
from sink.web.output import Web
from tests.web_feed import HAPPY, SAD, make_image, make_result

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
SWITCHES = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 60_000
"""Milliseconds: the machines that run these tests may have much else to do."""
TOKEN = "a-token-of-some-length"

pytestmark = [
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="there is no chromium (Debian: apt install chromium)"),
    pytest.mark.timeout(300),
]


class Feed:
    """Gives a page results of some cameras, a few a second, until it is told to stop."""

    def __init__(self, web: Web, cameras: tuple[str, ...], rate: float = 3.0) -> None:
        self.web = web
        self.cameras = cameras
        self.silent: set[str] = set()
        self.probabilities = HAPPY
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
                    result = make_result(seq, camera, faces=2, probabilities=self.probabilities)
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

    def start(*cameras: str, options: WebOptions | None = None, notice: str = "", rate: float = 3.0) -> Feed:
        web = Web(Address(port=0), options or WebOptions(), cameras, notice)
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


def address(feed: Feed) -> str:
    return str(feed.web.urls[0])


def pictures_seen(page: Page) -> list[str]:
    """The cameras whose picture is there and decoded."""
    script = """() => [...document.querySelectorAll(".camera")]
        .filter(c => c.querySelector("img").naturalWidth > 0).map(c => c.dataset.name)"""
    found: list[str] = page.evaluate(script)
    return found


def until(page: Page, condition: Callable[[], Any], seconds: float = PATIENCE / 1000) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)  # unlike time.sleep, it lets the page's events come in


COLOURS = """c => { const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  const seen = new Set(); for (let i = 0; i < d.length; i += 4) if (d[i+3] > 250)
  seen.add([d[i], d[i+1], d[i+2]].join()); return [...seen]; }"""


def test_what_matters_is_seen_at_once(show: Show, page: Page) -> None:
    feed = show("door", notice="Emotion recognition in use")
    page.goto(address(feed))
    expect(page.locator("#run-state")).to_have_text("live")
    expect(page.locator("#notice")).to_have_text("Emotion recognition in use")
    expect(page.locator(".camera h2")).to_have_text("door")
    expect(page.locator(".camera .pill")).to_have_text("live")
    expect(page.locator(".face")).to_have_count(2)
    face = page.locator(".face").first
    expect(face.locator(".main")).to_have_text("happy")
    expect(face.locator("li")).to_have_count(7)
    expect(face.locator("li.best")).to_have_text(re.compile("happy.*90 %"))
    assert face.locator("li.best b").evaluate("e => getComputedStyle(e).transform").startswith("matrix(0.9")
    expect(page.locator("#fps")).to_have_text(re.compile(r"[0-9.]+ fps"))
    expect(page.locator("#p50")).to_have_text("50 ms")
    expect(page.locator("#p99")).to_have_text("50 ms")
    expect(page.locator("#lag")).to_have_text("0.1 s")
    until(page, lambda: pictures_seen(page) == ["door"])
    first = page.locator(".camera img").get_attribute("src")
    until(page, lambda: page.locator(".camera img").get_attribute("src") != first)
    feed.probabilities = SAD
    expect(face.locator(".main")).to_have_text("sad")
    expect(page.locator(".chart")).to_have_attribute("aria-label", re.compile("last minutes: .*happy"))
    # The timeline has the colour of what was seen in it: --happy of the light theme.
    until(page, lambda: "227,173,0" in page.locator(".chart canvas").evaluate(COLOURS))


def test_a_face_that_moves_is_cut_out_of_the_picture_it_is_in(show: Show, page: Page) -> None:
    """Most results come without a picture, and a face is elsewhere in each."""
    feed = show("door", rate=0.01)
    moving = [np.full((360, 640, 3), 30, np.uint8) for _ in range(4)]
    for n, image in enumerate(moving):
        image[100:220, 20 + 150 * n : 140 + 150 * n] = 230
    page.goto(address(feed))
    page.evaluate("""() => { window.seen = [];
        const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
        const watch = () => { requestAnimationFrame(watch); const c = document.querySelector(".face canvas");
            if (!c) return; copy.drawImage(c, -20, -60); seen.push(copy.getImageData(0, 0, 1, 1).data[0]); };
        watch(); }""")

    def step(seq: int) -> bool:
        """The face jumps with each result; every third has a picture."""
        result = make_result(seq, "door")
        face = replace(result.faces[0], box=Box(20 + 150 * (seq % 4), 100, 120, 120))
        feed.web.write(replace(result, faces=(face,)), moving[seq % 4] if seq % 3 == 0 else None)
        drawn: bool = page.evaluate("() => window.seen.filter(v => v).length > 40")
        return drawn

    seqs = itertools.count()
    until(page, lambda: step(next(seqs)))
    seen = page.evaluate("() => window.seen")
    first = next(n for n, value in enumerate(seen) if value)
    assert min(seen[first:]) > 180  # always the face, never what is beside it


def test_nine_cameras_all_live_over_one_connection(show: Show, page: Page) -> None:
    """Browsers open six connections to one server: with one for each picture, three would stay black."""
    names = tuple(f"cam{n}" for n in range(9))
    feed = show(*names, rate=1)
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "/api/live" in r.url or "/stream/" in r.url else None)
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.goto(address(feed))
    until(page, lambda: set(pictures_seen(page)) == set(names))
    assert all("/api/live" in url for url in asked)
    before = page.evaluate("() => [...document.querySelectorAll('.camera img')].map(i => i.src)")
    until(
        page,
        lambda: (
            not set(before)
            & set(page.evaluate("() => [...document.querySelectorAll('.camera img')].map(i => i.src)"))
        ),
    )


def test_only_cameras_in_view_are_asked_for(show: Show, page: Page) -> None:
    names = tuple(f"cam{n}" for n in range(6))
    feed = show(*names, rate=1)
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "/api/live" in r.url else None)
    page.set_viewport_size({"width": 390, "height": 700})
    page.goto(address(feed))
    until(page, lambda: any("camera=cam0" in url for url in asked))
    assert "cam5" not in asked[-1]
    page.locator(".camera").last.scroll_into_view_if_needed()
    until(page, lambda: "camera=cam5" in asked[-1])
    assert "camera=cam0" not in asked[-1]
    until(page, lambda: "cam5" in pictures_seen(page))


def test_pause_stops_the_picture_and_the_traffic(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    until(page, lambda: pictures_seen(page) == ["door"])
    page.keyboard.press("Space")
    expect(page.locator("#run-state")).to_have_text("paused")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    until(page, lambda: feed.web._hub.viewers == 0)
    page.wait_for_timeout(300)
    still = page.locator(".camera img").get_attribute("src")
    page.wait_for_timeout(1000)
    assert page.locator(".camera img").get_attribute("src") == still
    page.locator("#pause").click()
    expect(page.locator("#run-state")).to_have_text("live")
    until(page, lambda: page.locator(".camera img").get_attribute("src") != still)


def test_snapshot_and_results_are_saved(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    until(page, lambda: pictures_seen(page) == ["door"])
    with page.expect_download() as download:
        page.locator(".save").click()
    assert re.fullmatch(r"door-\d{8}-\d{6}\.jpg", download.value.suggested_filename)
    assert Path(download.value.path()).read_bytes().startswith(b"\xff\xd8\xff")
    page.keyboard.press("d")
    with page.expect_download() as download:
        page.get_by_text("JSON lines").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert json.loads(lines[0]).keys() == as_json(make_result()).keys()
    page.keyboard.press("d")
    with page.expect_download() as download:
        page.get_by_text("CSV table").click()
    assert Path(download.value.path()).read_text().startswith("camera,source,epoch")


def test_a_camera_without_signal_says_so(show: Show, page: Page) -> None:
    feed = show("door", "hall")
    page.goto(address(feed))
    until(page, lambda: set(pictures_seen(page)) == {"door", "hall"})
    feed.silent.add("hall")
    hall = page.locator(".camera[data-name=hall]")
    expect(hall.locator(".pill")).to_have_text("no signal")
    expect(hall.locator(".veil")).to_have_text(re.compile(r"no signal for \d"))
    expect(page.locator("#told")).to_have_text("Camera hall: no signal")
    expect(page.locator(".camera[data-name=door] .pill")).to_have_text("live")
    feed.silent.clear()
    expect(hall.locator(".pill")).to_have_text("live")
    expect(hall.locator(".veil")).to_be_hidden()


def test_the_end_is_calm_and_keeps_picture_and_results(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    until(page, lambda: pictures_seen(page) == ["door"])
    feed.stop()
    feed.web.close()
    expect(page.locator("#run-state")).to_have_text("ended")
    expect(page.locator("#banner")).to_contain_text("The run has ended")
    expect(page.locator(".camera .pill")).to_have_text("ended")
    assert pictures_seen(page) == ["door"]
    expect(page.locator("#get-jsonl")).to_have_attribute("href", re.compile("^blob:"))
    page.keyboard.press("d")
    with page.expect_download() as download:
        page.get_by_text("JSON lines").click()
    assert Path(download.value.path()).read_text().startswith('{"camera": "door"')


def test_a_server_that_comes_back_is_found_again(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    until(page, lambda: pictures_seen(page) == ["door"])
    page.context.set_offline(True)
    page.set_viewport_size({"width": 390, "height": 720})  # other pictures are asked for, over a new connection
    expect(page.locator("#run-state")).to_have_text("no connection")
    page.context.set_offline(False)
    expect(page.locator("#run-state")).to_have_text("live")
    expect(page.locator("#banner")).to_be_hidden()


def test_keys_and_enlarging(show: Show, page: Page) -> None:
    feed = show("door", "hall")
    page.goto(address(feed))
    until(page, lambda: set(pictures_seen(page)) == {"door", "hall"})
    page.locator(".camera[data-name=hall]").focus()
    page.keyboard.press("f")
    expect(page.locator(".camera[data-name=hall]")).to_be_visible()
    expect(page.locator(".camera[data-name=door]")).to_be_hidden()
    expect(page.locator(".camera[data-name=hall] .enlarge")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator(".camera[data-name=door]")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    # Everything can be reached with the tabulator, and shows that it has the focus.
    page.locator(".skip").focus()
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement === document.body"):
            break
        reached.append(page.evaluate("() => document.activeElement.id || document.activeElement.className"))
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached
    assert {"pause", "theme", "help", "camera"} <= set(reached)
    assert any("save" in name for name in reached)


def test_nothing_sticks_out(show: Show, page: Page) -> None:
    feed = show("a-camera-with-a-name-as-long-as-names-may-be-0123456789-0123456", "b", notice="Notice " * 20)
    page.goto(address(feed))
    until(page, lambda: len(pictures_seen(page)) >= 1)
    for width in (1920, 1280, 768, 390, 320):
        page.set_viewport_size({"width": width, "height": 800})
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
        .filter(e => !e.closest("[aria-hidden=true]") && !(e.textContent.trim() || e.getAttribute("aria-label")
            || e.alt || e.title || (e.tagName === "IMG" && e.getAttribute("alt") === "")))
        .filter(e => !e.closest(".chart")).map(e => e.outerHTML)""")
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
    happy = page.locator(".lane title").filter(has_text="happy, 0:04.0 to 0:08.0")
    assert happy.count() == 6
    shade = page.evaluate("() => getComputedStyle(document.querySelectorAll('.lane rect')[1]).fill")
    assert shade == "rgb(227, 173, 0)"
