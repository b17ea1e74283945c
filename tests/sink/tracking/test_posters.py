"""Faces that never change are told from people who sit still."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.results.monitor import Report
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.results.stats import Stats
from emotion_stream.sink.tracking.posters import Offer, Posters
from emotion_stream.sink.web.hub import Hub
from tests.support.pictures import portraits, sample_frames
from tests.support.web_feed import make_result

NOISES = np.random.default_rng(0).normal(0, 6, (3, 360, 640, 3)).astype(np.float32)
BOX = Box(200, 100, 80, 80)


def scene(person: Image, shade: float = 1.0, across: int = 0) -> Image:
    """A noisy picture with a face at BOX, or so many pixels further right."""
    picture = np.full((360, 640, 3), 120, np.float32)
    picture[90:190, 190 + across : 290 + across] = cv2.resize(person, (100, 100))
    noisy = picture * np.float32(shade) + NOISES[int(shade * 999) % 3]
    return np.asarray(noisy.clip(0, 255), np.uint8)


def seen(second: float, box: Box = BOX, track: int = 7, **about: Any) -> Result:
    result = make_result(int(second * 10), faces=1, media_time=second, **about)
    return replace(result, faces=(replace(result.faces[0], box=box, track=track),))


def shaky(second: float) -> Box:
    """A detector is not sure to the pixel."""
    n = int(second) // 10
    return Box(BOX.x + n % 5 - 2, BOX.y - n % 3, BOX.width + n % 7 - 3, BOX.height)


def offers(posters: Posters, results: list[tuple[Result, Image]]) -> tuple[Offer, ...]:
    found: tuple[Offer, ...] = ()
    for result, image in results:
        latest = posters.see(result, image)
        found = found if latest is None else latest
    return found


def test_a_poster_is_offered_after_ten_minutes_and_not_before() -> None:
    poster = portraits()[0]
    posters = Posters(600)
    times = [float(n) for n in range(0, 620, 10)]
    # It gets darker, and the face is lost for a minute while somebody stands before it.
    frames = [(seen(t, shaky(t)), scene(poster, 1 - t / 1200)) for t in times if not 200 < t < 260]
    before = [pair for pair in frames if pair[0].info.media_time < 600]
    assert offers(posters, before) == ()
    [offer] = offers(posters, frames[len(before) :])
    assert offer.track == 7
    assert offer.seconds >= 600
    (left, top), _, (right, bottom), _ = offer.area
    assert left * 640 < BOX.x < BOX.x + BOX.width < right * 640
    assert top * 360 < BOX.y < BOX.y + BOX.height < bottom * 360
    assert (right - left) * 640 < 2 * BOX.width


def test_somebody_who_hardly_moves_is_no_poster() -> None:
    person, blink = portraits()[0], portraits()[0].copy()
    blink[55:75, 40:120] = blink[80:100, 40:120]  # the eyes
    for other in (scene(person, across=5), scene(blink)):
        posters = Posters(60)
        still = scene(person)
        frames = [(seen(float(t)), other if t % 20 == 0 else still) for t in range(120)]
        assert offers(posters, frames) == ()


def test_people_of_the_sample_clip_are_none_but_its_pictures_held_still_are() -> None:
    clip = sample_frames()
    box = Box(110, 100, 130, 130)
    talking = [(seen(n / 25, box), clip[n % len(clip)]) for n in range(0, 250, 5)]
    assert offers(Posters(4), talking) == ()
    held = [(seen(n / 25, box), clip[115]) for n in range(0, 250, 5)]
    assert len(offers(Posters(4), held)) == 1


@pytest.mark.parametrize("after", [0.0, 60.0])
def test_what_is_not_looked_at_is_not_offered(after: float) -> None:
    posters = Posters(after)
    image = scene(portraits()[0])
    for second in range(100):
        assert not posters.see(seen(second, analyzed=False), image)
        assert not posters.see(replace(seen(second), apart=True), image)
        assert not posters.see(seen(second), None)


def test_a_camera_that_stands_still_as_a_whole_offers_nothing() -> None:
    hub = Hub(("cam",), posters=Posters(5))
    image = scene(portraits()[0])
    for second in range(8):
        hub.show(seen(second), image)
    [camera] = hub.status().cameras
    assert [poster.track for poster in camera.posters] == [7]
    hub.report(Report(Stats(), 0.0, frozenset(), {"cam": Signal("frozen", None, 1.0, "x")}))
    hub.show(seen(9), image)
    assert hub.status().cameras[0].posters == []
