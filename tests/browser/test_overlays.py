"""What the page draws over clean pictures: where, how sharp, of which frame, and what the viewer may choose."""

import itertools
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.drawing.draw import TRACK_COLOURS
from tests.browser.conftest import Show, until
from tests.browser.test_page import address, pictures_seen, pytestmark  # noqa: F401
from tests.support.web_feed import make_image, make_result

PIXEL = """([x, y]) => { const c = document.querySelector(".overlay");
  const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  copy.drawImage(c, -Math.round(x * c.width / c.clientWidth), -Math.round(y * c.height / c.clientHeight));
  return [...copy.getImageData(0, 0, 1, 1).data]; }"""
PLACE = """async ([faces, room, lit, kept]) => { const { place } = await import("/static/page/overlay.js");
  const words = ["surprise 100 %", ""];
  const given = faces.map((box, n) => ({ track: n + 1, box, words, lit: lit.includes(n + 1) }));
  const labels = place(given, room, words => words ? 110 : 24, 17, kept ?? []);
  return labels.map(l => [l.face.track, l.words, l.x, l.y, l.width]); }"""
SHOWN = """() => { const c = document.querySelector(".overlay"); if (!c?.width) return false;
  const copy = new OffscreenCanvas(c.width, c.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(c, 0, 0);
  return new Uint32Array(copy.getImageData(0, 0, c.width, c.height).data.buffer).some(v => v); }"""


def scale_of(page: Page) -> tuple[float, float, float]:
    """Pixels of the screen for one of the frame, and where the picture of 640x360 begins in its canvas."""
    width, height = page.evaluate(
        "() => { const c = document.querySelector('.overlay'); return [c.clientWidth, c.clientHeight]; }"
    )
    scale = min(width / 640, height / 360)
    return scale, (width - 640 * scale) / 2, (height - 360 * scale) / 2


def drawn_at(page: Page, x: float, y: float) -> list[int]:
    """What is drawn at this place of the frame, RGBA."""
    scale, left, top = scale_of(page)
    found: list[int] = page.evaluate(PIXEL, [left + x * scale, top + y * scale])
    return found


