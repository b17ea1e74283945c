"""The worker loop against a real server, with stages that do what the real ones must never do."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.codec import decode_detections, decode_frame, encode_detections
from emotion_stream.shared.messages.types import Detections, Frame, Message, ModelSpec, Outcome
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.stage import HintedStage, Hints
from emotion_stream.shared.process.watchdog import EXIT_STUCK, Watchdog
from emotion_stream.shared.process.worker import LOSSLESS_GATHERS, Policy, Route, Worker
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.streams.connection import connect, wait_until_up
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams
from tests.conftest import entries, make_frame
from tests.support import threads

SPEC = ModelSpec("test", 48, 0.1)


class Echo:
    """Finds no faces; raises on frames whose seq is in `bad`."""

    def __init__(self, bad: Sequence[int] = ()) -> None:
        self.bad = set(bad)
        self.batches: list[list[int]] = []

    def open(self) -> None:
        pass

    def process(self, batch: Sequence[Frame]) -> Sequence[Detections]:
        self.batches.append([f.info.seq for f in batch])
        if self.bad & {f.info.seq for f in batch}:
            raise ValueError("a frame that breaks the stage")
        return [Detections(f.info, f.frame_id, SPEC) for f in batch]

    def pass_on(self, message: Message, outcome: Outcome) -> Detections:
        return Detections(message.info, message.frame_id, SPEC, (), outcome)

    def close(self) -> None:
        pass


class Slow(Echo):
    """Takes 0.3 s for a batch."""

    def process(self, batch: Sequence[Frame]) -> Sequence[Detections]:
        time.sleep(0.3)
        return super().process(batch)


class Remembering(Echo):
    """Notes the seq of each frame, and what it knew when it saw it."""

    def __init__(self) -> None:
        super().__init__()
        self.known: list[tuple[int, int | None]] = []

    def process_hinted(self, batch: Sequence[Frame], hints: Hints) -> Sequence[Detections]:
        for frame in batch:
            known = hints.get(frame.info.camera)
            self.known.append((frame.info.seq, None if known is None else int(known)))
            hints[frame.info.camera] = str(frame.info.seq).encode()
        return self.process(batch)


def own_connection(streams: Streams) -> Streams:
    """The same streams for another thread."""
    return Streams(connect(f"unix://{streams.client.get_connection_kwargs()['path']}"), streams.keys)


def make_worker(
    streams: Streams,
    stage: Echo,
    slot: str = "0",
    decode: Callable[[Mapping[bytes, bytes], str], Frame] = decode_frame,
    **limits: float,
) -> tuple[Service, Worker[Frame, Detections]]:
    service = Service("detector", slot, CommonOptions())
    route: Route[Frame, Detections] = Route(
        "detector",
        streams.keys.frames,
        streams.keys.faces,
        decode,
        lambda d: encode_detections(d)[b"m"],
        lambda metrics, results: None,
    )
    policy = Policy(8, limits.get("claim_after", 20), 3, limits.get("max_age", 0.5), limits.get("gather", 0))
    return service, Worker(service, own_connection(streams), stage, route, policy, Watchdog(10))


@contextmanager
def working(
    streams: Streams,
    stage: Echo,
    slot: str = "0",
    decode: Callable[[Mapping[bytes, bytes], str], Frame] = decode_frame,
    **limits: float,
) -> Iterator[Service]:
    """A worker in a thread, stopped at the end."""
    service, worker = make_worker(streams, stage, slot, decode, **limits)
    with threads.running(worker.run, service):
        yield service


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def append(streams: Streams, seqs: Sequence[int], mode: str = "lossless") -> list[str]:
    assert streams.lease("camera:cam", "me", 60)
    ids = [streams.append_frame(make_frame(seq, mode=mode), "me", ttl=60) for seq in seqs]
    return [i for i in ids if i]


def results(streams: Streams) -> list[Detections]:
    return [decode_detections(fields, i) for i, fields in entries(streams, streams.keys.faces)]


def letters(streams: Streams) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in entries(streams, streams.keys.dead)]


def test_every_frame_gets_one_result_in_order(streams: Streams) -> None:
    ids = append(streams, range(50))
    with working(streams, Echo()):
        until(lambda: len(results(streams)) == 50)
    assert [(d.info.seq, d.frame_id) for d in results(streams)] == list(enumerate(ids))
    assert streams.client.xpending(streams.keys.frames, "detector")["pending"] == 0
    assert streams.client.xinfo_consumers(streams.keys.frames, "detector") == []  # it said goodbye


def test_a_restarted_worker_resumes_its_own_work_one_by_one(streams: Streams) -> None:
    append(streams, range(5))
    streams.ensure_group(streams.keys.frames, "detector")
    assert len(streams.read_new(streams.keys.frames, "detector", "detector-0", 5, None)) == 5
    stage = Echo()
    with working(streams, stage):
        until(lambda: len(results(streams)) == 5)
    assert stage.batches == [[0], [1], [2], [3], [4]]


def test_what_a_dead_worker_left_is_claimed(streams: Streams) -> None:
    append(streams, range(5))
    streams.ensure_group(streams.keys.frames, "detector")
    streams.read_new(streams.keys.frames, "detector", "detector-dead", 5, None)
    with working(streams, Echo(), claim_after=0.2):
        until(lambda: len(results(streams)) == 5)


def test_a_message_delivered_too_often_is_set_aside_unread(streams: Streams) -> None:
    append(streams, range(2))
    streams.ensure_group(streams.keys.frames, "detector")
    streams.read_new(streams.keys.frames, "detector", "detector-0", 1, None)
    for _ in range(2):
        streams.recover(streams.keys.frames, "detector", "detector-0", 1)
    stage = Echo()
    with working(streams, stage):
        until(lambda: len(results(streams)) == 2)
    assert stage.batches == [[1]]
    first, second = results(streams)
    assert first.outcome.status == "error"
    assert "gave up after 3 deliveries" in (first.outcome.reason or "")
    assert second.outcome.status == "ok"
    assert [b"gave up" in letter[b"reason"] for letter in letters(streams)] == [True]


def test_what_waits_behind_a_killer_is_not_blamed(streams: Streams) -> None:
    """Four workers in a row die of the first of five messages; the others then get their turn."""
    append(streams, range(5))
    streams.ensure_group(streams.keys.frames, "detector")
    streams.read_new(streams.keys.frames, "detector", "detector-0", 5, None)
    for _ in range(2):
        streams.recover(streams.keys.frames, "detector", "detector-0", 1)
    with working(streams, Echo()):
        until(lambda: len(results(streams)) == 5)
    assert [d.outcome.status for d in results(streams)] == ["error", "ok", "ok", "ok", "ok"]


def test_one_bad_frame_costs_only_itself(streams: Streams) -> None:
    append(streams, range(8))
    with working(streams, Echo(bad=[5])):
        until(lambda: len(results(streams)) == 8)
    assert [d.info.seq for d in results(streams)] == list(range(8))
    assert [d.outcome.status for d in results(streams)] == ["ok"] * 5 + ["error"] + ["ok"] * 2
    assert [letter[b"reason"] for letter in letters(streams)] == [
        b"detector failed: ValueError: a frame that breaks the stage"
    ]


def test_garbage_is_set_aside(streams: Streams) -> None:
    streams.client.xadd(streams.keys.frames, {"h": b"\xc1", "j": b""})
    streams.client.xadd(streams.keys.frames, {"unknown": b"field"})
    append(streams, [0])
    with working(streams, Echo()):
        until(lambda: len(results(streams)) == 1)
    assert [letter[b"reason"].partition(b":")[0] for letter in letters(streams)] == [b"not a message"] * 2


def test_a_worker_that_is_behind_takes_the_newest_frame(streams: Streams) -> None:
    append(streams, range(20), mode="live")
    time.sleep(0.3)
    append(streams, range(20, 22), mode="live")
    stage = Echo()
    with working(streams, stage, max_age=0.25):
        until(lambda: len(results(streams)) == 22)
    by_seq = {d.info.seq: d.outcome for d in results(streams)}
    assert [by_seq[seq].reason for seq in range(21)] == ["superseded_detector"] * 21
    assert by_seq[21].status == "ok"
    assert stage.batches == [[21]]


def test_a_queue_that_stays_is_cut_short_before_anything_is_old(streams: Streams) -> None:
    append(streams, range(40), mode="live")
    time.sleep(0.8)
    with working(streams, Slow(), max_age=6):  # a queue is one from 0.75 s on, and old at 3 s
        until(lambda: len(results(streams)) == 40)
    reasons = [d.outcome.reason for d in results(streams)]
    assert reasons[:8] == [None] * 8  # a burst is worked off
    assert reasons[-1] is None
    assert reasons.count("superseded_detector") >= 7


def test_what_a_dead_worker_left_is_dropped_when_it_is_stale(streams: Streams) -> None:
    append(streams, range(2), mode="live")
    streams.ensure_group(streams.keys.frames, "detector")
    streams.read_new(streams.keys.frames, "detector", "detector-0", 5, None)
    time.sleep(0.3)
    with working(streams, Echo(), max_age=0.25):
        until(lambda: len(results(streams)) == 2)
    assert {d.outcome.reason for d in results(streams)} == {"stale_detector"}


def test_lossless_frames_are_never_stale(streams: Streams) -> None:
    append(streams, range(3))
    time.sleep(0.1)
    with working(streams, Echo(), max_age=0.05):
        until(lambda: len(results(streams)) == 3)
    assert {d.outcome.status for d in results(streams)} == {"ok"}


def test_a_flushed_server_is_no_reason_to_spin(streams: Streams) -> None:
    append(streams, range(3))
    with working(streams, Echo()) as service:
        until(lambda: len(results(streams)) == 3)
        streams.client.delete(streams.keys.frames, streams.keys.faces, streams.keys.progress)
        append(streams, range(4))
        until(lambda: len(results(streams)) == 4)
        assert service.metrics.registry.get_sample_value("emotion_reconnects_total", {"stage": "detector"}) <= 5  # type: ignore[operator]


def test_a_killed_server_comes_back_with_everything(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path, memory=64 << 20, durable=True)
    server.start()
    try:
        streams = Streams(connect(server.url), Keys("test"))
        append(streams, range(20))
        with working(streams, Echo()):
            until(lambda: len(results(streams)) >= 1)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            until(server.restart_if_dead)
            streams.client.connection_pool.disconnect()
            append(streams, range(20, 40))
            until(lambda: len(results(streams)) == 40)
        assert [d.info.seq for d in results(streams)] == list(range(40))
    finally:
        server.stop()


def test_two_workers_share_the_work(streams: Streams) -> None:
    append(streams, range(200))
    with working(streams, Echo(), "0"), working(streams, Echo(), "1"):
        until(lambda: len(results(streams)) == 200)
    assert sorted(d.info.seq for d in results(streams)) == list(range(200))


def test_an_unreachable_server_is_one_clear_line() -> None:
    url = "redis://:secret@127.0.0.1:1/0"
    with pytest.raises(EmotionError, match="cannot be reached") as caught:
        wait_until_up(connect(url), url, 0.1, lambda: False)
    assert "secret" not in str(caught.value)


def test_a_stuck_batch_ends_the_process() -> None:
    code = (
        "import time; from emotion_stream.shared.process.watchdog import Watchdog\n"
        "with Watchdog(0.2).guard('a test'): time.sleep(10)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == EXIT_STUCK
    assert "stuck for more than 0.2 s in a test" in done.stderr


# --- hints -------------------------------------------------------------------------------------------------


def test_a_stage_knows_what_it_noted_before(streams: Streams) -> None:
    stage = Remembering()
    assert isinstance(stage, HintedStage)
    with working(streams, stage):
        for seq in range(5):
            append(streams, [seq])
            until(lambda seq=seq: len(results(streams)) == seq + 1)  # type: ignore[misc]
    assert stage.known == [(0, None), (1, 0), (2, 1), (3, 2), (4, 3)]


def test_two_workers_share_what_is_known_of_a_camera(streams: Streams) -> None:
    one, two = Remembering(), Remembering()
    with working(streams, one, "0"), working(streams, two, "1"):
        for seq in range(30):
            append(streams, [seq])
            until(lambda seq=seq: len(results(streams)) == seq + 1)  # type: ignore[misc]
    assert sorted(one.known + two.known) == [(seq, seq - 1 if seq else None) for seq in range(30)]
    assert one.known
    assert two.known


def test_hints_lost_with_a_flush_are_only_missed(streams: Streams) -> None:
    stage = Remembering()
    with working(streams, stage):
        append(streams, [0, 1])
        until(lambda: len(results(streams)) == 2)
        streams.client.delete(streams.keys.hints)
        append(streams, [2])
        until(lambda: len(results(streams)) == 3)
        append(streams, [3])
        until(lambda: len(results(streams)) == 4)
    assert stage.known[-2:] == [(2, None), (3, 2)]
    assert [d.outcome.status for d in results(streams)] == ["ok"] * 4


def test_hints_from_another_time_are_not_used_and_go(streams: Streams) -> None:
    streams.client.hset(streams.keys.hints, mapping={"cam": b"1000-0 7", "gone": b"1000-0 7"})
    stage = Remembering()
    append(streams, [0])
    with working(streams, stage):
        until(lambda: len(results(streams)) == 1)
        until(lambda: streams.client.hkeys(streams.keys.hints) == [b"cam"])
    assert stage.known == [(0, None)]
    assert str(streams.client.hget(streams.keys.hints, "cam")).endswith(" 0'")


def test_a_stage_without_hints_leaves_none(streams: Streams) -> None:
    append(streams, range(3))
    with working(streams, Echo()):
        until(lambda: len(results(streams)) == 3)
    assert not streams.client.exists(streams.keys.hints)


# --- batches -----------------------------------------------------------------------------------------------


def test_a_busy_worker_waits_a_moment_for_a_larger_batch(streams: Streams) -> None:
    stage = Echo()
    service, worker = make_worker(streams, stage, gather=0.5 / LOSSLESS_GATHERS)
    append(streams, [0])
    thread = threading.Thread(target=worker.run)
    thread.start()
    until(
        lambda: (
            bool(streams.client.exists(streams.keys.frames))
            and bool(streams.client.xinfo_groups(streams.keys.frames))
        )
    )
    time.sleep(0.1)
    append(streams, [1, 2])
    until(lambda: len(results(streams)) == 3)
    service.stop.set()
    thread.join(10)
    assert stage.batches == [[0, 1, 2]]


def test_an_idle_worker_does_not_wait(streams: Streams) -> None:
    stage = Echo()
    with working(streams, stage, gather=0.3):
        until(lambda: bool(streams.client.exists(streams.keys.frames)))
        for seq in range(2):
            time.sleep(0.5)
            append(streams, [seq])
            until(lambda seq=seq: len(results(streams)) == seq + 1)  # type: ignore[misc]
    assert stage.batches == [[0], [1]]
