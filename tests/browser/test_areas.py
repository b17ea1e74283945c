"""Areas on the page: seen by everybody, drawn with a mouse, a finger, or the keyboard alone."""

import re
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Locator, Page, expect
from playwright.sync_api import Error as PlaywrightError

from emotion_stream.shared.messages.areas import parse_polygon
from emotion_stream.shared.messages.camera import CameraSettings
from emotion_stream.shared.settings.cameras import load_cameras
from emotion_stream.shared.settings.result_options import WebOptions
from tests.browser.conftest import PATIENCE, Feed, Show, until
from tests.browser.test_axe import found
from tests.browser.test_axe import pytestmark as needs_axe
from tests.browser.test_page import TOKEN, address, pytestmark  # noqa: F401
from tests.support.web_feed import make_image, make_result

WINDOW, DOOR = "0.6,0.1 0.9,0.1 0.9,0.6", "0.1,0.1 0.4,0.1 0.4,0.9 0.1,0.9"
AREAS = CameraSettings(ignore=(parse_polygon(WINDOW),), zones=(("door", parse_polygon(DOOR)),))


def give(feed: Feed, camera: str = "hall", settings: CameraSettings = AREAS, seq: int = 0) -> None:
    """A picture with areas."""
    result = make_result(seq, camera)
    feed.web.write(replace(result, info=replace(result.info, settings=settings)), make_image())


def editable(tmp_path: Path) -> tuple[WebOptions, Path]:
    file = tmp_path / "cameras.toml"
    file.write_text("# ours\n[cameras.hall]\nsource = '0'\n")
    return WebOptions(web_token=TOKEN, editable=True, areas_file=str(file)), file


def shapes(page: Page, kind: str) -> list[str]:
    drawn: list[str] = page.locator(f".areas polygon.{kind}:not(.rim)").evaluate_all(
        "all => all.map(e => e.dataset.area)"
    )
    return drawn


def at(board: Locator, x: float, y: float) -> tuple[float, float]:
    """Where this fraction of the picture, which fills its board but for a strip, is on the screen."""
    box = board.bounding_box()
    assert box
    scale = min(box["width"] / 640, box["height"] / 360)
    left, top = (box["width"] - 640 * scale) / 2, (box["height"] - 360 * scale) / 2
    return box["x"] + left + 640 * scale * x, box["y"] + top + 360 * scale * y


def drawn(page: Page, kind: str) -> list[list[list[float]]]:
    """Areas of a kind, rounded to what a pixel is."""
    texts = shapes(page, kind)
    return [[[round(float(v), 2) for v in point.split(",")] for point in text.split()] for text in texts]


def test_everybody_sees_areas_and_can_switch_them_off(show: Show, page: Page) -> None:
    feed = show("hall", "yard", rate=0.01)
    give(feed)
    page.goto(address(feed))
    expect(page.locator(".areas polygon.ignore:not(.rim)")).to_have_attribute("data-area", WINDOW)
    expect(page.locator(".areas polygon.zone:not(.rim)")).to_have_attribute("data-area", DOOR)
    assert "hatch" in page.locator(".areas polygon.ignore:not(.rim)").evaluate("e => getComputedStyle(e).fill")
    expect(page.locator(".areas .zone-name")).to_have_text("door")
    page.keyboard.press("a")
    expect(page.locator(".areas").first).to_be_hidden()
    page.keyboard.press("a")
    expect(page.locator(".areas").first).to_be_visible()
    expect(page.locator(".camera").first.locator(".edit")).to_be_hidden()  # only where one fills the window
    give(feed, settings=CameraSettings(), seq=1)
    expect(page.locator(".areas polygon")).to_have_count(0)


