"""How many live cameras at 30 frames/s the pipeline takes without a drop: `emotion bench --only cameras`.

Every camera plays the sample clip, 640x360, decoded anew for each, and all start at the same moment. A number
of cameras counts as sustained when no frame was lost, every camera came in full, and p99 stayed below the
bound; one that fails is tried once more, because one hiccup of the machine is enough to fail.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import samples
from benchmarks import peers
from benchmarks.clips import retimed, size
from benchmarks.latency import FPS, WARM_UP, settled
from benchmarks.pipeline import Observation, disturbances, observe
from benchmarks.plan import Plan, percentile
from benchmarks.report import Section, Table

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
    fps: float
    lost: int
    p50_ms: float
    p99_ms: float
    busy: float

    @property
    def sustained(self) -> bool:
        return self.lost == 0 and self.p99_ms <= MOST_MS and self.fps >= IN_FULL * FPS * self.cameras


def run(plan: Plan) -> Section:
    """Search for the largest number of cameras.

    Raises:
        EmotionError: a run failed.
    """
    sample = Path(samples.__file__).parent / "sample.mp4"
    clip = retimed(sample, plan.folder / "cameras.mp4", round(FPS * (plan.seconds + WARM_UP)), FPS)
    loop = peers.loop(plan, clip, seconds=min(plan.seconds, 5.0))
    trials: list[Trial] = []
    runs: list[Observation] = []

    def holds(cameras: int) -> bool:
        for _ in range(TRIES):
            runs.append(observe(plan, "--mode=live", *(f"--source=c{n}={clip}" for n in range(cameras))))
            trials.append(_judge(plan, runs[-1], cameras))
            log.info("%s", trials[-1])
            if trials[-1].sustained:
                return True
        return False

    best = largest(holds, plan.most_cameras)
    rows = [
        [
            str(t.cameras),
            f"{t.fps:.1f}",
            str(t.lost),
            f"{t.p50_ms:.1f}",
            f"{t.p99_ms:.1f}",
            f"{t.busy:.0%}",
            "yes" if t.sustained else "no",
        ]
        for t in sorted(trials, key=lambda t: t.cameras)
    ]
    width, height, _ = size(clip)
    limit = plan.cores * 1000 / loop.cpu_ms / FPS
    notes = [
        f"Sustained: {best}{' or more' if best == plan.most_cameras else ''}. Sample clip, {width}x{height},"
        f" {FPS} frames/s each, {plan.seconds:g} s; p99 at most {MOST_MS:.0f} ms.",
        f"Limit: {limit:.1f}, if the queue cost nothing ({loop.cpu_ms:.2f} core-ms per frame for our own stages in"
        f" one loop, {plan.cores} cores). {disturbances(runs)}",
    ]
    header = ("cameras", "frames/s", "lost", "p50 ms", "p99 ms", "cores busy", "sustained")
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


def _judge(plan: Plan, seen: Observation, cameras: int) -> Trial:
    latencies = settled(seen)
    captures = [frame.captured_at for frame in seen.frames]
    return Trial(
        cameras=cameras,
        fps=len(captures) / (max(captures) - min(captures) + 1 / FPS),
        lost=seen.lost,
        p50_ms=percentile(latencies, 0.5) * 1000,
        p99_ms=percentile(latencies, 0.99) * 1000,
        busy=sum(seen.cpu.values()) / seen.span / plan.cores,
    )


def _told(trial: Trial) -> dict[str, object]:
    return {
        "cameras": trial.cameras,
        "fps": trial.fps,
        "lost": trial.lost,
        "p50_ms": trial.p50_ms,
        "p99_ms": trial.p99_ms,
        "busy": trial.busy,
        "sustained": trial.sustained,
    }
