"""Which events there are, to the frame: on a scripted clip, and where a successor takes over."""

import json
from dataclasses import replace

import fastjsonschema
import pytest

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.types import Outcome
from emotion_stream.shared.words.words import load
from emotion_stream.sink.events.event import KINDS, Event, as_json, in_words
from emotion_stream.sink.events.watch import COUNTS_EVERY, Watcher
from tests.support.events import END, EXPECTED, SCHEMA, brief, check, follower, result, three_people
from tests.support.web_feed import HAPPY, SAD, make_result


def told(events: list[Event]) -> list[tuple[int, str, int, int | None, str]]:
    """As EXPECTED has it; `told_at` is the seq of the frame."""
    return [(round(event.told_at), *brief(check(as_json(event)))) for event in events]


def test_three_people_a_cut_and_a_gap() -> None:
    watcher, kept = Watcher(1.0), follower()
    events = [e for message in three_people() for e in watcher.see(result(kept, message), message.info.seq)]
    assert told([*events, *watcher.ended("hall", END)]) == EXPECTED
    changed = next(event for event in events if event.kind == "emotion_changed")
    assert as_json(changed)["since"] == as_json(changed)["captured_at"] == "2001-09-09T01:46:44.000+00:00"
    assert changed.duration == pytest.approx(4.0)  # it was happy from frame 0 to frame 100
    left = next(event for event in events if event.kind == "face_left")
    assert left.duration == pytest.approx(2.0)
    assert watcher.ended("hall", END) == []


def test_every_kind_has_words_for_people() -> None:
    """On the wire stays `counts`, which says to nobody that a minute was summed up."""
    told = {**dict.fromkeys(map(str, KINDS), 1), "counts": 3}
    assert in_words(told).startswith("tally of a minute 3, camera back 1, ")
    german = in_words(told, load("de"))
    assert german.startswith("Zählung einer Minute 3, Kamera wieder da 1, ")
    assert german.count(",") == len(KINDS) - 1


@pytest.mark.parametrize("every", [1, 7, 50])
def test_a_successor_tells_the_same(every: int) -> None:
    """And the same again for frames that are shown once more, with the same ids."""
    watcher, kept = Watcher(1.0), follower()
    events: list[Event] = []
    for n, message in enumerate(three_people()):
        if n and n % every == 0:
            state, tracks = watcher.state("hall"), kept.state("hall")
            watcher, kept = Watcher(1.0), follower()
            watcher.resume("hall", state)
            kept.resume("hall", tracks)
        before = watcher.state("hall"), kept.state("hall")
        found = watcher.see(result(kept, message), message.info.seq)
        again, again_kept = Watcher(1.0), follower()
        again.resume("hall", before[0])
        again_kept.resume("hall", before[1])
        repeated = again.see(result(again_kept, message), message.info.seq + 0.3)
        assert [event.id for event in repeated] == [event.id for event in found]
        events += found
    assert told([*events, *watcher.ended("hall", END)]) == EXPECTED
    assert len({event.id for event in events}) == len(events)


def test_the_hold_decides_what_is_a_change() -> None:
    counts = {}
    for hold in (0.0, 0.3, 0.5, 1.0, 8.0):
        watcher, kept = Watcher(hold), follower()
        events = [e for message in three_people() for e in watcher.see(result(kept, message), 0)]
        counts[hold] = sum(event.kind == "emotion_changed" for event in events)
    assert counts == {0.0: 3, 0.3: 3, 0.5: 1, 1.0: 1, 8.0: 0}  # C is sad for 0.4 seconds, and happy again


def test_nobody_becomes_uncertain_but_from_it_somebody_may_change() -> None:
    watcher = Watcher(1.0)

    def show(seq: int, shares: tuple[float, ...], uncertain: bool) -> list[Event]:
        made = make_result(seq, probabilities=shares)
        faces = tuple(replace(face, uncertain=uncertain) for face in made.faces)
        return watcher.see(replace(made, faces=faces), 0)

    (first,) = show(0, HAPPY, True)
    assert as_json(first)["label"] == "uncertain"
    assert [e for n in range(1, 17) for e in show(n, HAPPY, n == 6)] == []  # a doubt begins the second anew
    (changed,) = show(17, HAPPY, False)
    assert brief(check(as_json(changed))) == ("emotion_changed", 7, 1, "uncertain > happy")
    assert [e for n in range(18, 60) for e in show(n, HAPPY, True)] == []
    assert [e for n in range(60, 90) for e in show(n, HAPPY, False)] == []
    (sad,) = [e for n in range(90, 110) for e in show(n, SAD, False)]
    assert brief(check(as_json(sad))) == ("emotion_changed", 90, 1, "happy > sad")


