"""What a camera has shown lasts: coarser with age, bounded, and over a restart of the sink."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.codec import encode_emotions
from emotion_stream.shared.messages.types import Box, Emotions, Prediction
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.results.history import LARGEST, TIERS, Histories, History, Point
from emotion_stream.sink.tracking.follow import Follower, following
from emotion_stream.sink.web.http.address import Address
from emotion_stream.sink.web.output import Web
from tests.conftest import make_frame
from tests.shared.test_worker import own_connection, until
from tests.support.web_feed import HAPPY, SAD, Client, make_result

START = 1_000_000.0


def filled(seconds: int, every: int = 1) -> History:
    """A live camera with a happy face in the first half of each minute, and a sad one in the second."""
    history = History()
    for n in range(0, seconds, every):
        result = make_result(n, probabilities=HAPPY if n % 60 < 30 else SAD)
        info = replace(result.info, mode="live", captured_at=START + n)
        history.add(replace(result, info=info))
    return history


def pieces_of(history: History) -> dict[str, bytes]:
    """All that is kept of it, after many writes."""
    return history.changes()[0]


def test_an_hour_at_a_glance_and_any_minute_of_it() -> None:
    history = filled(4 * 3600)
    step, points = history.between(START + 3 * 3600, START + 4 * 3600, 400)
    assert (step, len(points)) == (10, 360)
    assert sum(point.frames for _, point in points) == 3600
    step, minute = history.between(START + 2 * 3600, START + 2 * 3600 + 60, 60)
    assert (step, len(minute)) == (10, 6)
    happy, sad = (sum((point.means() or [])[n] for _, point in minute) / 6 for n in (3, 4))
    assert happy == pytest.approx(sad) == pytest.approx(0.46)
    assert (minute[0][1].means() or [])[3] > 0.85 > 0.1 > (minute[5][1].means() or [])[3]  # first happy, then sad
    step, newest = history.between(START + 4 * 3600 - 60, START + 4 * 3600, 60)
    assert (step, len(newest)) == (1, 60)
    step, whole = history.between(history.first, history.last, 100)
    assert len(whole) <= 100
    assert sum(point.frames for _, point in whole) == history.frames == 4 * 3600


def test_it_goes_back_as_far_as_the_run_in_bounded_space() -> None:
    history = filled(40 * 86_400, every=200)
    assert history.first <= START + 4800  # 40 days later
    step, points = history.between(history.first, history.last, 2000)
    assert step > TIERS[-1][0]
    assert sum(point.frames for _, point in points) == history.frames
    assert len(points) <= TIERS[-1][1]


def test_all_of_it_is_never_larger_than_it_may_be() -> None:
    """Every place taken, and every number as large as it gets."""
    history = History()
    history.labels = tuple("abcdefgh")
    huge = 2**32 - 1
    for tier in history._tiers:
        for n in range(tier.kept):
            index = 2**31 + n
            tier.points[index] = Point(huge, huge, huge, huge, huge, [float(huge)] * 8, [huge] * 9)
            history._changed.add(f"{tier.step}.{index // 64}")
    total = sum(len(name) + len(data) for name, data in pieces_of(history).items())
    assert 200_000 < total <= LARGEST


def test_what_is_kept_is_what_was_there_and_only_what_changed_is_written() -> None:
    history, kept = History(), dict[str, bytes]()
    sizes = []
    for n in range(3000):
        result = make_result(n, probabilities=HAPPY if n % 7 else SAD)
        history.add(replace(result, info=replace(result.info, mode="live", captured_at=START + n)))
        if n % 10 == 0:
            history.lost("missing" if n % 20 else "stale", 2)
        if n % 4 == 0:
            written, gone = history.changes()
            kept |= written
            for name in gone:
                kept.pop(name, None)
            sizes.append(sum(map(len, written.values())))
    again = History.restored(kept | history.changes()[0])
    assert max(sizes) < 16_000
    for most in (50, 600, 2000):
        (step, points), (same_step, same) = (h.between(h.first, h.last, most) for h in (history, again))
        assert step == same_step
        assert [(at, p.frames, p.lost, p.faces, p.most, p.said) for at, p in points] == [
            (at, p.frames, p.lost, p.faces, p.most, p.said) for at, p in same
        ]
        for (_, a), (_, b) in zip(points, same, strict=True):
            assert a.means() == pytest.approx(b.means(), abs=0.003)
    assert (again.frames, again.missing, again.dropped) == (3000, history.missing, history.dropped)


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x80", b"\x93\x01\x02\x03"])
@pytest.mark.parametrize("piece", ["head", "1.15625", "7.1"])
def test_damaged_pieces_are_refused(piece: str, damage: bytes) -> None:
    kept = pieces_of(filled(100))
    with pytest.raises(DecodeError):
        History.restored(kept | {piece: damage})


def test_a_file_that_is_played_again_begins_anew() -> None:
    histories = Histories()
    for n in (0, 50, 100, 0, 50):
        histories.add(make_result(n, "hall", mode="lossless"))
    told = histories.told("hall", None, None, 100)
    assert told is not None
    assert (told["axis"], sum(p["frames"] for p in told["points"]), told["frames"]) == ("medium", 2, 5)


@contextmanager
def running(streams: Streams) -> Iterator[tuple[Client, Web]]:
    """A sink with a page, on a real server."""
    web = Web(Address("127.0.0.1", 0), WebOptions())
    service = Service("sink", "0", CommonOptions())
    follower = Follower(following("1/1", 0.0, "off"))
    sink = Sink(service, own_connection(streams), "sink", lambda: [web], 1.0, Watchdog(10), follower)
    thread = threading.Thread(target=sink.run)
    thread.start()
    try:
        yield Client(web), web
    finally:
        service.stop.set()
        thread.join(20)


def put(streams: Streams, first: int, count: int) -> None:
    for seq in range(first, first + count):
        info = make_frame(seq).info
        face = Prediction(Box(1, 2, 30, 30), 5.0, (0.75, 0.25))
        told = Emotions(info, f"{seq + 1}-0", ("happy", "sad"), (face,))
        streams.client.xadd(streams.keys.emotions, {"m": encode_emotions(told)[b"m"]})


def test_timeline_and_counters_survive_the_sink(streams: Streams) -> None:
    def history(client: Client, **more: Any) -> dict[str, Any]:
        query = "".join(f"&{name}={value}" for name, value in more.items())
        return dict(client.json(f"/api/history?camera=cam{query}"))

    with running(streams) as (client, _):
        put(streams, 0, 30)
        until(lambda: client.json("/api/run")["frames"] == 30)
        before = history(client)
        assert before["labels"] == ["happy", "sad"]
        assert sum(point["frames"] for point in before["points"]) == 30
        assert before["points"][0]["means"] == pytest.approx([0.75, 0.25], abs=0.01)
        assert before["points"][0]["said"] == [10, 0, 0]
    kept = streams.client.hgetall(streams.keys.history)
    assert 0 < sum(len(k) + len(v) for k, v in kept.items()) < LARGEST
    with running(streams) as (client, web):
        put(streams, 30, 20)
        until(lambda: client.json("/api/run")["frames"] == 50)
        told = history(client)
        assert [p["frames"] for p in told["points"]] == [10] * 5
        assert told["points"][:3] == [
            {**p, "means": pytest.approx(p["means"], abs=0.005)} for p in before["points"]
        ]
        assert (told["start"], told["end"], told["step"]) == (0.0, 4.9, 1)
        part = history(client, **{"from": 2, "to": 3.5})
        assert [p["time"] for p in part["points"]] == [2.0, 3.0]
        assert len(history(client, points=2)["points"]) <= 2
        _, points = web._hub.timeline("cam", -1, 0)
        assert [at for at, _ in points][:3] == [0.0, 1.0, 2.0]  # the page's own, too
        assert client.get("/api/history?camera=nobody")[0] == 404
        assert client.get("/api/history?camera=cam&points=0")[0] == 422
    streams.forget()
    assert not streams.client.exists(streams.keys.history)


def test_a_killed_sink_loses_a_moment_at_the_most(streams: Streams) -> None:
    with running(streams):
        put(streams, 0, 10)
        until(lambda: bool(streams.client.hgetall(streams.keys.history)), 20)
        time.sleep(3)
        told = History.restored(streams.history("sink")["cam"])
        assert told.frames == 10