def overlap(a: list[float], b: list[float]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def test_labels_never_cover_faces_and_the_largest_come_first(show: Show, page: Page) -> None:
    page.goto(address(show("door")))
    random = np.random.default_rng(3)
    # A crowd of 40 on a telephone: rows of faces, a little apart, larger in front.
    faces = [
        [
            8 + 46 * (n % 8) + float(random.integers(0, 6)),
            10 + 44 * (n // 8),
            16 + 4.0 * (n // 8),
            16 + 4.0 * (n // 8),
        ]
        for n in range(40)
    ]
    room = {"width": 390, "height": 260}
    labels = page.evaluate(PLACE, [faces, room, [], None])
    assert labels
    boxes = [[x, y, width, 17] for _, _, x, y, width in labels]
    assert not any(overlap(label, face) for label in boxes for face in faces)
    assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))
    assert all(x >= 0 and y >= 0 and x + width <= 390 and y + 17 <= 260 for _, _, x, y, width in labels)
    silent = set(range(1, 41)) - {track for track, words, *_ in labels if words}
    assert silent  # some gave way
    pointed = min(silent)
    told = {track: words for track, words, *_ in page.evaluate(PLACE, [faces, room, [pointed], None])}
    assert told[pointed] == "surprise 100 %"
    # Of two faces that want the same room the larger one gets it.
    two = [[0, 20, 60, 60], [62, 10, 90, 90]]
    small = {"width": 152, "height": 100}
    assert [track for track, words, *_ in page.evaluate(PLACE, [two, small, [], None]) if words] == []
    assert page.evaluate(PLACE, [two, {"width": 152, "height": 120}, [], None])[0][:2] == [2, "surprise 100 %"]
    # What lies over the picture already is respected.
    alone = page.evaluate(PLACE, [[[100, 40, 80, 80]], room, [], None])[0]
    assert overlap([*alone[2:], 17], [0, 0, 390, 38])
    away = page.evaluate(PLACE, [[[100, 40, 80, 80]], room, [], [[0, 0, 390, 38]]])[0]
    assert away[3] >= 38


def test_a_close_face_is_told_along_its_upper_edge(show: Show, page: Page) -> None:
    page.goto(address(show("door")))
    track, words, x, y, width = page.evaluate(
        PLACE, [[[40, 0, 300, 300]], {"width": 380, "height": 300}, [], None]
    )[0]
    assert (track, words) == (1, "surprise 100 %")
    assert y + 17 <= 300 / 8
    assert x >= 0
    assert width == 110


def test_boxes_and_picture_are_of_the_same_frame(show: Show, page: Page) -> None:
    """A face that jumps with every frame: whenever the screen is painted, its box is where it is."""
    feed = show("door", rate=0.01)
    moving = [make_image(30) for _ in range(4)]
    for n, image in enumerate(moving):
        image[100:220, 20 + 150 * n : 140 + 150 * n] = 230
    page.goto(address(feed))
    page.evaluate("""() => { window.seen = [];
        const copy = new OffscreenCanvas(640, 360).getContext("2d", { willReadFrequently: true });
        const look = (selector) => { const c = document.querySelector(selector); copy.clearRect(0, 0, 640, 360);
            const scale = Math.min(c.clientWidth / 640, c.clientHeight / 360), whole = selector === ".picture";
            if (whole) copy.drawImage(c, 0, 0, 640, 360);
            else copy.drawImage(c, -(c.clientWidth / scale - 640) / 2, -(c.clientHeight / scale - 360) / 2,
                c.clientWidth / scale, c.clientHeight / scale);
            return [0, 1, 2, 3].filter(n => { // the inside of the face, or the left edge of its box
                const d = copy.getImageData(whole ? 80 + 150 * n : 18 + 150 * n, 160, 5, 1).data;
                return whole ? d[0] > 130 : Math.max(d[3], d[7], d[11], d[15]) > 100; }); };
        const watch = () => { requestAnimationFrame(watch);
            if (!document.querySelector(".picture")?.dataset.seq) return;
            seen.push([look(".picture"), look(".overlay")]); };
        watch(); }""")
    seqs = itertools.count()

    def step() -> bool:
        seq = next(seqs)
        result = make_result(seq, "door")
        face = replace(result.faces[0], box=Box(20 + 150 * (seq % 4), 100, 120, 120))
        feed.web.write(replace(result, faces=(face,)), moving[seq % 4] if seq % 3 == 0 else None)
        places: int = page.evaluate("() => new Set(window.seen.map(([a]) => a.join())).size")
        return places == 4 and len(page.evaluate("() => window.seen")) > 60

    until(page, step)
    seen = [(picture, overlay) for picture, overlay in page.evaluate("() => window.seen") if picture]
    assert all(len(picture) == 1 for picture, _ in seen)
    assert [pair for pair in seen if pair[0] != pair[1]] == []


def test_overlays_are_as_sharp_as_the_screen(show: Show, browser: Browser) -> None:
    feed = show("door")
    context = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=3)
    page = context.new_page()
    page.goto(address(feed))
    until(page, lambda: page.evaluate(SHOWN))
    found = page.evaluate(
        """() => { const c = document.querySelector(".overlay");
            return [c.width / c.clientWidth, c.height / c.clientHeight]; }"""
    )
    assert found == pytest.approx([3, 3], abs=0.02)
    context.close()


def test_a_card_and_its_box_are_the_same_face(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    expect(page.locator(".face")).to_have_count(2)
    until(page, lambda: page.evaluate(SHOWN))
    colours = page.evaluate("""async () => { const { trackColour } = await import("/static/page/emotions.js");
        return [...Array(16).keys()].map(trackColour); }""")
    own = [f"#{r:02x}{g:02x}{b:02x}" for b, g, r in TRACK_COLOURS]
    assert colours == own * 2  # as in the window and in videos
    for n, face in enumerate(page.locator(".face").all()):
        wanted = np.array([int(own[n + 1][i : i + 2], 16) for i in (1, 3, 5)])
        edge = [drawn_at(page, 40 + 150 * n + step / 4, 160)[:3] for step in range(-6, 7)]  # left, of its box
        assert min(np.abs(np.array(rgb) - wanted).max() for rgb in edge) < 40
        assert face.evaluate("e => getComputedStyle(e).getPropertyValue('--own')") == own[n + 1]
        expect(face.locator(".number")).to_have_text(str(n + 1))


def test_the_viewer_chooses_what_is_drawn_and_the_browser_remembers(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    until(page, lambda: page.evaluate(SHOWN))
    assert drawn_at(page, 40, 160)[3] > 120  # the edge of a box
    label = (60, 92)
    assert drawn_at(page, *label)[3] > 150
    page.get_by_text("Overlays").click()
    page.get_by_label("Boxes").uncheck()
    assert drawn_at(page, 40, 160)[3] == 0
    assert drawn_at(page, *label)[3] > 150
    widths = [page.evaluate(LABEL_WIDTH)]
    page.get_by_label("Percentages").uncheck()
    widths.append(page.evaluate(LABEL_WIDTH))
    assert 20 < widths[1] < widths[0] - 15
    page.keyboard.press("Escape")
    page.keyboard.press("l")
    until(page, lambda: not page.evaluate(SHOWN))
    page.reload()
    until(page, lambda: pictures_seen(page) == ["door"])
    page.wait_for_timeout(700)
    assert not page.evaluate(SHOWN)
    page.keyboard.press("b")
    assert drawn_at(page, 40, 160)[3] > 120
    page.get_by_text("Overlays").click()
    assert [box.is_checked() for box in page.locator("#shown input").all()] == [
        True,
        False,
        False,
        False,
        False,
        True,
    ]


LABEL_WIDTH = """() => { const c = document.querySelector(".overlay"), k = c.width / c.clientWidth;
  const scale = Math.min(c.clientWidth / 640, c.clientHeight / 360);
  const y = (c.clientHeight - 360 * scale) / 2 + 100 * scale - 9;
  const copy = new OffscreenCanvas(c.width / 2, 1).getContext("2d", { willReadFrequently: true });
  copy.drawImage(c, 0, -Math.round(y * k));
  const row = copy.getImageData(0, 0, c.width / 2, 1).data;
  let n = 0; for (let i = 3; i < row.length; i += 4) n += row[i] > 100; return n / k; }"""


def test_landmarks_are_drawn_where_they_are(show: Show, page: Page) -> None:
    feed = show("door", rate=0.01)
    page.goto(address(feed))
    points: Any = ((80.0, 140.0), (120.0, 140.0), (100.0, 160.0), (85.0, 190.0), (115.0, 190.0))
    result = make_result(0, "door")
    feed.web.write(replace(result, faces=(replace(result.faces[0], landmarks=points),)), make_image())
    until(page, lambda: page.evaluate(SHOWN))
    assert drawn_at(page, 100, 160)[3] == 0
    page.keyboard.press("m")
    assert all(drawn_at(page, x, y)[3] > 120 for x, y in points)
    assert drawn_at(page, 100, 150)[3] == 0


def test_pointing_at_a_face_tells_it_and_marks_its_card(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    until(page, lambda: page.evaluate(SHOWN))
    page.keyboard.press("l")
    page.keyboard.press("b")
    until(page, lambda: not page.evaluate(SHOWN))
    scale, left, top = scale_of(page)
    box = page.locator(".overlay").bounding_box()
    assert box
    at = (box["x"] + left + 250 * scale, box["y"] + top + 160 * scale)  # the second face
    page.mouse.move(*at)
    expect(page.locator(".face").nth(1)).to_have_class("face lit")
    assert page.evaluate(SHOWN)
    page.mouse.move(box["x"] + left + 500 * scale, box["y"] + top + 20 * scale)
    expect(page.locator(".face").nth(1)).to_have_class("face")
    assert not page.evaluate(SHOWN)
    page.mouse.click(*at)  # a tap: it stays
    page.mouse.move(5, 5)
    assert page.evaluate(SHOWN)
    page.mouse.click(*at)
    page.mouse.move(5, 5)
    until(page, lambda: not page.evaluate(SHOWN))
    # By keyboard: down from the faces to a card.
    page.locator(".faces").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".face").first).to_have_class("face lit")
    assert page.evaluate(SHOWN)
    page.locator("#pause").focus()
    until(page, lambda: not page.evaluate(SHOWN))


def test_what_is_saved_of_a_still_page_has_its_overlays(show: Show, page: Page) -> None:
    feed = show("door")
    page.goto(address(feed))
    until(page, lambda: page.evaluate(SHOWN))
    page.keyboard.press("Space")
    with page.expect_download() as download:
        page.locator(".save").click()
    image = cv2.imread(str(download.value.path()))
    assert image is not None
    scale = image.shape[1] / 640
    edge = image[round(160 * scale), round(38 * scale) : round(44 * scale)].astype(int)
    assert np.ptp(edge, axis=1).max() > 30  # a coloured line on a grey picture


def test_a_path_shows_where_a_face_came_from(show: Show, page: Page) -> None:
    feed = show("door", rate=0.01)
    page.goto(address(feed))
    page.get_by_text("Overlays").click()
    page.get_by_label("Paths").check()
    for seq in range(6):
        result = make_result(seq, "door")
        face = replace(result.faces[0], box=Box(40 + 40 * seq, 200, 60, 60))
        feed.web.write(replace(result, faces=(face,)), make_image())
        until(page, lambda: page.locator(".picture").get_attribute("data-seq") == str(seq))  # noqa: B023
    scale = scale_of(page)[0]
    column = [drawn_at(page, 150, 230 + n / scale)[3] for n in range(-2, 3)]
    assert max(column) > 150  # the way of its middle
    assert drawn_at(page, 150, 215)[3] == 0


def test_a_cut_leaves_no_card_of_the_scene_before(show: Show, page: Page) -> None:
    feed = show("door", rate=0.01)
    page.goto(address(feed))
    expect(page.locator(".camera")).to_have_count(1)
    before = make_result(0, "door", faces=2)
    feed.web.write(before, make_image())
    expect(page.locator(".face")).to_have_count(2)
    after = make_result(1, "door")
    feed.web.write(replace(after, cut=True, faces=(replace(after.faces[0], track=9),)), make_image())
    expect(page.locator(".face .number")).to_have_text(["9"])
