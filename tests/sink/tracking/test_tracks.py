"""Tracks, smoothing, and hidden faces: on plain data, and on what detector and classifier say of real clips."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from emotion_stream.shared.errors import DecodeError, UsageError
from emotion_stream.shared.messages.types import OK, Box, Emotions, FrameInfo, Outcome, Prediction
from emotion_stream.sink.results.output import BRIDGED, Result
from emotion_stream.sink.tracking.follow import Follower, Following, following
from emotion_stream.sink.tracking.smoothing import FLOOR, HOLD, LEAD, Smoother
from emotion_stream.sink.tracking.tracks import MAX_MISS, Confirmation, Tracker, iou

LABELS = ("angry", "happy", "sad")
HAPPY, SAD = (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)
AT_ONCE = Confirmation(1, 1)


def box(x: float, y: float = 50, side: int = 100) -> Box:
    return Box(round(x), round(y), side, side)


def ids(tracker: Tracker, boxes: Sequence[Box], time: float) -> list[int]:
    return [track.id for track in tracker.update(boxes, time)]


def emotions(
    seq: int,
    faces: Sequence[tuple[Box, tuple[float, ...]]] = (),
    *,
    time: float | None = None,
    camera: str = "hall",
    epoch: str = "a",
    still: bool = False,
    outcome: Outcome = OK,
    below: float | None = None,
) -> Emotions:
    when = seq / 25 if time is None else time
    info = FrameInfo(camera, "x.mp4", epoch, seq, 1e9 + when, when, 640, 360, "lossless", still)
    found = tuple(Prediction(b, 5.0, p) for b, p in faces)
    return Emotions(info, f"{seq + 1}-0", LABELS, found, outcome, below)


def follower(confirm: str = "1/1", smoothing: float = 0.3, uncertain: str = "auto") -> Follower:
    return Follower(following(confirm, smoothing, uncertain))


# --- tracks --------------------------------------------------------------------------------------------------


def test_iou() -> None:
    assert iou(box(0), box(0)) == 1
    assert iou(box(0), box(50)) == pytest.approx(1 / 3)
    assert iou(box(0), box(100)) == 0
    assert iou(box(0), box(0), 0.25) == 1
    assert iou(box(0), box(75), 0.25) == pytest.approx(1 / 3)  # of 150 pixels, half are shared


@pytest.mark.parametrize("seed", range(5))
def test_tracks_follow_moving_faces_whatever_the_order_of_the_boxes(seed: int) -> None:
    tracker, rng = Tracker(AT_ONCE), random.Random(seed)
    for n in range(50):
        shake = [rng.randint(-6, 6) for _ in range(3)]
        faces = [(0, box(10 + 10 * n + shake[0])), (1, box(700 - 5 * n, 400 + shake[1])), (2, box(400, 700 + n))]
        rng.shuffle(faces)
        found = ids(tracker, [b for _, b in faces], n / 25)
        named = dict(zip((who for who, _ in faces), found, strict=True))
        if n == 0:
            first = named
        assert named == first
    assert sorted(first.values()) == [1, 2, 3]


def test_faces_that_cross_keep_their_ids() -> None:
    tracker = Tracker(AT_ONCE)
    for n in range(50):
        left, right = box(12 * n, 50), box(600 - 12 * n, 60)
        boxes = [left, right] if abs(left.x - right.x) > 40 else [left]  # one hides the other for a moment
        found = ids(tracker, boxes, n / 25)
        assert found == [1, 2][: len(boxes)]


@pytest.mark.parametrize("rate", [1, 4, 25, 60])
def test_the_time_of_the_medium_counts_not_the_number_of_frames(rate: int) -> None:
    """The same walk at any frame rate; a step of less than a face's side is followed even from a standstill."""
    tracker = Tracker(AT_ONCE)
    assert {i for n in range(4 * rate) for i in ids(tracker, [box(60 * n / rate)], n / rate)} == {1}


def test_tracks_survive_a_short_miss() -> None:
    tracker = Tracker(AT_ONCE)
    assert ids(tracker, [box(0)], 0.0) == [1]
    assert ids(tracker, [], 0.3) == []
    assert [track.id for track in tracker.unseen] == [1]
    assert ids(tracker, [box(10)], MAX_MISS) == [1]
    assert tracker.unseen == []
    assert ids(tracker, [box(10)], 2 * MAX_MISS + 0.1) == [2]
    assert ids(tracker, [box(10)], 0.0) == [3]  # the medium began again


