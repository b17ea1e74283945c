"""The order of results."""

import math
import random
from collections import defaultdict
from dataclasses import replace

import pytest

from emotion_stream.shared.messages.types import OK, Emotions, FrameInfo, Mode, Outcome
from emotion_stream.sink.order import Released, Reorder


def message(
    seq: int,
    camera: str = "hall",
    epoch: str = "a",
    mode: Mode = "lossless",
    outcome: Outcome = OK,
    age: int = 1000,
) -> Emotions:
    """`age` orders the epochs: the milliseconds of the frame's stream id are `age + seq`."""
    info = FrameInfo(camera, "x.mp4", epoch, seq, 1e9, seq / 25, 640, 360, mode)
    return Emotions(info, f"{age + seq}-0", (), (), outcome)


def seqs(released: list[Released]) -> list[int]:
    return [r.message.info.seq for r in released if r.message is not None]


def ids(released: list[Released]) -> list[str]:
    return [i for r in released for i in r.ids]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_with_duplicates_comes_out_once_and_in_order(seed: int) -> None:
    rng = random.Random(seed)
    arrivals = [message(seq, camera) for camera in ("hall", "door") for seq in range(60)]
    arrivals += rng.choices(arrivals, k=30)
    rng.shuffle(arrivals)
    order, shown = Reorder(hold_back=0.01), defaultdict(list)
    acknowledged: list[str] = []
    for n, item in enumerate(arrivals):
        order.add(item, f"id{n}", n)
        if rng.random() < 0.5:
            for r in order.release(n):
                acknowledged += r.ids
                if r.message is not None:
                    shown[r.camera].append(r.message.info.seq)
    for r in order.release(len(arrivals)):
        acknowledged += r.ids
        if r.message is not None:
            shown[r.camera].append(r.message.info.seq)
    assert shown == {"hall": list(range(60)), "door": list(range(60))}
    assert sorted(acknowledged) == sorted(f"id{n}" for n in range(len(arrivals)))
    assert (order.missing, order.duplicates) == (0, 30)
    assert order.position("hall") == ("a", 60)
    assert not order.holding


@pytest.mark.parametrize("seed", range(20))
def test_live_shows_in_order_and_counts_what_never_came(seed: int) -> None:
    rng = random.Random(seed)
    arrivals = [s for s in range(100) if s == 99 or rng.random() < 0.8]
    order, out = Reorder(hold_back=1.0), []
    # Each frame is late by less than the hold-back, so nothing that came may be given up.
    for at, seq in sorted((seq * 0.04 + rng.random() * 0.9, seq) for seq in arrivals):
        order.add(message(seq, mode="live"), str(seq), at)
        out += order.release(at)
    out += order.release(100)
    assert seqs(out) == arrivals
    assert order.missing == 100 - len(arrivals) == sum(r.missing for r in out)
    assert order.position("hall") == ("a", 100)


def test_lossless_waits_for_ever() -> None:
    order = Reorder(hold_back=1.0)
    for seq in (0, 2, 3):
        order.add(message(seq), str(seq), 0)
    assert seqs(order.release(math.inf)) == [0]
    assert order.position("hall") == ("a", 1)
    order.add(message(1), "1", 1e6)
    assert seqs(order.release(1e6)) == [1, 2, 3]


def test_live_gap_ends_hold_back_after_the_later_frame_came() -> None:
    order = Reorder(hold_back=1.0)
    order.add(message(0, mode="live"), "i0", 0)
    assert ids(order.release(0)) == ["i0"]
    order.add(message(3, mode="live"), "i3", 10)
    assert order.release(10.9) == []
    assert order.holding
    gap, frame = order.release(11)
    assert (gap.message, gap.missing, gap.ids) == (None, 2, ())
    assert frame.ids == ("i3",)
    order.add(message(2, mode="live"), "late", 12)  # its place has passed
    assert [(r.message, r.ids) for r in order.release(12)] == [(None, ("late",))]
    assert (order.missing, order.duplicates) == (2, 1)


def test_tombstones_fill_their_place() -> None:
    order = Reorder()
    order.add(message(1, mode="live"), "1", 0)
    order.add(message(0, mode="live", outcome=Outcome.dropped("stale")), "0", 0)
    assert seqs(order.release(0)) == [0, 1]
    assert order.missing == 0


def test_the_same_entry_delivered_again_is_not_acknowledged_before_it_is_shown() -> None:
    order = Reorder()
    order.add(message(1), "i1", 0)
    order.add(message(1), "i1", 1)
    order.add(message(1), "copy", 1)
    assert order.release(2) == []
    order.add(message(0), "i0", 3)
    assert ids(order.release(3)) == ["i0", "i1", "copy"]
    assert order.duplicates == 1


