"""How cameras do: told in one place, with the reason, on the terminal, in Redis and in the metrics."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry

from emotion_stream.producer.cameras.reasons import plain, why_not_open
from emotion_stream.producer.loop import run_producers
from emotion_stream.producer.signals import FIRST_REMINDER, Signals
from emotion_stream.shared.messages.signal import Signal, word_of
from emotion_stream.shared.process.metrics import Metrics
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.shared.words.words import ENGLISH
from emotion_stream.sink.window.viewer import trouble_of
from tests.producer.cameras.test_mjpeg import serving
from tests.producer.conftest import Factory
from tests.producer.test_producer import options, wait_for
from tests.producer.test_sources import Counts, write_video


@contextmanager
def producing(factory: Factory, *sources: str) -> Iterator[Metrics]:
    metrics, stop = Metrics(CollectorRegistry(), "producer"), threading.Event()
    signals = Signals(metrics.camera_problems)
    thread = threading.Thread(
        target=run_producers,
        args=(options(*sources, mode="live"), factory, stop, Counts()),
        kwargs={"signals": signals},
        daemon=True,
    )
    thread.start()
    try:
        yield metrics
    finally:
        stop.set()
        thread.join(15)
    assert not thread.is_alive()


def problems(metrics: Metrics) -> dict[str, float]:
    return {
        sample.labels["reason"]: sample.value
        for family in metrics.registry.collect()
        if family.name == "emotion_camera_problems"
        for sample in family.samples
    }


def test_a_lost_camera_says_why_in_redis_and_in_a_metric(factory: Factory, streams: Streams) -> None:
    with (
        serving(lambda request: request.send_error(401)) as denied,
        serving(lambda request: request.send_error(404)) as absent,
    ):
        began = time.time()
        with producing(
            factory,
            f"denied={denied.url}",
            f"absent={absent.url}",
            "refused=http://127.0.0.1:1/x",
            "rtsp=rtsp://me:geheim@127.0.0.1:1/x",
            "unknown=http://camera.invalid/x",
            "nowhere=rtsp://camera.invalid/x",
        ) as metrics:

            def told() -> dict[str, Signal]:
                return dict(streams.progress().signals)

            wait_for(lambda: len(told()) == 6 and all(signal.state == "lost" for signal in told().values()))
            assert {name: signal.reason for name, signal in told().items()} == {
                "denied": "401 Unauthorized",
                "absent": "404 Not Found",
                "refused": "connection refused",
                "rtsp": "connection refused",
                "unknown": "unknown host",
                "nowhere": "unknown host",
            }
            rtsp = told()["rtsp"]
            assert rtsp.source == "rtsp://me:***@127.0.0.1:1/x"
            assert began <= rtsp.since <= time.time()
            wait_for(lambda: (told()["rtsp"].retry_s(time.time()) or 0) > 1)  # pauses grow
            assert told()["rtsp"].since == rtsp.since, "it is the same trouble"
            now = {reason: count for reason, count in problems(metrics).items() if count}
            assert now == {"unauthorized": 1, "not-found": 1, "refused": 2, "unknown-host": 2}


def test_a_recording_is_live_and_then_ended(factory: Factory, streams: Streams, tmp_path: object) -> None:
    clip = write_video(tmp_path / "clip.mp4", 30)  # type: ignore[operator]
    with producing(factory, f"clip={clip}"):
        wait_for(lambda: bool(streams.progress().signals) and streams.progress().signals["clip"].state == "live")
        wait_for(lambda: streams.progress().signals["clip"].state == "ended")
        assert streams.progress().signals["clip"].reason is None


def test_a_trouble_that_lasts_is_said_at_growing_intervals(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    signals = Signals(clock=lambda: now, wall=lambda: 1e9 + now)
    signals.expect("hall", "rtsp://hall/1")
    caplog.set_level("INFO")
    at: list[float] = []
    while now < 1800:
        before = len(caplog.records)
        if now % 30 == 0:
            signals.tell("hall", "lost", "connection refused", 30)
        signals.remind()
        at += [now] * (len(caplog.records) - before)
        now += 1
    assert at == [0, FIRST_REMINDER, 90, 210, 450, 930]
    assert caplog.messages[0] == "camera hall (rtsp://hall/1): connection refused; opening it again"
    assert caplog.messages[2] == "camera hall (rtsp://hall/1): connection refused, for 90 s"
    signals.tell("hall", "live")
    assert caplog.messages[-1] == "camera hall: it delivers again, after 30 min"
    signals.tell("hall", "lost", "connection refused", 1)
    assert caplog.messages[-1].endswith("opening it again"), "another time is said anew"


def test_reasons_that_take_turns_are_said_once_each(caplog: pytest.LogCaptureFixture) -> None:
    signals = Signals()
    signals.expect("hall", "rtsp://hall/1")
    for n in range(10):
        signals.tell("hall", "lost", ("timed out", "connection refused")[n % 2], 1)
    assert len(caplog.records) == 2


def test_a_signal_survives_the_way_and_garbage_does_not() -> None:
    signal = Signal("lost", "401 Unauthorized", 1e9, "rtsp://x", 1e9 + 8)
    assert Signal.parse(signal.to_bytes()) == signal
    assert trouble_of(signal, 1e9, ENGLISH) == "No signal: 401 Unauthorized. Trying again in 8 s"
    assert Signal("waiting", "waiting for a key frame", 1e9).said(1e9 + 7) == "waiting for a key frame, 7 s"
    assert trouble_of(Signal("live", None, 1e9), 2e9, ENGLISH) == ""
    for garbage in (
        b"",
        b"{}",
        b"[" * 4000,
        b'{"state":"lost","reason":1,"since":0,"source":"","retry_at":null}',
        b'{"state":"x","reason":null,"since":0,"source":""}',
        b'{"state":"live","since":NaN,"source":""}',
        signal.to_bytes() + b" " * 10000,
    ):
        with pytest.raises(ValueError):  # noqa: PT011  any of them will do
            Signal.parse(garbage)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Server returned 401 Unauthorized (authorization failed)", "401 Unauthorized"),
        ("Server returned 403 Forbidden (access denied)", "403 Forbidden"),
        ("Connection refused", "connection refused"),
        ("Immediate exit requested", "timed out"),
        ("RTSP is not spoken", "RTSP is not spoken"),
    ],
)
def test_plain_words(said: str, told: str) -> None:
    assert plain(said) == told


def test_a_name_that_nobody_knows_is_told_as_such() -> None:
    assert why_not_open("rtsp://camera.invalid/1", "Input/output error") == "unknown host"
    assert why_not_open("rtsp://127.0.0.1/1", "Input/output error") == "input/output error"


def test_reasons_become_few_words() -> None:
    assert [word_of(x) for x in ("401 Unauthorized", "stalled, nothing new for 5 s", "cable pulled")] == [
        "unauthorized", "stalled", "other",
    ]  # fmt: skip
