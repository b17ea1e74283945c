"""The state of a camera: online or not, whose emotion, and what was seen in the last minute."""

from dataclasses import replace
from typing import Any

from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.events.event import Event
from emotion_stream.sink.events.state import LASTING, States
from emotion_stream.sink.results.output import Face
from tests.support.web_feed import HAPPY, SAD, make_result


def told(states: States) -> dict[str, Any]:
    state = states.state("cam")
    assert state is not None
    return state


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_shares_are_those_of_the_last_minute() -> None:
    clock = Watch()
    states = States(["cam"], {}, clock)
    shares = []
    for n in range(LASTING + 1):
        states.see(make_result(n, probabilities=HAPPY if n < 30 else SAD))
        clock.now += 1.0
        shares.append(told(states)["shares"])
    assert shares[29] == {"happy": 1.0}
    assert shares[39] == {"happy": 0.75, "sad": 0.25}
    assert shares[59] == {"sad": 0.508, "happy": 0.492}  # its first second has just passed
    clock.now += LASTING
    assert told(states)["shares"] == {}


def test_the_main_emotion_is_that_of_the_largest_face() -> None:
    def face(result_face: Face, track: int, side: int) -> Face:
        return replace(result_face, track=track, box=Box(0, 0, side, side))

    states = States([], {})
    (small,), (large,) = (make_result(0, probabilities=shares).faces for shares in (HAPPY, SAD))
    for first, second in ((40, 80), (80, 40)):
        faces = face(small, 1, first), face(large, 2, second)
        states.see(replace(make_result(0), faces=faces))
        state = told(states)
        assert (state["faces"], state["emotion"]) == (2, "sad" if second > first else "happy")


def test_who_is_not_confirmed_is_not_counted() -> None:
    states = States([], {})
    made = make_result(0, faces=2)
    states.see(replace(made, faces=(made.faces[0], replace(made.faces[1], confirmed=False))))
    assert told(states)["faces"] == 1


def test_a_camera_is_online_from_its_first_frame_until_it_is_lost_or_at_its_end() -> None:
    states = States(["cam"], {"cam": "Küche"})

    def standing() -> tuple[bool, str | None]:
        state = told(states)
        return state["online"], state["reason"]

    assert standing() == (False, None)
    states.see(make_result(0))
    assert standing() == (True, None)
    states.tell(Event("camera_lost", "cam", "Küche", None, 1e9, more={"reason": "refused"}))
    states.see(make_result(1))  # it was under way
    assert standing() == (False, "refused")
    states.tell(Event("camera_back", "cam", "Küche", None, 1e9))
    assert standing() == (True, None)
    states.ended("cam")
    assert standing() == (False, "ended")
    states.see(make_result(0, epoch="again"))
    assert standing() == (True, None)
    assert states.names() == {"cam": "Küche"}
