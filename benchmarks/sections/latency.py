"""Time from the capture of a frame to its result: `emotion bench --only latency`.

Open loop: one live camera at a fixed rate, whatever the pipeline does. A producer that falls behind would stamp
frames late and so hide what they waited; the second row therefore counts from the time when each frame was due.
Flat out: lossless, where frames wait in the queue because everything before the slowest stage is faster.
"""

import logging
from collections.abc import Sequence

from emotion_stream.benchmarks.harness.clips import retimed
from emotion_stream.benchmarks.harness.hops import STEPS, observe_hops
from emotion_stream.benchmarks.harness.pipeline import Observation, Shown, disturbances, observe
from emotion_stream.benchmarks.harness.plan import Plan, percentile
from emotion_stream.benchmarks.harness.report import Section, Table
from emotion_stream.benchmarks.peers import running as peers

log = logging.getLogger(__name__)

FPS = 30
WARM_UP = 2.0
"""Seconds at the start of a live run that do not count."""
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def run(plan: Plan) -> Section:
    """Measure both.

    Raises:
        EmotionError: a run failed.
    """
    clip = retimed(plan.clip, plan.folder / "latency.mp4", round(FPS * (plan.seconds + WARM_UP)), FPS)
    loop = peers.loop(plan, clip, seconds=min(plan.seconds, 5.0))
    rows, data = [], {}
    live: list[Observation] = []
    flat: list[Observation] = []
    seen, ways = observe_hops(plan, "--mode=live", f"--source={clip}")
    for n in range(plan.rounds):
        live.append(observe(plan, "--mode=live", f"--source={clip}"))
        flat.append(observe(plan, f"--source={clip}"))
        p50, p99 = (1000 * percentile(settled(live[-1]), share) for share in (0.5, 0.99))
        log.info("round %d of %d: p50 %.1f ms, p99 %.1f ms", n + 1, plan.rounds, p50, p99)
    for name, seconds, lost in (
        (f"{FPS} frames/s, from capture", [s for o in live for s in settled(o)], sum(o.lost for o in live)),
        (f"{FPS} frames/s, from when due", [s for o in live for s in from_schedule(o)], sum(o.lost for o in live)),
        ("flat out, from capture", [f.latency for o in flat for f in o.frames], sum(o.lost for o in flat)),
    ):
        found = {share: percentile(seconds, at) * 1000 for share, at in SHARES.items()}
        rows.append([name, *(f"{ms:.1f}" for ms in found.values()), str(lost)])
        data[name] = {**found, "frames": len(seconds), "lost": lost}
    notes = [
        f"Clip: {plan.clip.name}, {plan.rounds} runs of {plan.seconds:g} s together.",
        f"Limit: one frame alone costs {loop.cpu_ms:.1f} ms of one core after the other (own stages in one loop).",
        disturbances(live),
    ]
    header = ("milliseconds", *SHARES, "lost frames")
    data["loop_ms"] = {"per_frame": loop.cpu_ms}
    return Section(
        "latency", [Table("Capture to result, one camera", header, rows, notes), _hops(seen, ways)], data
    )


def _hops(seen: Observation, ways: Sequence[Sequence[float]]) -> Table:
    ways = ways[round(FPS * WARM_UP) :] or ways
    rows = []
    for n, name in enumerate(STEPS):
        steps = [way[n] for way in ways]
        rows.append([name, *(f"{1000 * percentile(steps, at):.0f}" for at in SHARES.values())])
    notes = [f"{len(ways)} frames of a run of its own, by the ids of the streams. {disturbances([seen])}"]
    return Table("Hop by hop", ("milliseconds", *SHARES), rows, notes)


def settled(live: Observation) -> list[float]:
    """Latencies, seconds, of the frames after the warm-up."""
    return [frame.latency for frame in _settled(live.frames)]


def from_schedule(live: Observation) -> list[float]:
    """The same, counted from when each frame was due: at its place in the clip after the camera's start."""
    starts: dict[str, float] = {}
    for frame in live.frames:
        begun = frame.captured_at - frame.media_time
        starts[frame.camera] = min(begun, starts.get(frame.camera, begun))
    return [f.shown_at - starts[f.camera] - f.media_time for f in _settled(live.frames)]


def _settled(frames: Sequence[Shown]) -> Sequence[Shown]:
    """Frames after the warm-up; all where none came later."""
    start = frames[0].captured_at
    return [f for f in frames if f.captured_at >= start + WARM_UP] or frames