def test_a_missed_face_is_expected_where_it_was_going() -> None:
    tracker = Tracker(AT_ONCE)
    for n in range(20):
        tracker.update([box(20 * n)], n / 25)
    tracker.update([], 20 / 25)
    (missed,) = tracker.unseen
    assert missed.at(20 / 25).x == pytest.approx(400, abs=8)
    far = missed.at(0.76 + MAX_MISS)
    assert far == missed.at(5.0)  # it does not go on for ever
    assert 400 < far.x < 700


def test_the_better_overlap_wins_and_confirmed_tracks_choose_first() -> None:
    tracker = Tracker(AT_ONCE)
    assert ids(tracker, [box(0)], 0) == [1]
    assert ids(tracker, [box(30), box(5)], 0.04) == [2, 1]
    tracker = Tracker(Confirmation(2, 2))
    ids(tracker, [box(0)], 0)
    ids(tracker, [box(0)], 0.04)
    assert ids(tracker, [box(0), box(60)], 0.08) == [1, 2]  # 2 is not confirmed yet
    assert ids(tracker, [box(50)], 0.12) == [1]


@pytest.mark.parametrize(("hits", "window"), [(1, 1), (3, 5), (4, 4), (2, 10)])
def test_a_track_is_confirmed_after_k_of_n_frames(hits: int, window: int) -> None:
    rng = random.Random(hits)
    for _ in range(50):
        tracker = Tracker(Confirmation(hits, window))
        pattern = [1] + [int(rng.random() < 0.4) for _ in range(30)]
        confirmed = False
        for n, there in enumerate(pattern):
            if not any(pattern[max(0, n - window) : n]) and n and not confirmed:
                break  # nothing in n frames: it is gone, and another begins
            found = tracker.update([box(0)] if there else [], n / 50)
            confirmed |= sum(pattern[max(0, n + 1 - window) : n + 1]) >= hits
            assert all(track.confirmed == confirmed and track.id == 1 for track in found)


# --- smoothing -----------------------------------------------------------------------------------------------


def test_averages_are_those_of_log_probabilities_with_halving_weights() -> None:
    smoother, rng = Smoother(), random.Random(1)
    shares = [[rng.random() + 0.01 for _ in range(4)] for _ in range(6)]
    raw = [[p / sum(row) for p in row] for row in shares]
    times = [0.0, 0.04, 0.1, 0.1, 0.3, 0.9]
    for row, time in zip(raw, times, strict=True):
        averaged = smoother.update(row, time, 10.0)  # slow: nothing begins anew
    weights = [0.5 ** ((times[-1] - t) / 10.0) for t in times]
    logs = [
        sum(w * math.log(max(row[k], FLOOR)) for w, row in zip(weights, raw, strict=True)) / sum(weights)
        for k in range(4)
    ]
    wanted = [math.exp(s) / sum(map(math.exp, logs)) for s in logs]
    run = {max(range(4), key=row.__getitem__) for row in raw}
    assert len(run) > 1
    assert averaged == pytest.approx(wanted)


def test_without_smoothing_everything_is_raw() -> None:
    smoother, rng = Smoother(), random.Random(2)
    for n in range(50):
        raw = [rng.random() for _ in range(7)]
        assert smoother.update(raw, n / 25, 0.0) == tuple(raw)
        assert smoother.label == max(range(7), key=raw.__getitem__)


@pytest.mark.parametrize("rate", [5, 25, 60])
@pytest.mark.parametrize("sure", [0.5, 0.9, 0.9999])
def test_a_change_that_lasts_is_shown_soon_however_sure_the_face_was(rate: int, sure: float) -> None:
    smoother = Smoother()
    for n in range(10 * rate):
        smoother.update((1 - sure, sure, 0.0), n / rate, 0.3)
    assert smoother.label == (1 if sure > 0.5 else 0)
    for n in range(rate):
        smoother.update((0.1, 0.4, 0.5), 10 + n / rate, 0.3)
        if smoother.label == 2:
            break
    assert 0.1 < n / rate <= HOLD + 1 / rate
    assert HOLD + 1 / 25 < 0.3