def test_with_a_mouse_and_saved(show: Show, page: Page, tmp_path: Path) -> None:
    options, file = editable(tmp_path)
    feed = show("hall", options=options, rate=0.01)
    give(feed, settings=CameraSettings())
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{address(feed)}?token={TOKEN}")
    expect(page.locator(".picture.there")).to_be_visible()
    page.get_by_role("button", name="Areas of camera hall").click()
    board = page.locator(".areas")
    expect(page.locator(".faces")).to_be_hidden()
    page.get_by_role("button", name="Ignore an area").click()
    for x, y in ((0.6, 0.1), (0.9, 0.1), (0.9, 0.5), (0.6, 0.1)):  # the first one again closes it
        page.mouse.click(*at(board, x, y))
    assert drawn(page, "ignore") == [[[0.6, 0.1], [0.9, 0.1], [0.9, 0.5]]]
    page.get_by_role("button", name="Add a zone").click()
    page.mouse.move(*at(board, 0.1, 0.2))
    page.mouse.down()
    page.mouse.move(*at(board, 0.3, 0.5))
    page.mouse.move(*at(board, 0.4, 0.8))
    page.mouse.up()
    assert drawn(page, "zone") == [[[0.1, 0.2], [0.4, 0.2], [0.4, 0.8], [0.1, 0.8]]]
    page.keyboard.type("door ")  # its name has the focus; phones put a space behind a word
    page.mouse.move(*at(board, 0.4, 0.8))  # a corner
    page.mouse.down()
    page.mouse.move(*at(board, 0.5, 0.9))
    page.mouse.up()
    page.mouse.move(*at(board, 0.1, 0.5))  # the middle of a side
    page.mouse.down()
    page.mouse.move(*at(board, 0.05, 0.55))
    page.mouse.up()
    assert drawn(page, "zone") == [[[0.1, 0.2], [0.4, 0.2], [0.5, 0.9], [0.1, 0.8], [0.05, 0.55]]]
    page.mouse.move(*at(board, 0.25, 0.5))  # the whole
    page.mouse.down()
    page.mouse.move(*at(board, 0.35, 0.55))
    page.mouse.up()
    assert drawn(page, "zone")[0][0] == [0.2, 0.25]
    page.mouse.click(*at(board, 0.85, 0.2))
    expect(page.locator("[data-corner]")).to_have_count(3)  # the other one is chosen
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".editor .state")).to_have_text("Saved in cameras.toml: in force in a moment")
    [camera] = load_cameras(file)
    assert len(camera.settings.ignore) == 1
    assert [name for name, _ in camera.settings.zones] == ["door"]
    assert file.read_text().startswith("# ours\n")
    page.get_by_role("button", name="Close").click()
    assert len(shapes(page, "zone")) == 1  # shown before the pictures tell
    give(feed, settings=camera.settings, seq=1)
    page.wait_for_timeout(1100)
    assert len(shapes(page, "zone")) == len(shapes(page, "ignore")) == 1


def test_with_a_finger_and_lines_to_copy(show: Show, browser: Browser, tmp_path: Path) -> None:
    feed = show("hall", rate=0.01)
    give(feed)
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="dark")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address(feed))
    expect(page.locator(".picture.there")).to_be_visible()
    page.locator(".edit").tap()
    page.get_by_role("button", name="Add a zone").tap()
    board = page.locator(".areas")
    for x, y in ((0.5, 0.6), (0.6, 0.6), (0.6, 0.9), (0.5, 0.9), (0.5, 0.6)):
        page.touchscreen.tap(*at(board, x, y))
    expect(page.get_by_label("Name of the zone Zone 1")).to_be_focused()
    page.keyboard.type("till 1")
    page.get_by_role("button", name="Show the lines").tap()
    told = tomllib.loads(page.locator(".editor textarea").input_value())["cameras"]["hall"]
    assert told["ignore"] == [WINDOW]
    assert [*told["zones"]] == ["door", "till 1"]
    assert told["zones"]["door"] == DOOR
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator(".editor .copy")).to_be_visible()
    context.close()


def test_with_the_keyboard_alone(show: Show, page: Page, tmp_path: Path) -> None:
    options, file = editable(tmp_path)
    feed = show("hall", options=options, rate=0.01)
    give(feed, settings=CameraSettings())
    page.goto(f"{address(feed)}?token={TOKEN}")
    expect(page.locator(".picture.there")).to_be_visible()
    told = page.locator("#told")

    def press(*keys: str) -> None:
        for key in keys:
            page.keyboard.press(key)

    press("e")
    expect(page.get_by_role("button", name="Ignore an area")).to_be_focused()
    press("Enter")
    expect(told).to_have_text("Area to ignore: set at least three points; the first one again closes it")
    press("Enter", "Shift+ArrowRight", "ArrowRight", "Enter", "ArrowDown")
    expect(told).to_have_text("56 % across, 51 % down")
    press("Enter")
    expect(told).to_have_text("Point 3 set: 56 % across, 51 % down")
    press("Delete")
    expect(told).to_have_text("Point 3 taken back")
    press("Shift+ArrowDown", "Shift+ArrowDown", "Enter", "Enter")  # twice at one place closes it
    expect(told).to_have_text("Ignored area 1 is drawn")
    assert drawn(page, "ignore") == [[[0.5, 0.5], [0.56, 0.5], [0.56, 0.61]]]
    page.locator(".areas").focus()
    press("Tab", "Tab", "ArrowUp")  # to a corner
    expect(told).to_have_text("56 % across, 49 % down")
    corner = page.locator("[data-corner='1']")
    expect(corner).to_be_focused()
    expect(corner).to_have_attribute("aria-label", "Ignored area 1, point 2 of 3: 56 % across, 49 % down")
    press("Enter")  # another one behind it
    assert drawn(page, "ignore") == [[[0.5, 0.5], [0.56, 0.49], [0.56, 0.55], [0.56, 0.61]]]
    press("Delete", "Delete")
    expect(told).to_have_text("Three points are the least: delete the whole area instead")
    press("Escape")
    expect(told).to_have_text("There are changes: save them, or discard them")
    page.locator(".edit").press("Enter")
    expect(page.locator(".editor .state")).to_have_text("There are changes: save them, or discard them")
    assert len(shapes(page, "ignore")) == 1  # nothing is lost by a button that opened it
    page.get_by_role("button", name="Add a zone").press("Enter")
    press("Escape")
    expect(told).to_have_text("Drawing cancelled")
    page.get_by_role("button", name="Save", exact=True).press("Enter")
    expect(page.locator(".editor .state")).to_have_text(re.compile("^Saved in"))
    expect(page.get_by_role("button", name="Close")).to_be_focused()
    press("Escape")
    expect(page.locator(".editor")).to_be_hidden()
    expect(page.locator(".edit")).to_be_focused()
    assert len(load_cameras(file)[0].settings.ignore) == 1


