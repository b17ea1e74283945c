"""What axe-core, which reads pages as screen readers do, finds on ours: nothing that is serious."""

from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from emotion_stream.emotion.report.command import COMMAND as REPORT
from emotion_stream.shared.messages.types import Box
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.sink.outputs.jsonl import JsonLines
from tests.browser.conftest import Show, until
from tests.browser.test_page import TOKEN, address, pictures_seen
from tests.support.web_feed import make_image, make_result

pytestmark = [
    pytest.mark.skipif(
        find_spec("axe_playwright_python") is None, reason="axe-playwright-python is not installed"
    ),
    pytest.mark.timeout(300),
]
RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(v =>
    [v.impact, v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 160))])"""


def found(page: Page) -> list[Any]:
    """What is wrong on the page as it is: how bad, which rule, and where."""
    source = (files("axe_playwright_python") / "axe.min.js").read_text()
    page.evaluate(source)  # not as a script of the page: its policy allows none but its own
    violations: list[Any] = page.evaluate(RUN)
    return violations


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("cameras", [1, 9])
@pytest.mark.parametrize("faces", [0, 2, 40])
def test_the_page(show: Show, page: Page, faces: int, cameras: int, scheme: Any) -> None:
    names = [f"cam{n}" for n in range(cameras)]
    feed = show(*names, notice="Emotion recognition in use", rate=0.01)
    page.emulate_media(color_scheme=scheme)
    page.goto(address(feed))
    for name in names:
        result = make_result(0, name, faces=faces)
        boxes = [Box(10 + 60 * (n % 10), 20 + 80 * (n // 10), 40, 40) for n in range(faces)]
        placed = tuple(replace(face, box=box) for face, box in zip(result.faces, boxes, strict=True))
        feed.web.write(replace(result, faces=placed), make_image())
    until(page, lambda: len(pictures_seen(page)) == cameras)
    page.wait_for_timeout(1200)
    for width, height in ((2560, 1440), (1000, 720), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(200)
        assert found(page) == [], (width, height)


def test_one_camera_menus_and_cameras_without_signal(show: Show, page: Page) -> None:
    feed = show("door", "hall", "yard")
    feed.faces = 5
    page.goto(address(feed))
    until(page, lambda: len(pictures_seen(page)) == 3)
    feed.silent.add("hall")
    expect(page.locator("#run-state")).to_have_text("1 of 3: no signal")
    assert found(page) == []
    page.keyboard.press("f")
    expect(page.locator(".large")).to_have_count(1)
    page.keyboard.press("o")
    assert found(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert found(page) == []
    page.keyboard.press("Escape")
    feed.web.lost("door", "superseded_detector", 40)
    page.locator(".why summary:visible").click()
    page.locator(".large .faces").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator("#run-state")).to_have_text("paused")
    assert found(page) == []


def test_the_interface_the_token_and_a_report(show: Show, page: Page, tmp_path: Path) -> None:
    feed = show("door", options=WebOptions(web_token=TOKEN))
    plain = address(feed).partition("?")[0]
    page.goto(f"{plain}?token=a-wrong-token-of-some-length")
    expect(page.get_by_role("alert")).to_have_text("Wrong token.")
    assert found(page) == []
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Open").click()
    until(page, lambda: pictures_seen(page) == ["door"])
    page.goto(f"{plain}docs")
    expect(page.get_by_text("GET /api/events")).to_be_visible()
    assert found(page) == []
    lines = JsonLines(str(tmp_path / "r.jsonl"))
    for seq in range(60):
        lines.write(make_result(seq, "door", faces=2, mode="lossless"), None)
    lines.close()
    assert REPORT.main([str(tmp_path / "r.jsonl")]) == 0
    page.goto((tmp_path / "r.html").as_uri())
    assert [each for each in found(page) if each[0] in ("serious", "critical")] == []
