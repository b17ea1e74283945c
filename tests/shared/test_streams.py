"""The stream commands and scripts, against a real server."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from redis.crc import key_slot
from redis.exceptions import RedisError

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.messages.codec import decode_frame
from emotion_stream.shared.streams.access import LeaseLost
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.groups import DEAD_BYTES, Done
from emotion_stream.shared.streams.hints import Hint, stale
from emotion_stream.shared.streams.keys import Keys, shard_of, shard_tag
from emotion_stream.shared.streams.shard import Streams
from tests.conftest import append_frames, entries, make_frame, make_jpeg


def test_a_lease_has_one_holder_and_ends(streams: Streams) -> None:
    assert streams.lease("x", "a", 0.1)
    assert streams.lease("x", "a", 0.1)
    assert not streams.lease("x", "b", 0.1)
    time.sleep(0.15)
    assert streams.lease("x", "b", 5)
    streams.release("x", "a")
    assert not streams.lease("x", "a", 5)
    streams.release("x", "b")
    assert streams.lease("x", "a", 5)


def test_a_frame_is_appended_once(streams: Streams) -> None:
    append_frames(streams, 3)
    assert streams.position("cam", "run") == 3
    assert streams.append_frame(make_frame(1), "me") is None
    assert streams.length(streams.keys.frames) == 3
    assert streams.position("cam", "another run") == 0
    assert streams.append_frame(make_frame(0, epoch="another run"), "me")


def test_a_frame_needs_the_lease(streams: Streams) -> None:
    with pytest.raises(LeaseLost, match="another producer"):
        streams.append_frame(make_frame(), "nobody")
    assert streams.length(streams.keys.frames) == 0


def test_live_frames_are_bounded(streams: Streams) -> None:
    assert streams.lease("camera:cam", "me", 5)
    for seq in range(400):
        streams.append_frame(make_frame(seq, mode="live"), "me", max_entries=100)
    assert 100 <= streams.length(streams.keys.frames) <= 200


def test_a_result_follows_its_acknowledgement_once(streams: Streams) -> None:
    keys = streams.keys
    (frame_id,) = append_frames(streams, 1)
    streams.ensure_group(keys.frames, "detector")
    streams.ensure_group(keys.frames, "detector")
    assert len(streams.read_new(keys.frames, "detector", "a", 10, None)) == 1
    assert streams.hop(keys.frames, "detector", keys.faces, [Done(frame_id, b"first")]) == 1
    # The same worker after a cut connection, and another that was thought dead: nothing more is appended.
    assert streams.hop(keys.frames, "detector", keys.faces, [Done(frame_id, b"second", "late")]) == 0
    assert [e[1] for e in entries(streams, keys.faces)] == [{b"m": b"first"}]
    assert streams.length(keys.dead) == 0


def test_a_dead_letter_keeps_what_it_was(streams: Streams) -> None:
    keys = streams.keys
    (frame_id,) = append_frames(streams, 1)
    streams.ensure_group(keys.frames, "detector")
    streams.read_new(keys.frames, "detector", "a", 10, None)
    streams.hop(keys.frames, "detector", keys.faces, [Done(frame_id, b"", "kills workers", 3)])
    assert streams.length(keys.faces) == 0
    ((_, letter),) = entries(streams, keys.dead)
    assert letter[b"reason"] == b"kills workers"
    assert letter[b"deliveries"] == b"3"
    original = {k.removeprefix(b"field:"): v for k, v in letter.items() if k.startswith(b"field:")}
    assert decode_frame(original, frame_id).info == make_frame().info


def test_a_huge_dead_letter_leaves_its_fields_behind(streams: Streams) -> None:
    keys = streams.keys
    streams.client.xadd(keys.frames, {"j": b"x" * (DEAD_BYTES + 1)})
    ((huge, _),) = entries(streams, keys.frames)
    streams.ensure_group(keys.frames, "detector")
    streams.read_new(keys.frames, "detector", "a", 10, None)
    streams.hop(keys.frames, "detector", keys.faces, [Done(huge, dead="garbage")])
    ((_, letter),) = entries(streams, keys.dead)
    assert b"field:j" not in letter
    assert letter[b"reason"] == b"garbage"


def test_unfinished_work_is_recovered_with_its_deliveries(streams: Streams) -> None:
    keys = streams.keys
    ids = append_frames(streams, 3)
    streams.ensure_group(keys.frames, "detector")
    streams.read_new(keys.frames, "detector", "a", 10, None)
    own = streams.recover(keys.frames, "detector", "a", 10)
    assert [(e.id, e.deliveries) for e in own] == [(i, 1) for i in ids]
    assert [e.deliveries for e in streams.recover(keys.frames, "detector", "a", 10)] == [2, 2, 2]
    assert streams.recover(keys.frames, "detector", "b", 10) == []
    assert streams.recover(keys.frames, "detector", "b", 10, idle=60) == []
    time.sleep(0.06)
    assert [e.id for e in streams.recover(keys.frames, "detector", "b", 10, idle=0.05)] == ids
    assert streams.recover(keys.frames, "detector", "a", 10) == []


def test_what_was_trimmed_is_forgotten(streams: Streams) -> None:
    keys = streams.keys
    ids = append_frames(streams, 2)
    streams.ensure_group(keys.frames, "detector")
    streams.read_new(keys.frames, "detector", "a", 10, None)
    streams.delete_frames(ids[:1])
    assert [e.id for e in streams.recover(keys.frames, "detector", "a", 10)] == ids[1:]
    assert streams.recover(keys.frames, "detector", "a", 10)[0].id == ids[1]


def test_a_stream_is_trimmed_to_what_every_group_has_used(streams: Streams) -> None:
    keys = streams.keys
    streams.ensure_group(keys.emotions, "one")
    streams.ensure_group(keys.emotions, "two")
    for _ in range(50):
        streams.client.xadd(keys.emotions, {"m": b"x" * 5000})
    made = [i for i, _ in entries(streams, keys.emotions)]
    streams.read_new(keys.emotions, "one", "one", 50, None)
    streams.trim_used(keys.emotions)
    assert streams.length(keys.emotions) == 50
    streams.read_new(keys.emotions, "two", "two", 50, None)
    for group in ("one", "two"):
        streams.client.xack(keys.emotions, group, *made[:40])
    streams.trim_used(keys.emotions)
    assert 10 <= streams.length(keys.emotions) < 50
    assert entries(streams, keys.emotions)[-1][0] == made[-1]


def test_lag_counts_what_is_waiting(streams: Streams) -> None:
    keys = streams.keys
    streams.ensure_group(keys.frames, "detector")
    assert streams.lag(keys.frames, "detector").seconds == 0
    append_frames(streams, 1)
    time.sleep(0.05)
    streams.client.xadd(keys.frames, {"h": b""})
    lag = streams.lag(keys.frames, "detector")
    assert lag.entries == 2
    assert lag.seconds >= 0.04
    streams.read_new(keys.frames, "detector", "a", 1, None)
    assert streams.lag(keys.frames, "detector").entries == 2
    assert "detector" not in streams.progress().work
    streams.read_new(keys.frames, "detector", "a", 1, None)
    assert streams.lag(keys.frames, "detector").seconds == 0


def test_progress_tells_when_all_is_shown(streams: Streams) -> None:
    append_frames(streams, 2, "left")
    append_frames(streams, 1, "right")
    assert streams.done("left", "run") is None
    streams.register_sink("a")
    streams.register_sink("b")
    assert streams.done("left", "run") == 0
    streams.ensure_group(streams.keys.emotions, "a")
    streams.shown("a", "me", [], {"left": ("run", 2), "right": ("run", 1)}, b"stats")
    streams.shown("b", "me", [], {"left": ("run", 1)}, b"")
    assert streams.done("left", "run") == 1
    assert not streams.progress().all_shown(["left", "right"], ended=False)
    streams.shown("b", "me", [], {"left": ("run", 2), "right": ("run", 1)}, b"")
    streams.finish("left", "run", 2)
    progress = streams.progress()
    assert progress.all_shown(["left", "right"], ended=False)
    assert progress.all_shown(["left"], ended=True)
    assert not progress.all_shown(["left", "right"], ended=True)  # the right one may go on
    assert progress.work == {"producer": 3, "a": 0, "b": 0}
    assert progress.ended == {"left": ("run", 2)}
    assert progress.stats["a"] == b"stats"


def test_a_sink_that_was_replaced_acknowledges_nothing(streams: Streams) -> None:
    streams.ensure_group(streams.keys.emotions, "sink")
    assert streams.lease("sink:sink", "successor", 5)
    with pytest.raises(LeaseLost, match="taken over"):
        streams.shown("sink", "me", [], {"cam": ("run", 5)}, b"")
    assert streams.progress().shown == {}


def test_a_consumer_leaves_only_with_nothing_pending(streams: Streams) -> None:
    keys = streams.keys
    (frame_id,) = append_frames(streams, 1)
    streams.ensure_group(keys.frames, "detector")
    streams.read_new(keys.frames, "detector", "a", 10, None)
    streams.leave(keys.frames, "detector", "a")
    assert len(streams.recover(keys.frames, "detector", "a", 10)) == 1
    streams.hop(keys.frames, "detector", keys.faces, [Done(frame_id)])
    streams.leave(keys.frames, "detector", "a")
    assert streams.client.xinfo_consumers(keys.frames, "detector") == []


def test_jpegs_come_back_by_id(streams: Streams) -> None:
    ids = append_frames(streams, 2)
    found = streams.fetch_jpegs([ids[1], "1-1", ids[0]])
    assert found == [make_frame().jpeg, None, make_frame().jpeg]


@pytest.mark.parametrize("shards", [1, 3, 16])
def test_shards_lie_in_their_part_of_the_slots(shards: int) -> None:
    for k in range(shards):
        slot = key_slot(shard_tag(k, shards).encode())
        assert k * 16384 // shards <= slot < (k + 1) * 16384 // shards
        keys = Keys("emotion", k, shards)
        assert {key_slot(name.encode()) for name in (keys.frames, keys.dead, keys.lease("x"))} == {slot}
    assert 0 <= shard_of("hall", shards) < shards


def test_when_memory_is_full_only_new_frames_are_refused(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path, memory=8 << 20, durable=False)
    server.start()
    try:
        streams = Streams(connect(server.url), Keys("full"))
        keys = streams.keys
        streams.register_sink("sink")
        assert streams.lease("camera:cam", "me", 60)
        big = make_jpeg() + bytes(500_000)
        ids: list[str | None] = []

        def fill() -> None:
            for seq in range(100):
                ids.append(streams.append_frame(replace(make_frame(seq), jpeg=big), "me"))

        with pytest.raises(RedisError, match="maxmemory"):
            fill()
        assert streams.position("cam", "run") == len(ids) < 30
        streams.ensure_group(keys.frames, "detector")
        streams.announce("worker", b"{}")
        streams.read_new(keys.frames, "detector", "a", 100, None)
        done = [Done(i, b"x" * 1000) for i in ids if i]
        assert streams.hop(keys.frames, "detector", keys.faces, done) == len(ids)
        streams.shown("sink", "me", [], {"cam": ("run", len(ids))}, b"stats")
        streams.delete_frames([i for i in ids if i])
        assert streams.append_frame(make_frame(len(ids)), "me")
    finally:
        server.stop()


# --- hints -------------------------------------------------------------------------------------------------


def test_hints_come_with_the_batch_and_go_with_the_hop(streams: Streams) -> None:
    ids = append_frames(streams, 2)
    streams.ensure_group(streams.keys.frames, "detector")
    found, known = streams.read_hinted(streams.keys.frames, "detector", "w", 1, 0.1)
    assert ([e.id for e in found], known) == (ids[:1], {})
    note = {"cam": Hint(ids[0], b"\x00 any \xff bytes")}
    assert streams.hop(streams.keys.frames, "detector", streams.keys.faces, [Done(ids[0], b"x")], notes=note) == 1
    found, known = streams.read_hinted(streams.keys.frames, "detector", "w", 1, 0.1)
    assert ([e.id for e in found], known) == (ids[1:], note)
    assert 0 < streams.client.pttl(streams.keys.hints) <= 10_000


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("5-0", "5-1"), ("9-0", "10-0"), ("1-10", "2-9"), ("1-9", "1-10"), ("3-0", "1700000000000-0")],
)
def test_only_hints_of_newer_frames_overwrite(streams: Streams, earlier: str, later: str) -> None:
    def note(frame_id: str, data: bytes) -> object:
        streams.hop(streams.keys.frames, "g", streams.keys.faces, [], notes={"cam": Hint(frame_id, data)})
        return streams.client.hget(streams.keys.hints, "cam")

    streams.ensure_group(streams.keys.frames, "g")
    assert note(earlier, b"first") == earlier.encode() + b" first"
    assert note(later, b"second") == later.encode() + b" second"
    assert note(earlier, b"late") == later.encode() + b" second"
    assert note(later, b"again") == later.encode() + b" second"


def test_garbage_among_hints_is_left_out_and_overwritten(streams: Streams) -> None:
    streams.ensure_group(streams.keys.frames, "g")
    streams.client.hset(
        streams.keys.hints, mapping={"cam": b"garbage", "one": b"1-x y", "two": b"", "ok": b"1-0 "}
    )
    assert streams.read_hinted(streams.keys.frames, "g", "w", 1, 0.01)[1] == {"ok": Hint("1-0", b"")}
    streams.hop(streams.keys.frames, "g", streams.keys.faces, [], notes={"cam": Hint("1-1", b"new")})
    assert streams.read_hinted(streams.keys.frames, "g", "w", 1, 0.01)[1]["cam"] == Hint("1-1", b"new")


def test_hints_are_stored_even_when_another_worker_was_faster(streams: Streams) -> None:
    (frame,) = append_frames(streams, 1)
    streams.ensure_group(streams.keys.frames, "g")
    done = [Done(frame, b"x")]
    assert streams.hop(streams.keys.frames, "g", streams.keys.faces, done, notes={"cam": Hint(frame, b"d")}) == 0
    assert entries(streams, streams.keys.faces) == []
    assert streams.client.hget(streams.keys.hints, "cam") == frame.encode() + b" d"


def test_old_hints_are_stale_and_can_be_forgotten(streams: Streams) -> None:
    hints = {"old": Hint("1000-0", b""), "new": Hint("15000-0", b""), "future": Hint("99000-0", b"")}
    assert stale(hints, 16.0) == ["old", "future"]
    streams.client.hset(streams.keys.hints, mapping={"old": "1000-0 ", "new": "15000-0 "})
    streams.forget_hints(["old"])
    assert streams.client.hkeys(streams.keys.hints) == [b"new"]