def test_names_of_zones_must_differ_and_an_area_can_be_deleted(show: Show, page: Page) -> None:
    feed = show("hall", rate=0.01)
    give(feed, settings=replace(AREAS, zones=(*AREAS.zones, ("till", parse_polygon(WINDOW)))))
    page.goto(address(feed))
    expect(page.locator(".areas polygon.zone:not(.rim)")).to_have_count(2)
    page.locator(".edit").click()
    field = page.get_by_label("Name of the zone till")
    for name, wrong in (("door", "Two zones are called door"), ("", "Give each zone a name")):
        field = page.locator(".editor li:last-child input")
        field.fill(name)
        page.get_by_role("button", name="Show the lines").click()
        expect(page.locator(".editor .state")).to_have_text(wrong)
        expect(field).to_be_focused()
    page.get_by_role("button", name="Delete Ignored area 1").click()
    assert shapes(page, "ignore") == []
    page.get_by_role("button", name="Discard").click()
    assert shapes(page, "ignore") == [WINDOW]


@pytest.mark.parametrize("may", [True, False])
def test_a_poster_is_ignored_with_one_click(show: Show, page: Page, tmp_path: Path, may: bool) -> None:
    options, file = editable(tmp_path)
    options = replace(options if may else WebOptions(), poster_after=1.0)
    feed = show("hall", options=options, rate=0.01)
    for n in range(25):
        result = make_result(n, "hall", faces=1, mode="lossless")  # a live one would be lost in a moment
        image = make_image()
        image[100:160, 40:160] = 30  # something to be told from others
        feed.web._hub.show(result, image)
    page.goto(f"{address(feed)}?token={TOKEN}" if may else address(feed))
    offer = page.get_by_role("group", name="A poster?")
    expect(offer).to_contain_text("Face 1 has not moved for 2 seconds. A poster?")
    offer.get_by_role("button", name="Ignore it").click()
    expect(offer).to_be_hidden()
    if may:
        until(page, lambda: len(shapes(page, "ignore")) == 1)
        [area] = load_cameras(file)[0].settings.ignore
    else:
        lines: dict[str, Any] = tomllib.loads(page.locator(".editor textarea").input_value())
        area = parse_polygon(lines["cameras"]["hall"]["ignore"][0])
    assert area[0][0] * 640 < 40 < 160 < area[2][0] * 640
    page.reload()
    expect(page.locator(".picture.there")).to_be_visible()
    page.wait_for_timeout(1100)
    expect(page.get_by_role("group", name="A poster?")).to_be_hidden()


def test_it_says_why_a_poster_could_not_be_ignored(show: Show, page: Page, tmp_path: Path) -> None:
    options, _ = editable(tmp_path)
    feed = show("hall", options=replace(options, poster_after=1.0), rate=0.01)
    for n in range(25):
        image = make_image()
        image[100:160, 40:160] = 30
        feed.web._hub.show(make_result(n, "hall", mode="lossless"), image)
    page.add_init_script("""const real = fetch; fetch = async (what, how) => how?.method === "PUT"
        ? new Response(JSON.stringify({ detail: "it is not TOML" }), { status: 409 }) : real(what, how);""")
    page.goto(f"{address(feed)}?token={TOKEN}")
    offer = page.get_by_role("group", name="A poster?")
    offer.get_by_role("button", name="Ignore it").click()
    expect(offer).to_contain_text("it is not TOML")
    page.wait_for_timeout(1500)  # the next status has come
    expect(offer).to_contain_text("it is not TOML")