def test_counts_once_a_minute_also_where_nobody_is() -> None:
    watcher = Watcher()
    events = [e for n in range(1300) for e in watcher.see(make_result(n, faces=2 if n < 500 else 0), 0)]
    counts = [check(as_json(event)) for event in events if event.kind == "counts"]
    assert [(c["seq"], c["frames"], c["people"], c["emotions"], c["duration"]) for c in counts] == [
        (0, 600, 2, {"happy": 1000}, COUNTS_EVERY),
        (600, 600, 0, {}, COUNTS_EVERY),
    ]
    (rest,) = watcher.ended("cam", 0)
    assert (rest.kind, as_json(rest)["frames"]) == ("counts", 100)
    assert rest.duration == pytest.approx(9.9)


def test_pictures_of_a_folder_are_counted_and_nobody_comes_or_goes() -> None:
    watcher = Watcher()
    events = [e for n in range(700) for e in watcher.see(replace(make_result(n, still=True), apart=True), 0)]
    assert [event.kind for event in events] == ["counts"]


def test_a_frame_that_could_not_be_read_makes_nobody_leave() -> None:
    watcher = Watcher()
    assert [e.kind for e in watcher.see(make_result(0), 0)] == ["face_appeared"]
    broken = make_result(1, faces=0, outcome=Outcome.error("corrupt"))
    assert watcher.see(broken, 0) == []
    assert watcher.see(make_result(2), 0) == []


def test_frames_in_which_nobody_looks_for_faces_tell_nothing_of_them() -> None:
    """With `--analyze-fps`: faces are carried over, and the last frame that was searched counts."""
    watcher, kept, events = Watcher(), follower(), []
    for n, message in enumerate(three_people()):
        if n % 2:
            message = replace(message, info=replace(message.info, analyzed=False), faces=())
        events += watcher.see(result(kept, message), 0)
    told = [(event.kind, event.at.seq, event.subject.track) for event in events if event.at and event.subject]
    assert told[:4] == [
        ("face_appeared", 0, 1),
        ("face_appeared", 10, 2),
        ("face_appeared", 20, 3),
        ("face_left", 60, 2),
    ]
    (counted,) = [event for event in watcher.ended("hall", 0) if event.kind == "counts"]
    assert counted.more["frames"] == 200
    assert sum(counted.more["emotions"].values()) < 250  # half of the clip's sightings


def test_a_camera_that_begins_anew_is_one_event() -> None:
    watcher = Watcher()
    watcher.see(make_result(5, faces=20), 0)
    events = watcher.see(make_result(0, faces=0, epoch="f"), 0)
    assert [event.kind for event in events] == ["scene_cut", "counts"]
    assert len(check(as_json(events[0]))["tracks"]) == 20


def test_cameras_are_lost_and_come_back_once() -> None:
    watcher = Watcher(names={"hall": "Eingang Süd"})
    states = [
        ("live", None), ("lost", "401 Unauthorized"), ("lost", "401 Unauthorized"), ("waiting", "connecting"),
        ("lost", "no route"), ("live", None), ("live", None), ("frozen", "always the same picture"),
        ("paused", None), ("live", None), ("ended", None),
    ]  # fmt: skip
    events = [e for n, (state, why) in enumerate(states) for e in watcher.camera_state("hall", state, why, n)]
    about = [check(as_json(event)) for event in events]
    assert [(e["kind"], e.get("reason"), e["told_at"][17:19], e["name"]) for e in about] == [
        ("camera_lost", "401 Unauthorized", "01", "Eingang Süd"),
        ("camera_lost", "no route", "04", "Eingang Süd"),
        ("camera_back", None, "05", "Eingang Süd"),
        ("camera_lost", "always the same picture", "07", "Eingang Süd"),
        ("camera_back", None, "09", "Eingang Süd"),
    ]
    assert len({e["id"] for e in about}) == len(about)
    assert [e.kind for e in watcher.see(make_result(0, camera="hall"), 0)] == ["face_appeared"]


def test_a_state_that_is_something_else_is_refused() -> None:
    watcher = Watcher()
    watcher.see(make_result(0), 0)
    whole = watcher.state("cam")
    watcher.resume("cam", b"")
    for wrong in (b"\0", b"\xc1", whole[:-3], b"\x95" + whole[1:5], b"\x95\x09" + whole[2:], whole + b"\0"):
        with pytest.raises(DecodeError):
            watcher.resume("cam", wrong)


def test_the_schema_knows_every_kind_and_takes_nothing_else() -> None:
    schema = json.loads(SCHEMA.read_text())
    assert schema["properties"]["kind"]["enum"] == list(KINDS)
    (event,) = Watcher().see(make_result(0), 0)
    good = as_json(event)
    check(good)
    for change in ({"kind": "party"}, {"extra": 1}, {"box": [1, 2, 3]}, {"track": None}, {"seq": None}):
        with pytest.raises(fastjsonschema.JsonSchemaException):
            check(good | change)
    for name in good:
        with pytest.raises(fastjsonschema.JsonSchemaException):
            check({key: value for key, value in good.items() if key != name})
