"""Run statistics: counting, percentiles, merging, storing."""

import json
import random
from typing import Any

import msgpack
import pytest

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.types import OK, Box, FrameInfo, Outcome, Prediction
from emotion_stream.sink.results.kept import Kept, from_dict
from emotion_stream.sink.results.output import Face, Result
from emotion_stream.sink.results.stats import HIGHEST, LOWEST, Stats

LABELS = ("angry", "happy", "sad")


def result(
    seq: int, latency: float, faces: tuple[int, ...] = (), camera: str = "hall", outcome: Outcome = OK
) -> Result:
    info = FrameInfo(camera, "x.mp4", "a", seq, 1000.0 + seq / 10, seq / 10, 640, 360, "live")
    found = tuple(
        Face.alone(i, Prediction(Box(0, 0, 9, 9), 1.0, tuple(0.8 if k == best else 0.1 for k in range(3))))
        for i, best in enumerate(faces)
    )
    return Result(info, outcome, LABELS, found, latency)


def filled(seed: int, n: int = 500) -> tuple[Stats, list[float]]:
    rng = random.Random(seed)
    stats, latencies = Stats(), []
    for seq in range(n):
        latencies.append(10 ** rng.uniform(-3.9, 3.5))
        faces = tuple(rng.choices(range(3), k=rng.randrange(4)))
        stats.show(result(seq, latencies[-1], faces, rng.choice("ab")))
    return stats, latencies


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_within_two_percent(seed: int) -> None:
    stats, latencies = filled(seed)
    latencies.sort()
    for share in (0.5, 0.95, 0.99):
        exact = latencies[round(share * 500) - 1]
        assert stats.percentile(share) == pytest.approx(exact, rel=0.02)


def test_latencies_out_of_range_are_counted_at_the_ends() -> None:
    stats = Stats()
    for latency in (-5.0, 0.0, float("nan")):
        stats.show(result(0, latency))
    assert stats.percentile(1) == pytest.approx(LOWEST, rel=0.03)
    stats.show(result(0, 1e9))
    assert stats.percentile(1) == pytest.approx(HIGHEST, rel=0.03)


def test_summary() -> None:
    stats = Stats()
    stats.show(result(0, 0.1, (0, 1)))
    stats.show(result(5, 0.1, (1, 1), "door"))
    stats.show(result(9, 0.1, outcome=Outcome.error("corrupt")))
    stats.drop("stale")
    stats.drop("stale")
    stats.missing += 3
    stats.duplicates += 1
    stats.tell("face_left")
    summary = stats.summary()
    assert json.loads(json.dumps(summary)) == summary
    latency = summary.pop("latency_ms")
    assert latency == {p: pytest.approx(100, rel=0.02) for p in ("p50", "p95", "p99")}
    assert summary == {
        "frames": 3,
        "faces": 4,
        "errors": 1,
        "cameras": {"door": 1, "hall": 2},
        "emotions": {"happy": 0.75, "angry": 0.25},
        "fps": 3.0,  # from the first capture at 0 s to the last result shown at 1 s
        "dropped": {"stale": 2},
        "missing": 3,
        "duplicates": 1,
        "events": {"face_left": 1},
        "kept": None,
    }


def test_an_empty_run() -> None:
    summary = Stats().summary()
    assert (summary["frames"], summary["fps"], summary["latency_ms"]["p50"]) == (0, 0.0, None)


KEPT = Kept(5 << 30, 20 << 30, 604800.0, 1e9, "a/r-hall-2001-09-09.jsonl", 1.1e9, 15 << 30, 7, ("video",),
            (("jsonl", 3), ("video", 0)))  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"size": -1},
        {"size": None},
        {"room": "much"},
        {"left_out": [1]},
        {"left_out": {"jsonl": -1}},
        {"paused": "all"},
        {"paused": ["x"] * 100},
        {"oldest": float("nan")},
    ],
)
def test_what_is_kept_is_bounded(changes: dict[str, Any]) -> None:
    assert from_dict(KEPT.as_dict()) == KEPT
    with pytest.raises(DecodeError):
        from_dict(KEPT.as_dict() | changes)
    with pytest.raises(DecodeError):
        from_dict([changes])


def test_storing_loses_nothing() -> None:
    stats, _ = filled(1)
    stats.drop("stale")
    stats.kept = KEPT
    assert Stats.from_bytes(stats.to_bytes()) == stats
    assert stats.summary()["kept"]["left_out"] == {"jsonl": 3, "video": 0}
    assert len(stats.to_bytes()) < 4096


def test_names_from_the_streams_stay_bounded() -> None:
    stats = Stats()
    for n in range(3000):
        stats.drop(f"reason {n}")
    assert sum(stats.dropped.values()) == 3000
    assert Stats.from_bytes(stats.to_bytes()) == stats
    assert len(stats.dropped) <= 1024


def test_garbage_is_refused() -> None:
    good = msgpack.unpackb(Stats().to_bytes())
    bad = [
        {"v": 99}, {"frames": -1}, {"frames": True}, {"frames": 2**60}, {"emotions": [1]}, {"cameras": {"a": "b"}},
        {"latencies": [[10**6, 1]]}, {"latencies": [[1]]}, {"latencies": 5}, {"last_shown_at": "now"},
        {"first_captured_at": float("nan")},
    ]  # fmt: skip
    payloads = [msgpack.packb(good | change) for change in bad]
    payloads += [b"", b"\xc1", b"[]", msgpack.packb([1]), msgpack.packb({"v": 1}), b"\xdd\xff\xff\xff\xff"]
    for payload in payloads:
        with pytest.raises(DecodeError):
            Stats.from_bytes(payload)
    rng = random.Random(3)
    data = filled(1)[0].to_bytes()
    for _ in range(300):
        broken = bytearray(data)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        try:
            Stats.from_bytes(bytes(broken))
        except DecodeError:
            continue
