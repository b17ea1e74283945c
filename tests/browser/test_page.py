"""The web page in a real Chromium, fed with results: what people see and do."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.results.output import as_json
from tests.browser.conftest import CHROMIUM, Feed, Show, until
from tests.support.web_feed import SAD, make_result

TOKEN = "a-token-of-some-length"

pytestmark = [
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="there is no chromium (Debian: apt install chromium)"),
    pytest.mark.timeout(300),
]


def address(feed: Feed) -> str:
    return str(feed.web.urls[0])


def pictures_seen(page: Page) -> list[str]:
    """The cameras whose picture is there and decoded."""
    script = """() => [...document.querySelectorAll(".camera")]
        .filter(c => c.querySelector(".picture").dataset.seq).map(c => c.dataset.name)"""
    found: list[str] = page.evaluate(script)
    return found


def seqs_seen(page: Page) -> list[int]:
    """The number of the frame that each camera shows."""
    script = "() => [...document.querySelectorAll('.picture')].map(c => Number(c.dataset.seq))"
    found: list[int] = page.evaluate(script)
    return found


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
    first = seqs_seen(page)
    until(page, lambda: seqs_seen(page) != first)
    feed.probabilities = SAD
    expect(face.locator(".main")).to_have_text("sad")
    expect(page.locator(".chart")).to_have_attribute("aria-valuetext", re.compile("last minutes: .*happy"))
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
    before = seqs_seen(page)
    until(page, lambda: all(now > then for then, now in zip(before, seqs_seen(page), strict=True)))


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
    still = seqs_seen(page)
    page.wait_for_timeout(1000)
    assert seqs_seen(page) == still
    page.locator("#pause").click()
    expect(page.locator("#run-state")).to_have_text("live")
    until(page, lambda: seqs_seen(page) != still)


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
    expect(hall.locator(".veil")).to_have_text("No signal: no pictures come")
    expect(hall.locator(".age")).to_have_text(re.compile(r"^for \d"))
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
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement === document.body"):
            break
        reached.append(page.evaluate("() => document.activeElement.id || document.activeElement.className"))
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached
    assert {"pause", "theme", "help"} <= set(reached)
    for name in ("camera", "save", "enlarge", "faces", "chart"):
        assert any(name in each.split() for each in reached), name
