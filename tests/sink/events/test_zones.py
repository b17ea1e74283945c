"""Zones in results and events, and areas that are hidden because nobody is looked for in them."""

from dataclasses import replace

import numpy as np

from emotion_stream.shared.messages.areas import parse_polygon
from emotion_stream.shared.messages.camera import CameraSettings
from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.drawing.privacy import hide
from emotion_stream.sink.events.event import Event
from emotion_stream.sink.events.event import as_json as event_as_json
from emotion_stream.sink.events.watch import COUNTS_EVERY, Watcher
from emotion_stream.sink.results.output import Result, as_json
from tests.support.events import check
from tests.support.web_feed import make_image, make_result, noise

LEFT, RIGHT = parse_polygon("0,0 0.5,0 0.5,1 0,1"), parse_polygon("0.5,0 1,0 1,1 0.5,1")
ZONES = (("door", LEFT), ("till", RIGHT), ("nobody", parse_polygon("0,0 0.1,0 0,0.1")))


def seen(second: float, *centres: int, zones: bool = True, ignore: bool = False) -> Result:
    """A result with a face at each of these columns."""
    result = make_result(int(second * 10), "hall", faces=len(centres), media_time=second)
    faces = zip(result.faces, centres, strict=True)
    own = CameraSettings(zones=ZONES if zones else (), ignore=(LEFT,) if ignore else ())
    moved = tuple(replace(face, box=Box(x - 50, 100, 100, 100)) for face, x in faces)
    return replace(result, faces=moved, info=replace(result.info, settings=own))


def test_json_lines_tell_the_zones_of_each_face() -> None:
    assert [face["zones"] for face in as_json(seen(0, 100, 400))["faces"]] == [["door"], ["till"]]
    assert as_json(seen(0))["faces"] == []
    assert "zones" not in as_json(seen(0, 100, zones=False))["faces"][0]


def walk(watcher: Watcher, until: float) -> list[Event]:
    """One stays at the door, another walks from there to the till; both leave."""
    found: list[Event] = []
    for n in range(int(until * 10)):
        here = (100, 200 + 2 * n) if n < 200 else ()
        found += watcher.see(seen(n / 10, *(min(x, 600) for x in here)), n / 10)
    return found


def test_events_and_counts_tell_zones() -> None:
    events = walk(Watcher(), COUNTS_EVERY + 0.2)
    told = [check(event_as_json(event)) for event in events]
    assert [(e["kind"], e.get("zones")) for e in told if e["kind"] != "counts"] == [
        ("face_appeared", ["door"]),
        ("face_appeared", ["door"]),
        ("face_left", ["door"]),
        ("face_left", ["till"]),
    ]
    [counts] = [e for e in told if e["kind"] == "counts"]
    assert counts["people"] == 2
    assert counts["in_zones"] == {"door": 2, "till": 1, "nobody": 0}


def test_without_zones_nothing_speaks_of_them() -> None:
    watcher = Watcher()
    events = watcher.see(seen(0, 100, zones=False), 0.0) + watcher.see(seen(61, zones=False), 61.0)
    told = [check(event_as_json(event)) for event in events]
    assert {e["kind"] for e in told} == {"face_appeared", "face_left", "counts"}
    assert not any({"zones", "in_zones"} & e.keys() for e in told)


def test_a_successor_knows_who_was_where() -> None:
    first, second = Watcher(), Watcher()
    for n in range(100):
        first.see(seen(n / 10, 100, 600), n / 10)
    second.resume("hall", first.state("hall"))
    told = [check(event_as_json(e)) for e in [*second.see(seen(10), 10.0), *second.ended("hall", 11.0)]]
    assert [e["zones"] for e in told if e["kind"] == "face_left"] == [["door"], ["till"]]
    assert told[-1]["in_zones"] == {"door": 1, "till": 1, "nobody": 0}


def test_with_hidden_faces_what_is_ignored_is_hidden_as_a_whole() -> None:
    image = noise(1)
    hidden = hide(image, seen(0, ignore=True))
    # Flat blocks, where noise was: also where half a face is whose centre lies inside.
    assert np.abs(np.diff(hidden[:, :380].astype(int), axis=1)).mean() < 2
    assert (hidden[:, 390:] == image[:, 390:]).all()
    assert hide(image[:2], seen(0, ignore=True)).shape == (2, 640, 3)  # flatter than a block
    assert (hide(image, seen(0)) == image).all()
    assert hide(make_image(), seen(0, ignore=True)).shape == (360, 640, 3)