def test_a_label_does_not_flicker_between_two_that_are_as_likely() -> None:
    rng, smoother = random.Random(3), Smoother()
    raw_changes = changes = 0
    last = label = 0
    for n in range(25 * 60):
        p = min(max(rng.gauss(0.45, 0.1), 0.05), 0.85)
        raw = (p, 0.9 - p, 0.1)
        smoother.update(raw, n / 25, 0.3)
        best = max(range(3), key=raw.__getitem__)
        raw_changes += best != last
        changes += smoother.label != label
        last, label = best, smoother.label
    assert raw_changes > 400
    assert changes < raw_changes / 6


def test_one_odd_frame_changes_nothing() -> None:
    smoother = Smoother()
    for n in range(50):
        smoother.update(SAD if n == 30 else HAPPY, n / 25, 0.3)
        assert smoother.label == 1


def test_another_model_begins_anew() -> None:
    smoother = Smoother()
    smoother.update(HAPPY, 0.0, 0.3)
    assert smoother.update((0.25, 0.75), 0.04, 0.3) == pytest.approx((0.25, 0.75))


def test_uncertainty_does_not_flicker_either() -> None:
    smoother = Smoother()
    assert [smoother.doubt(c, 0.4) for c in (0.5, 0.39, 0.41, 0.44, 0.46, 0.41)] == [
        False, True, True, True, False, False,
    ]  # fmt: skip
    assert not smoother.doubt(0.01, None)


# --- both, per camera ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "3", "0/5", "6/5", "3/61", "a/b", "-1/5", "3/5/7", "1.5/3"])
def test_wrong_confirmations_are_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--confirm"):
        following(text, 0.3, "auto")


@pytest.mark.parametrize("text", ["", "on", "1.1", "-0.1", "nan", "40%"])
def test_wrong_thresholds_are_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--uncertain"):
        following("3/5", 0.3, text)


def test_the_threshold_is_the_models_or_ones_own() -> None:
    message = emotions(0, [(box(0), (0.3, 0.5, 0.2))], below=0.6)
    found = {u: follower(uncertain=u).follow(message)[0][0].uncertain for u in ("auto", "off", "0.4", "0.55")}
    assert found == {"auto": True, "off": False, "0.4": False, "0.55": True}
    assert not follower().follow(replace(message, uncertain_below=None))[0][0].uncertain
    assert following("3/5", 0.3, "auto") == Following(Confirmation(3, 5), 0.3, None, True)


def test_faces_have_raw_and_averaged_probabilities_and_are_confirmed_in_time() -> None:
    kept = follower("2/3")
    (first,), *_ = kept.follow(emotions(0, [(box(0), HAPPY)]))
    (second,), *_ = kept.follow(emotions(1, [(box(2), SAD)]))
    assert (first.track, first.confirmed, first.raw) == (1, False, HAPPY)
    assert first.probabilities == pytest.approx(HAPPY)
    assert (second.track, second.confirmed, second.raw) == (1, True, SAD)
    assert second.probabilities[0] == pytest.approx(0.15, abs=0.01)
    assert 0 < second.probabilities[2] - second.probabilities[1] < LEAD
    assert (second.label, second.box, second.weight) == (1, box(2), 5.0)


def test_stills_stand_alone_and_no_number_is_used_twice() -> None:
    kept = follower("3/5")
    two = [(box(0), HAPPY), (box(200), SAD)]
    found = [kept.follow(emotions(n, two, still=True, below=0.9)) for n in range(3)]
    assert [[f.track for f in faces] for faces, *_ in found] == [[1, 2], [3, 4], [5, 6]]
    for faces, unseen, _, apart in found:
        assert unseen == ()
        assert apart
        assert all(f.confirmed and f.uncertain and f.probabilities == f.raw for f in faces)
        assert [f.label for f in faces] == [1, 2]
    (moving,), *_ = kept.follow(emotions(3, two[:1]))
    assert (moving.track, moving.confirmed) == (7, False)


def test_cameras_are_apart_and_another_epoch_begins_anew_with_new_numbers() -> None:
    kept = follower()
    one = [(box(0), HAPPY)]
    assert kept.follow(emotions(0, one))[0][0].track == 1
    assert kept.follow(emotions(0, one, camera="door"))[0][0].track == 1
    assert kept.follow(emotions(0, one, epoch="b"))[0][0].track == 2
    assert kept.follow(emotions(1, one, camera="door"))[0][0].track == 1