def leaving(page: Page) -> list[str]:
    """Leave the page, and stay where it asks: what it asked."""
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    with suppress(PlaywrightError):  # a journey that somebody stays away from
        page.goto("about:blank")
    page.remove_listener("dialog", stay)
    page.remove_listener("dialog", stay) if not asked else None
    return asked


def draw(page: Page) -> None:
    """An area to ignore, with the keyboard."""
    page.get_by_role("button", name="Ignore an area").press("Enter")
    for key in ("Enter", "Shift+ArrowRight", "Enter", "Shift+ArrowDown", "Enter", "Enter"):
        page.keyboard.press(key)


@pytest.mark.parametrize("may", [True, False])
def test_the_browser_asks_only_while_something_would_be_lost(
    show: Show, page: Page, tmp_path: Path, may: bool
) -> None:
    feed = show("hall", options=editable(tmp_path)[0] if may else WebOptions(), rate=0.01)
    give(feed)
    where = f"{address(feed)}?token={TOKEN}" if may else address(feed)

    def begin() -> None:
        page.goto(where)
        expect(page.locator(".picture.there")).to_be_visible()
        page.locator(".edit").click()
        draw(page)
        expect(page.locator(".editor li")).to_have_count(3)

    page.goto(where)
    expect(page.locator(".picture.there")).to_be_visible()
    page.locator(".edit").click()
    assert leaving(page) == []
    begin()
    assert leaving(page) == ["beforeunload"]
    expect(page.locator(".editor li")).to_have_count(3)
    page.get_by_role("button", name="Discard").click()
    assert leaving(page) == []
    begin()
    if may:
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator(".editor .state")).to_have_text(re.compile("^Saved in"))
    else:
        page.get_by_role("button", name="Show the lines").click()
        page.get_by_role("button", name="Copy").click()
        expect(page.locator(".editor .state")).to_have_text("Copied")
    assert leaving(page) == []


WHOLE = """e => e.scrollHeight <= e.clientHeight
    && e.getBoundingClientRect().bottom <= e.parentElement.getBoundingClientRect().bottom"""
"""Whether a line of the editor is seen to its end."""


def test_the_way_back_to_all_cameras_loses_nothing(show: Show, page: Page) -> None:
    feed = show("hall", "yard", rate=0.01)
    for camera in ("hall", "yard"):
        give(feed, camera)
    page.goto(address(feed))
    expect(page.locator(".picture.there")).to_have_count(2)
    hall, yard = page.locator("[data-name=hall]"), page.locator("[data-name=yard]")
    hall.focus()
    page.keyboard.press("f")
    page.keyboard.press("e")
    draw(page)
    ways: dict[str, Callable[[], object]] = {
        "Back": page.go_back,
        "the button": hall.locator(".enlarge").click,
        "a key": lambda: page.locator("#pause").press("ArrowRight"),
    }
    for way, go in ways.items():
        go()
        expect(hall.locator(".editor .state"), way).to_have_text("There are changes: save them, or discard them")
        expect(hall.locator(".editor li"), way).to_have_count(3)
        expect(yard, way).to_be_hidden()
        assert hall.locator(".editor .state").evaluate(WHOLE), way
        assert page.url.endswith("#hall"), way
        hall.locator(".editor li button").first.click()  # another one is chosen: the line is gone
    page.get_by_role("button", name="Discard").click()
    page.go_back()
    expect(yard).to_be_visible()
    assert "#" not in page.url


def test_the_whole_name_of_a_zone_is_seen(show: Show, page: Page) -> None:
    feed = show("hall", rate=0.01)
    corner = (("waiting room on the left", parse_polygon("0.7,0.5 1,0.5 1,0.9")),)
    give(feed, settings=CameraSettings(zones=corner))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address(feed))
    expect(page.locator(".zone-name")).to_have_text("waiting room on the left")
    picture, name = page.locator(".areas").bounding_box(), page.locator(".zone-name").bounding_box()
    assert picture
    assert name
    assert name["x"] + name["width"] <= picture["x"] + picture["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_axe_finds(show: Show, page: Page, scheme: Any) -> None:
    feed = show("hall", rate=0.01)
    give(feed)
    page.emulate_media(color_scheme=scheme)
    page.goto(address(feed))
    expect(page.locator(".picture.there")).to_be_visible()
    page.locator(".edit").click()
    page.get_by_role("button", name="Show the lines").click()
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(200)
        assert found(page) == []


test_what_axe_finds = needs_axe[0](test_what_axe_finds)
