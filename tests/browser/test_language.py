"""The page in German: no English is left in its main states, nothing overflows, plurals are the browser's."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from emotion_stream.shared.messages.areas import parse_polygon
from emotion_stream.shared.messages.camera import CameraSettings
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.shared.words.words import ENGLISH, Words, codes, load
from tests.browser.conftest import PATIENCE, Show, until
from tests.browser.test_areas import DOOR, WINDOW, editable, give
from tests.browser.test_axe import found
from tests.browser.test_page import TOKEN, address, pictures_seen, pytestmark  # noqa: F401
from tests.browser.test_states import lost, tell

READ = """() => { const said = [document.title];
    for (const e of document.querySelectorAll("body *")) {
        if (e.closest("script, noscript, [lang=en]")) continue;
        for (const name of ["title", "aria-label", "aria-valuetext", "alt", "data-nobody"])
            if (e.getAttribute(name)) said.push(e.getAttribute(name));
        for (const node of e.childNodes) if (node.nodeType === 3 && node.data.trim()) said.push(node.data);
    } return said; }"""
"""All that is read of a page, seen or heard."""
OVERFLOWS = """() => [...document.querySelectorAll(".top *, .face *, .small *, .veil, footer *, dialog *")]
    .filter(e => e.clientWidth > 1 && e.scrollWidth > e.clientWidth + 1 && !e.matches(".figures-line"))
    .map(e => e.outerHTML.slice(0, 120))"""
NAMES = re.compile(r"emotion stream|cam\d|\w+_\w+")
"""What is the same in every language: our name, a camera's, a metric's."""


def words_of(language: Words) -> set[str]:
    texts = [
        form for text in language.texts.values() for form in ([text] if isinstance(text, str) else text.values())
    ]
    return {word for text in texts for word in re.findall(r"[^\W\d_]{2,}", re.sub(r"\{\w+\}", " ", text).lower())}


FOREIGN = words_of(ENGLISH) - words_of(load("de"))
"""What only English says."""


def english(page: Page) -> set[str]:
    """The English words on a page."""
    read = " ".join(page.evaluate(READ)).lower()
    return FOREIGN & set(re.findall(r"[^\W\d_]{2,}", NAMES.sub(" ", read)))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1440, "height": 900}, locale="de-AT", color_scheme="light")
    made.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    yield made
    made.close()


def test_a_german_browser_gets_a_german_page(show: Show, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = show("cam1", "cam2", "cam3", notice="Hausordnung")
    page.goto(address(feed))
    until(page, lambda: len(pictures_seen(page)) == 3)
    assert page.evaluate("() => document.documentElement.lang") == "de"
    expect(page.locator(".face .main").first).to_have_text("fröhlich")
    expect(page.locator("#lag")).to_have_text("0,1 s")
    assert {"waiting", "frames", "face", "happy", "the"} <= FOREIGN  # the test can fail
    assert english(page) == set()

    feed.silent |= {"cam2", "cam3"}
    told = {"cam2": lost("401 Unauthorized", 8.0), "cam3": lost(None) | {"state": "frozen"}}
    tell(feed, monkeypatch, told)
    feed.web.lost("cam1", "superseded_detector", 40)
    veil = page.locator("[data-name=cam2] .veil")
    expect(veil).to_have_text(re.compile(r"^Kein Signal: Anmeldung nötig \(401\)\. Neuer Versuch in \d s$"))
    expect(page.locator("[data-name=cam3] .veil")).to_have_text(re.compile("^Eingefroren: dasselbe Bild seit"))
    expect(page.locator("#run-state")).to_have_text("1 von 3: kein Signal")
    why = page.locator("[data-name=cam1] .why summary")
    expect(why).to_have_text(re.compile(r"^\d+ % der Bilder ausgelassen, um live zu bleiben$"))
    page.locator("[data-name=cam1]").focus()
    page.keyboard.press("f")
    page.get_by_role("button", name="Alles").click()
    expect(page.locator(".large .spans span")).to_have_text("zu dieser Zeit wurde nichts gezeigt")
    page.get_by_role("button", name="5 min").click()
    page.locator(".large .chart").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".large .reading")).to_have_text(re.compile("fröhlich 90 %"))
    page.keyboard.press("o")
    assert english(page) == set()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert found(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("Space")
    expect(page.locator("#run-state")).to_have_text("pausiert")
    expect(page.locator("#pause")).to_have_text("Weiter")
    page.keyboard.press("Space")
    feed.web._hub.end()
    expect(page.locator("#banner")).to_have_text(re.compile("^Der Lauf ist zu Ende"))
    assert english(page) == set()


@pytest.mark.parametrize("count", [1, 9])
def test_german_fits(show: Show, page: Page, count: int) -> None:
    feed = show(*(f"cam{n}" for n in range(count)), rate=1)
    page.goto(address(feed))
    until(page, lambda: len(pictures_seen(page)) == count)
    for width, height in ((1440, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        assert page.evaluate("() => document.documentElement.scrollWidth") == width
        assert page.evaluate(OVERFLOWS) == []


@pytest.mark.parametrize("width", [390, 1440])
def test_the_editor_of_areas_is_german_and_fits(show: Show, page: Page, width: int) -> None:
    feed = show("cam1", rate=0.01)  # it loses its signal meanwhile: its header is at its longest
    settings = CameraSettings(ignore=(parse_polygon(WINDOW),), zones=(("Zone 1", parse_polygon(DOOR)),))
    give(feed, "cam1", settings)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(address(feed))
    expect(page.locator(".areas polygon.zone:not(.rim)")).to_have_count(1)
    page.keyboard.press("e")
    page.locator(".add-zone").click()
    assert english(page) == set()
    page.keyboard.press("Escape")
    page.locator(".keep").click()
    expect(page.locator("#run-state")).to_have_text("kein Signal")
    assert english(page) - words_of_lines(page) == set()
    assert page.evaluate("() => document.documentElement.scrollWidth") == width
    assert page.evaluate(OVERFLOWS) == []


def test_it_says_in_german_why_areas_were_not_saved(show: Show, context: BrowserContext, tmp_path: Path) -> None:
    options, file = editable(tmp_path)
    feed = show("hall", options=options, rate=0.01)
    give(feed, settings=CameraSettings(ignore=(parse_polygon(WINDOW),)))
    page = context.new_page()  # one whose console may tell of refused requests
    page.goto(f"{address(feed)}?token={TOKEN}")
    expect(page.locator(".areas polygon.ignore:not(.rim)")).to_have_count(1)
    page.keyboard.press("e")
    page.get_by_role("button", name="Ignorierter Bereich 1 löschen").click()
    state = page.locator(".editor .state")
    file.write_text("[cameras.hall\n")
    page.get_by_role("button", name="Speichern", exact=True).click()
    # What the TOML library says by itself stays as it is.
    expect(state).to_have_text(re.compile(r"lässt sich hier nicht ändern \(.*\): die Zeilen selbst eintragen$"))
    file.unlink()
    page.get_by_role("button", name="Speichern", exact=True).click()
    expect(state).to_have_text(
        f"{file} lässt sich nicht schreiben (es gibt sie nicht): auch der Ordner muss beschreibbar sein"
    )
    assert english(page) - {*re.findall(r"[a-z]{2,}", str(file).lower())} == set()
    context.clear_cookies()
    page.get_by_role("button", name="Speichern", exact=True).click()
    expect(state).to_have_text("ein Token wird gebraucht")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def words_of_lines(page: Page) -> set[str]:
    """The settings file is English."""
    return set(re.findall(r"[a-z]{2,}", page.locator("textarea").input_value().lower()))


def test_the_token_and_the_interface(show: Show, page: Page) -> None:
    feed = show("cam", options=WebOptions(web_token=TOKEN))
    plain = address(feed).partition("?")[0]
    page.goto(f"{plain}?token=a-wrong-token-of-some-length")
    expect(page.get_by_role("alert")).to_have_text("Falsches Token.")
    assert english(page) == set()
    page.goto(f"{plain}?token={TOKEN}")
    page.goto(f"{plain}docs")
    expect(page.get_by_text("GET /api/events")).to_be_visible()
    expect(page.get_by_role("link", name="zu den Kameras")).to_be_visible()
    for word in ("Objekte", "Vorgabe", "ganze Zahl", "ausprobieren"):
        expect(page.get_by_text(word).first).to_be_visible()
    # What the interface says of itself is English, and marked so.
    assert english(page) & {"the", "try", "whole", "default", "objects", "answers", "field", "of"} == set()


def test_the_language_can_be_given_and_others_get_english(show: Show, page: Page, browser: Browser) -> None:
    feed = show("cam", words=ENGLISH)
    page.goto(address(feed))
    expect(page.locator("#pause")).to_have_text("Pause")
    expect(page.locator(".face .main").first).to_have_text("happy")
    french = browser.new_context(locale="fr-FR")
    feed = show("cam")
    other = french.new_page()
    other.goto(address(feed))
    expect(other.locator(".face .main").first).to_have_text("happy")
    assert other.evaluate("() => document.documentElement.lang") == "en"
    french.close()


def test_plural_forms_are_those_of_the_browser(show: Show, page: Page) -> None:
    """The pictures and the report count with the language's own file."""
    page.goto(address(show("cam", rate=0.01)))
    for code in codes():
        told = page.evaluate(
            """code => { const plural = new Intl.PluralRules(code);
                return [...Array(250).keys()].map(n => plural.select(n)); }""",
            code,
        )
        assert told == [load(code).form(n) for n in range(250)]