def test_a_frame_that_could_not_be_read_is_no_miss() -> None:
    kept = follower("2/2")
    kept.follow(emotions(0, [(box(0), HAPPY)]))
    assert kept.follow(emotions(1, outcome=Outcome.error("corrupt"))) == ((), (), False, False)
    (face,), *_ = kept.follow(emotions(2, [(box(0), HAPPY)]))
    assert (face.track, face.confirmed) == (1, True)


def test_what_is_missed_is_remembered() -> None:
    kept = follower()
    for n in range(20):
        kept.follow(emotions(n, [(box(10 * n), HAPPY)]))
    faces, (missed,), *_ = kept.follow(emotions(20))
    assert faces == ()
    assert (missed.track, missed.label, missed.confirmed) == (1, 1, True)
    assert missed.missed == pytest.approx(0.04)
    assert missed.box.x == pytest.approx(200, abs=5)
    assert missed.probabilities == pytest.approx(HAPPY)
    info = emotions(20).info
    assert Result(info, OK, LABELS, (), 0.1, (missed,)).drawn == (missed,)
    assert Result(info, OK, LABELS, (), 0.1, (replace(missed, missed=BRIDGED + 0.01),)).drawn == ()
    assert Result(info, OK, LABELS, (), 0.1, (replace(missed, confirmed=False),)).drawn == ()


def wild(seed: int) -> list[Emotions]:
    """Faces that come, go, jump and change their minds, among stills, errors and another epoch."""
    rng, out = random.Random(seed), []
    for n in range(200):
        faces = []
        for who in range(3):
            if rng.random() < 0.7:
                p = [rng.random() ** 3 + 1e-3 for _ in LABELS]
                shaken = box(
                    200 * who + 3 * n + rng.randint(-20, 20), 50 + rng.randint(-9, 9), rng.randint(60, 130)
                )
                faces.append((shaken, tuple(q / sum(p) for q in p)))
        bad = rng.random() < 0.05
        out.append(
            emotions(
                n,
                () if bad else faces,
                still=rng.random() < 0.02,
                outcome=Outcome.error("corrupt") if bad else OK,
                epoch="a" if n < 150 else "b",
                below=0.5,
            )
        )
    return out


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_successor_answers_exactly_as_its_predecessor_would_have(seed: int, smoothing: float) -> None:
    """So frames that are shown again after a takeover get the same numbers, and none is given to somebody else."""
    frames = wild(seed)
    whole = follower("3/5", smoothing)
    expected = [whole.follow(frame) for frame in frames]
    cut = random.Random(seed).randrange(10, 190)
    first = follower("3/5", smoothing)
    for frame in frames[:cut]:
        first.follow(frame)
    successor = follower("3/5", smoothing)
    successor.resume("hall", first.state("hall"))
    assert [successor.follow(frame) for frame in frames[cut:]] == expected[cut:]
    assert len(first.state("hall")) < 4000
    assert whole.state("door") == b""
    successor.resume("door", b"")


def test_a_damaged_state_is_refused() -> None:
    kept, frames = follower(), wild(1)
    for frame in frames[:40]:
        kept.follow(frame)
    good, rng = kept.state("hall"), random.Random(4)
    for bad in (b"\x00", b"nothing", b"\x94\x02\xa1a\x01\x90", good[:-1]):
        with pytest.raises(DecodeError):
            follower().resume("hall", bad)
    for _ in range(500):
        broken = bytearray(good)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        other = follower()
        try:
            other.resume("hall", bytes(broken))
        except DecodeError:
            continue
        other.follow(frames[41])  # what is taken can be gone on with


def change_id(state: list[Any]) -> None:
    state[2] = 2**64 - 1  # the next number would not fit into a message


def change_place(state: list[Any]) -> None:
    state[3][0][0][1] = 1e300  # no picture is so wide


def change_average(state: list[Any]) -> None:
    state[3][0][1][0][0][0] = 1e4  # more probable than certain


@pytest.mark.parametrize("change", [change_id, change_place, change_average])
def test_a_state_that_cannot_be_is_refused(change: Callable[[list[Any]], None]) -> None:
    """Else each sink that takes over would end with it, one after the other."""
    kept, frames = follower(), wild(1)
    for frame in frames[:40]:
        kept.follow(frame)
    state = msgpack.unpackb(kept.state("hall"))
    follower().resume("hall", msgpack.packb(state))
    change(state)
    with pytest.raises(DecodeError):
        follower().resume("hall", msgpack.packb(state))
