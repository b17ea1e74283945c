"""How cameras share the screen, and how one of them fills it."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from emotion_stream.shared.messages.camera import CameraSettings
from tests.browser.conftest import Show, until
from tests.browser.test_page import address, pictures_seen, pytestmark  # noqa: F401
from tests.browser.test_states import lost, tell
from tests.support.web_feed import make_image, make_result

SCREENS = [(768, 1024), (1440, 900), (1920, 1080), (2560, 1440)]
USED = """() => [...document.querySelectorAll(".screen")].map(e => e.getBoundingClientRect())
    .filter(r => r.width && r.bottom <= innerHeight + 1).map(r => [r.width, r.height])"""
RECTS = """selector => [...document.querySelectorAll(selector)].map(e => e.getBoundingClientRect())
    .filter(r => r.width).map(r => [r.x, r.y, r.width, r.height].map(Math.round))"""
ORDER = ("stage", "door", "attic", "yard", "bar", "lift", "hall", "roof", "shop")


def test_any_number_of_cameras_fills_any_screen(show: Show, page: Page) -> None:
    page.goto(address(show("door")))
    arranged = page.evaluate("""async () => { const { arrange, GAP } = await import("/static/page/grid.js");
        const found = [];
        for (const [width, height] of [[736, 900], [1408, 800], [1888, 980], [2528, 1340]])
            for (let count = 1; count <= 16; count++)
                found.push([count, width, height, GAP, arrange(count, width, height)]);
        return found; }""")
    assert len(arranged) == 64
    for count, width, height, gap, found in arranged:
        rows = -(-count // found["columns"])
        told = (count, width, height, found)
        assert found["height"] is not None, told  # nothing has to be scrolled
        assert rows * found["height"] + (rows - 1) * gap <= height, told
        assert count - (rows - 1) * found["columns"] == found["last"] > 0, told  # no row is empty
        assert rows * found["height"] + (rows - 1) * gap > height - 3 * rows, told  # and no room is left
    assert {found["level"] for *_, found in arranged} == {"full", "dense", "wall"}


@pytest.mark.parametrize("count", [4, 9])
def test_lost_cameras_can_be_told_apart(
    show: Show, page: Page, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    feed = show(*ORDER[:count], rate=1)
    page.set_viewport_size({"width": 768, "height": 1024})
    tell(feed, monkeypatch, {name: lost("refused", since=time.time() - 4000) for name in ORDER[:count]})
    page.goto(address(feed))
    expect(page.locator(".age.old")).to_have_count(count)
    expect(page.locator(".age.old").first).to_have_text(re.compile(r"^for 6\d min$"))
    cut = "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)"
    assert page.eval_on_selector_all(".camera h2", cut) == []
    assert page.eval_on_selector_all(".camera .age", cut) == []


@pytest.mark.parametrize("count", [2, 4, 6, 9])
def test_all_cameras_are_seen_at_once_and_leave_no_hole(show: Show, page: Page, count: int) -> None:
    feed = show(*ORDER[:count], rate=1)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(address(feed))
    expect(page.locator(".camera")).to_have_count(count)
    for width, height in SCREENS:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(150)
        assert page.evaluate("() => document.documentElement.scrollHeight <= innerHeight"), (width, height)
        pictures = page.evaluate(USED)
        assert len(pictures) == count
        # Nine cameras at 2560x1440 used 18 % of the page.
        share = sum(w * h for w, h in pictures) / width / height
        assert share > 0.3, (width, height, share)
        cards = page.evaluate(RECTS, ".camera")
        assert max(x + w for x, _, w, _ in cards) - min(x for x, *_ in cards) > width - 50
        for top in {y for _, y, _, _ in cards}:  # each row reaches from edge to edge
            row = [card for card in cards if card[1] == top]
            assert sum(w for _, _, w, _ in row) > width - 50 - 12 * (len(row) - 1)


def test_on_a_telephone_cameras_stand_below_each_other(show: Show, page: Page) -> None:
    feed = show(*ORDER[:4], rate=1)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address(feed))
    expect(page.locator(".camera")).to_have_count(4)
    cards = page.evaluate(RECTS, ".camera")
    assert {x for x, *_ in cards} == {10}
    assert min(w for _, _, w, _ in page.evaluate(RECTS, ".screen")) > 330


def test_cameras_stand_in_the_order_in_which_they_were_given(show: Show, page: Page) -> None:
    feed = show(*ORDER, rate=1)
    page.goto(address(feed))
    expect(page.locator(".camera")).to_have_count(9)
    assert page.evaluate("() => [...document.querySelectorAll('.camera h2')].map(e => e.textContent)") == [*ORDER]


def test_a_third_face_moves_nothing(show: Show, page: Page) -> None:
    feed = show("door", "hall")
    for width, height in ((1440, 900), (768, 1024), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        feed.faces = 2
        page.goto(address(feed))
        expect(page.locator(".face")).to_have_count(4)
        before = [page.evaluate(RECTS, each) for each in (".camera", ".screen", ".timeline", ".face:nth-child(2)")]
        feed.faces = 3
        expect(page.locator(".face")).to_have_count(6)
        after = [page.evaluate(RECTS, each) for each in (".camera", ".screen", ".timeline", ".face:nth-child(2)")]
        assert after == before


def test_what_is_out_of_sight_is_counted(show: Show, page: Page) -> None:
    feed = show("door", "hall")
    feed.faces = 5
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address(feed))
    more = page.locator(".camera").first.locator(".more")
    expect(more).to_have_text(re.compile(r"^\+[34] more$"))
    faces = page.locator(".camera").first.locator(".faces")
    faces.evaluate("e => e.scrollTo(1e6, 0)")
    first = more.text_content()
    feed.faces = 1
    expect(more).to_be_hidden()
    feed.faces = 30  # more than there are cards in a grid
    expect(more).to_have_text(re.compile(r"^\+2[89] more$"))
    assert first
    expect(faces).to_have_attribute("aria-label", "30 faces")
    more.click()
    expect(page).to_have_url(re.compile("#door$"))
    expect(page.locator(".large .face")).to_have_count(30)


# --- one camera ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 9])
def test_an_enlarged_camera_fills_the_window(show: Show, page: Page, count: int) -> None:
    feed = show(*ORDER[:count], rate=1)
    page.goto(address(feed))
    expect(page.locator(".camera")).to_have_count(count)
    for width, height, least in (
        (390, 844, 0.18),
        (768, 1024, 0.35),
        (1440, 900, 0.45),
        (1920, 1080, 0.5),
        (2560, 1440, 0.5),
    ):
        page.set_viewport_size({"width": width, "height": height})
        page.locator(".camera").nth(1).focus()
        page.keyboard.press("f")
        expect(page.locator(".camera:visible")).to_have_count(1)
        page.wait_for_timeout(150)
        [(wide, high)] = page.evaluate(USED)
        assert wide * high / width / height > least, (width, height, wide, high)
        expect(page.locator(".large .face li").first).to_be_visible()  # with all of its faces
        page.keyboard.press("Escape")
        expect(page.locator(".camera:visible")).to_have_count(count)


def test_a_camera_has_an_address_that_back_and_reload_respect(show: Show, page: Page) -> None:
    feed = show("stage", "a hall/1", "door", rate=2)
    home = address(feed)
    page.goto(home)
    until(page, lambda: len(pictures_seen(page)) == 3)
    page.locator(".camera").nth(1).locator(".enlarge").click()
    assert page.url == f"{home}#a%20hall%2F1"
    expect(page.locator(".camera:visible h2")).to_have_text("a hall/1")
    expect(page).to_have_title("a hall/1 · Emotion Stream")
    page.reload()
    expect(page.locator(".camera:visible h2")).to_have_text("a hall/1")
    page.go_back()
    expect(page.locator(".camera:visible")).to_have_count(3)
    assert page.url == home
    page.go_forward()
    expect(page.locator(".camera:visible h2")).to_have_text("a hall/1")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".camera:visible h2")).to_have_text("door")
    assert page.url == f"{home}#door"
    page.keyboard.press("ArrowRight")
    expect(page.locator(".camera:visible h2")).to_have_text("stage")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".camera:visible h2")).to_have_text("door")
    page.keyboard.press("Escape")  # from however many of them: back to all
    expect(page.locator(".camera:visible")).to_have_count(3)
    page.goto("about:blank")
    page.goto(f"{home}#door")  # somebody was sent this address
    expect(page.locator(".camera:visible h2")).to_have_text("door")
    page.keyboard.press("Escape")
    expect(page.locator(".camera:visible")).to_have_count(3)
    assert page.url == home


def test_f_on_an_enlarged_camera_is_true_full_screen(show: Show, page: Page) -> None:
    feed = show("door", "hall", notice="Emotion recognition in use")
    page.goto(address(feed))
    until(page, lambda: len(pictures_seen(page)) == 2)
    page.keyboard.press("f")
    assert not page.evaluate("() => document.fullscreenElement")
    page.keyboard.press("f")
    until(page, lambda: page.evaluate("() => document.fullscreenElement !== null"))
    expect(page.locator(".top")).to_be_hidden()
    expect(page.locator("#notice")).to_be_visible()  # whoever is seen has to be told, always
    page.keyboard.press("f")
    until(page, lambda: page.evaluate("() => document.fullscreenElement === null"))
    expect(page.locator(".top")).to_be_visible()
    expect(page.locator(".camera:visible")).to_have_count(1)
    page.locator(".large .full").click()
    until(page, lambda: page.evaluate("() => document.fullscreenElement !== null"))


def test_only_the_enlarged_camera_is_asked_for_and_as_wide_as_it_is_shown(show: Show, page: Page) -> None:
    feed = show(*ORDER, rate=1)
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if "/api/live" in r.url else None)
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.goto(address(feed))
    expect(page.locator(".camera")).to_have_count(9)
    page.locator(".camera").nth(2).focus()
    page.keyboard.press("Enter")
    until(page, lambda: "camera=attic" in asked[-1])
    assert "width=1920" in asked[-1] or "width=1280" in asked[-1]
    assert asked[-1].count("camera=") == 1


def test_arrows_walk_through_the_grid(show: Show, page: Page) -> None:
    feed = show(*ORDER[:6], rate=1)
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.goto(address(feed))
    expect(page.locator(".camera")).to_have_count(6)

    def focused() -> str:
        found: str = page.evaluate("() => document.activeElement.dataset.name ?? ''")
        return found

    columns = int(page.locator("#cameras").get_attribute("data-columns") or 0)
    page.keyboard.press("ArrowRight")
    assert focused() == ORDER[0]
    page.keyboard.press("ArrowRight")
    assert focused() == ORDER[1]
    page.keyboard.press("ArrowDown")
    assert focused() == ORDER[1 + columns]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert focused() == ORDER[0]


@pytest.mark.parametrize("count", [2, 9])
def test_a_camera_tells_its_own_notice_below_its_picture(show: Show, page: Page, count: int) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    feed = show(*ORDER[:count], rate=0.01)
    for name in ORDER[:count]:
        own = CameraSettings(notice="Hier werden Emotionen erkannt" if name == "door" else None)
        feed.web.write(make_result(0, name, settings=own), make_image())
    page.goto(address(feed))
    until(page, lambda: len(pictures_seen(page)) == count)
    told = page.locator(".camera .notice:visible")
    expect(told).to_have_text("Hier werden Emotionen erkannt")
    expect(page.locator(".camera", has=page.locator(".notice:visible")).locator("h2")).to_have_text("door")
    expect(page.locator("#notice")).to_be_hidden()
    x, y, width, height = page.evaluate(RECTS, ".camera .notice")[0]
    assert y + height <= 900
    assert 10 < height < 40
    middle = [x + width / 2, y + height / 2]
    found = page.evaluate("([x, y]) => document.elementFromPoint(x, y).textContent", middle)
    assert found == "Hier werden Emotionen erkannt", "nothing covers it"
