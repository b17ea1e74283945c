"""How many live cameras at 30 frames/s the pipeline takes without a drop: `emotion bench --only cameras`.

Every camera plays the sample clip, 640x360, decoded anew for each. Real cameras give their pictures at any
instant: here, too, their phases are spread over the time between two pictures. What it costs when all pictures
come at the same instant is measured with the number of cameras found. A number of cameras counts as sustained
when no frame was lost, every camera came in full, and p99 stayed below the bound; one that fails is tried once
more, because one hiccup of the machine is enough to fail.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emotion_stream import samples
from emotion_stream.benchmarks.harness.clips import retimed, size
from emotion_stream.benchmarks.harness.pipeline import Observation, disturbances, observe
from emotion_stream.benchmarks.harness.plan import Plan, percentile
from emotion_stream.benchmarks.harness.report import Section, Table
from emotion_stream.benchmarks.peers import running as peers
from emotion_stream.benchmarks.sections.latency import FPS, WARM_UP, settled

log = logging.getLogger(__name__)

MOST_MS = 150.0
"""Bound on p99, milliseconds."""
IN_FULL = 0.98
"""Share of the nominal rate that counts as the full rate."""
TRIES = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """One live run with a number of cameras."""

    cameras: int
    spread: bool
    fps: float
    lost: int
    p50_ms: float
    p99_ms: float
    busy: float

    @property
    def sustained(self) -> bool:
        """Whether every camera was served in full: no frame lost, and none too late."""
        return self.lost == 0 and self.p99_ms <= MOST_MS and self.fps >= IN_FULL * FPS * self.cameras


def run(plan: Plan) -> Section:
    """Search for the largest number of cameras.

    Raises:
        EmotionError: a run failed.
    """
    sample = Path(samples.__file__).parent / "sample.mp4"
    frames = round(FPS * (plan.seconds + WARM_UP))
    clip = retimed(sample, plan.folder / "cameras.mp4", frames, FPS)
    loop = peers.loop(plan, clip, seconds=min(plan.seconds, 5.0))
    trials: list[Trial] = []
    runs: list[Observation] = []

    def trial(clips: Sequence[Path]) -> Trial:
        runs.append(observe(plan, "--mode=live", *(f"--source=c{n}={path}" for n, path in enumerate(clips))))
        trials.append(_judge(plan, runs[-1], len(clips), spread=len(set(clips)) > 1))
        log.info("%s", trials[-1])
        return trials[-1]

    def holds(cameras: int) -> bool:
        clips = [retimed(sample, plan.folder / f"camera{n}.mp4", frames, FPS, n / cameras) for n in range(cameras)]
        return any(trial(clips).sustained for _ in range(TRIES))

    best = largest(holds, plan.most_cameras)
    if best > 1:
        trial([clip] * best)
    rows = [
        [
            str(t.cameras),
            "spread" if t.spread else "one instant" if t.cameras > 1 else "",
            f"{t.fps:.1f}",
            str(t.lost),
            f"{t.p50_ms:.1f}",
            f"{t.p99_ms:.1f}",
            f"{t.busy:.0%}",
            "yes" if t.sustained else "no",
        ]
        for t in sorted(trials, key=lambda t: (t.cameras, not t.spread))
    ]
    width, height, _ = size(clip)
    limit = plan.cores * 1000 / loop.cpu_ms / FPS
    notes = [
        f"Sustained: {best}{' or more' if best == plan.most_cameras else ''}. Sample clip, {width}x{height},"
        f" {FPS} frames/s each, {plan.seconds:g} s; p99 at most {MOST_MS:.0f} ms.",
        f"Limit: {limit:.1f}, if the queue cost nothing ({loop.cpu_ms:.2f} core-ms per frame for our own stages in"
        f" one loop, {plan.cores} cores). {disturbances(runs)}",
    ]
    header = ("cameras", "phases", "frames/s", "lost", "p50 ms", "p99 ms", "cores busy", "sustained")
    data = {"sustained": best, "limit": limit, "trials": [_told(t) for t in trials]}
    return Section("cameras", [Table("Live cameras", header, rows, notes)], data)


def largest(holds: Callable[[int], bool], most: int) -> int:
    """The largest number from 1 to `most` for which `holds`, or 0; what holds is taken to hold for less, too."""
    good, bad = 0, most + 1
    step = 1
    while bad - good > 1:
        trial = min(good + step, bad - 1)
        if holds(trial):
            good, step = trial, step * 2
        else:
            bad = trial
        if bad <= most:
            step = max(1, (bad - good) // 2)
    return good


def _judge(plan: Plan, seen: Observation, cameras: int, *, spread: bool) -> Trial:
    latencies = settled(seen)
    captures = [frame.captured_at for frame in seen.frames]
    return Trial(
        cameras=cameras,
        spread=spread,
        fps=len(captures) / (max(captures) - min(captures) + 1 / FPS),
        lost=seen.lost,
        p50_ms=percentile(latencies, 0.5) * 1000,
        p99_ms=percentile(latencies, 0.99) * 1000,
        busy=sum(seen.cpu.values()) / seen.span / plan.cores,
    )


def _told(trial: Trial) -> dict[str, object]:
    return {
        "cameras": trial.cameras,
        "spread": trial.spread,
        "fps": trial.fps,
        "lost": trial.lost,
        "p50_ms": trial.p50_ms,
        "p99_ms": trial.p99_ms,
        "busy": trial.busy,
        "sustained": trial.sustained,
    }
