"""Time stamps that jump, wrap, stand still or are missing become a time that goes on."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from emotion_stream.producer.media.bursts import MARGIN, Smooth
from emotion_stream.producer.media.clock import WRAPS, MediaClock, Tick

RATE = 25


def ticks(stamps: Sequence[float | None], rate: float | None = RATE) -> list[Tick]:
    clock = MediaClock(rate)
    return [clock.tick(stamp) for stamp in stamps]


def steady(count: int, start: float = 0.0, rate: float = RATE) -> list[float | None]:
    return [start + n / rate for n in range(count)]


def even(found: Sequence[Tick], step: float = 1 / RATE) -> bool:
    return all(b.time - a.time == pytest.approx(step, abs=1e-6) for a, b in pairwise(found))


def gaps(found: Sequence[Tick]) -> dict[int, float]:
    return {n: round(tick.gap, 3) for n, tick in enumerate(found) if tick.gap}


def test_a_steady_clock_is_left_alone() -> None:
    found = ticks(steady(100, 1234.5))
    assert found[0] == Tick(0.0)
    assert even(found)
    assert not gaps(found)


@pytest.mark.parametrize("jump", [2.0, 7200.0, 86_400.0, -2.0, -7200.0])
def test_a_jump_is_stepped_over_and_told_once(jump: float) -> None:
    found = ticks([*steady(38, 10_000), *steady(37, 10_000 + 38 / RATE + jump)])
    assert even(found)
    assert gaps(found) == {38: jump}


def test_one_wrong_stamp_is_two_jumps_and_no_time_is_lost() -> None:
    stamps = steady(75)
    stamps[38] = 7200.0
    found = ticks(stamps)
    assert even(found)
    assert list(gaps(found)) == [38, 39]
    assert sum(gaps(found).values()) == pytest.approx(-1 / RATE * 0, abs=0.05)


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_wrap_is_no_jump(wrap: float) -> None:
    clock = MediaClock(RATE)
    found = [clock.tick((wrap - 1 + n / RATE) % wrap) for n in range(75)]
    assert even(found)
    assert not gaps(found)
    assert clock.wraps == 1


@pytest.mark.parametrize("wrong", [None, "equal"])
def test_missing_and_equal_stamps_are_guessed_from_the_rate(wrong: str | None) -> None:
    stamps = steady(100)
    for n in (*range(20, 25), 50, 52, 54):
        stamps[n] = None if wrong is None else stamps[n - 1]
    found = ticks(stamps)
    assert even(found)
    assert not gaps(found)


@pytest.mark.parametrize("stamps", [[None] * 50, [5.0] * 50])
def test_no_clock_at_all(stamps: list[float | None]) -> None:
    assert even(ticks(stamps))


def test_the_first_stamps_may_be_missing() -> None:
    """RTSP: the camera's time is known from its first report on."""
    found = ticks([None] * 10 + steady(50, 4000.0))
    assert even(found)
    assert not gaps(found)


def test_a_slow_medium_does_not_jump_with_each_picture() -> None:
    found = ticks(steady(20, rate=0.1), rate=0.1)
    assert even(found, 10.0)
    assert not gaps(found)


def test_a_slow_medium_that_says_nothing_is_believed_after_two_pictures() -> None:
    assert set(gaps(ticks(steady(30, rate=0.5), rate=None))) <= {1, 2}


def test_a_slow_camera_is_believed_at_once_by_when_its_pictures_come() -> None:
    clock = MediaClock(None)
    found = [clock.tick(100 + 2.0 * n, 50 + 2.02 * n) for n in range(10)]
    assert even(found, 2.0)
    assert not gaps(found)


def test_irregular_pictures_keep_their_times() -> None:
    """A recording of a screen holds a picture for as long as nothing changes."""
    stamps: list[float | None] = [0.0]
    for n in range(100):
        stamps.append((stamps[-1] or 0) + (0.04, 0.04, 0.7, 0.04)[n % 4])
    found = ticks(stamps)
    assert [tick.time for tick in found] == pytest.approx(stamps)
    assert not gaps(found)


def test_time_never_stands_still() -> None:
    stamps = [0, 0.04, 0.02, 0.06, 0.1, 0.1, 0.09, None, 0.2, -5, -4.96, 1e9, 1e9 + 0.04]
    found = ticks(stamps)
    assert all(b.time > a.time for a, b in pairwise(found))
    assert found[-1].time < 1


# --- bursts ------------------------------------------------------------------------------------------------


def show(arrivals: Sequence[tuple[float, float]], smooth: Smooth) -> list[float]:
    """When pictures are shown that come as (time of the medium, time of arrival); the reader waits for each."""
    shown: list[float] = []
    for time, arrival in arrivals:
        shown.append(smooth.due(time, max(arrival, shown[-1] if shown else 0)))
    return shown


def segments(count: int, length: float, jitter: Sequence[float] = (0,)) -> list[tuple[float, float]]:
    per = round(length * RATE)
    return [
        (n / RATE, (n // per) * length + jitter[n // per % len(jitter)])
        for n in range(round(count * length * RATE))
    ]


def test_segments_are_shown_evenly() -> None:
    shown = show(segments(10, 2.0, (0, 0.3, 0.1, 0.4)), Smooth(0.5))
    assert [b - a for a, b in pairwise(shown)] == pytest.approx([1 / RATE] * 499)
    assert shown[0] == 0.5


def test_a_delay_grows_with_what_the_network_needs_and_then_stays() -> None:
    shown = show(segments(20, 2.0, (0, 0.9)), Smooth(0.5))
    late = [n for n, (a, b) in enumerate(pairwise(shown)) if b - a > 1 / RATE + 1e-6]
    assert late == [49]
    assert shown[-1] - (20 * 2 - 1 / RATE) <= 0.9 + MARGIN + 1e-6


def test_a_pause_of_the_network_is_made_good() -> None:
    """What was sent meanwhile is shown a little faster, until the delay is as before."""
    arrivals = [(time, arrival + (5 if 10 <= arrival < 15 else 0)) for time, arrival in segments(60, 1.0)]
    arrivals = [(time, 15.0 if 15 <= arrival < 20 and time < 15 else arrival) for time, arrival in arrivals]
    shown = show(arrivals, Smooth(0.5))
    steps = [b - a for a, b in pairwise(shown)]
    assert sum(step > 1 for step in steps) == 1
    assert min(steps) >= 1 / RATE * 0.89
    assert shown[-1] - arrivals[-1][0] < 1.5