def test_resumes_where_it_stopped() -> None:
    order = Reorder()
    order.resume("hall", "old", 9)
    order.resume("hall", "a", 5)
    order.add(message(4), "4", 0)
    order.add(message(6), "6", 0)
    order.add(message(5), "5", 0)
    out = order.release(0)
    assert seqs(out) == [5, 6]
    assert sorted(ids(out)) == ["4", "5", "6"]
    assert order.position("hall") == ("a", 7)
    assert order.position("nobody") is None


def test_a_new_live_epoch_ends_the_old_one_and_waits_for_it() -> None:
    order = Reorder(hold_back=1.0)
    order.add(message(0, mode="live"), "a0", 0)
    order.add(message(2, mode="live"), "a2", 0.5)
    order.add(message(0, epoch="b", mode="live", age=9000), "b0", 0.6)
    order.add(message(1, epoch="b", mode="live", age=9000), "b1", 0.7)
    assert ids(order.release(0.8)) == ["a0"]
    order.add(message(4, mode="live"), "a4", 1.4)  # still coming: released with the rest
    out = order.release(1.6)
    assert [(r.epoch, r.message and r.message.info.seq, r.missing) for r in out] == [
        ("a", None, 1), ("a", 2, 0), ("a", None, 1), ("a", 4, 0), ("b", 0, 0), ("b", 1, 0),
    ]  # fmt: skip
    assert order.position("hall") == ("b", 2)
    order.add(message(5, mode="live"), "a5", 2)  # a straggler must not bring the old epoch back
    order.add(message(2, epoch="b", mode="live", age=9000), "b2", 2)
    assert [(r.epoch, r.message is None) for r in order.release(2)] == [("a", True), ("b", False)]


def test_a_quiet_camera_that_restarts_is_shown_at_once() -> None:
    order = Reorder(hold_back=1.0)
    order.add(message(0, mode="live"), "a0", 0)
    order.release(0)
    order.add(message(0, epoch="b", mode="live", age=9000), "b0", 5)
    assert ids(order.release(5)) == ["b0"]


def test_lossless_runs_do_not_discard_one_another() -> None:
    order = Reorder(hold_back=1.0)
    order.add(message(1), "a1", 0)
    order.add(message(0, epoch="b", age=9000), "b0", 0.5)
    assert order.release(0.6) == []  # the older run may still be under way
    assert ids(order.release(1.0)) == ["b0"]
    assert order.position("hall") == ("b", 1)
    order.add(message(0), "a0", 50)
    assert ids(order.release(50)) == ["a0", "a1"]
    assert order.missing == order.duplicates == 0
    assert order.position("hall") == ("b", 1)


def test_live_memory_is_bounded() -> None:
    order, out = Reorder(hold_back=60, capacity=10), []
    for seq in range(5, 2000, 2):  # every other frame is lost
        order.add(message(seq, mode="live"), str(seq), 0)
        out += order.release(0)
        assert seq - (seqs(out)[-1] if out else 0) <= 25
    out += order.release(math.inf)
    assert seqs(out) == list(range(5, 2000, 2))
    assert order.missing == 2000 - len(seqs(out))


def test_many_restarts_of_a_camera_keep_nothing() -> None:
    order, out = Reorder(hold_back=0.5), []
    for n in range(200):
        order.add(message(1, epoch=f"e{n}", mode="live", age=1000 * n), str(n), n)
        out += order.release(n)
    out += order.release(math.inf)
    assert [r.epoch for r in out if r.message] == [f"e{n}" for n in range(200)]
    assert order.missing == 200


def test_frames_that_were_left_out_are_no_gap_and_are_counted_where_they_would_have_been() -> None:
    order = Reorder(hold_back=5.0)
    late = message(3, mode="live")
    late = replace(late, info=replace(late.info, left_out=2))
    order.add(late, "b", 0.0)
    assert order.release(0.1) == []  # frame 0 is on its way
    order.add(message(0, mode="live"), "a", 0.2)
    out = order.release(0.2)
    assert [(r.message.info.seq if r.message else None, r.left_out, r.missing) for r in out] == [
        (0, 0, 0), (None, 1, 0), (None, 1, 0), (3, 0, 0)
    ]  # fmt: skip
    assert (order.missing, order.arrived) == (0, {"hall": ("a", 4, 0)})


def test_more_left_out_than_can_be_held_is_missing() -> None:
    order = Reorder(hold_back=1.0, capacity=10)
    far = message(1000, mode="live")
    order.add(replace(far, info=replace(far.info, left_out=1000)), "a", 0.0)
    out = order.release(0.0)
    assert sum(r.left_out + r.missing + (r.message is not None) for r in out) == 1001
    assert not order.holding
