"""How throughput grows with detectors and with cameras: `emotion bench --only scaling`.

Detectors: one and two of them, with a full search of every frame at a width of 640 pixels, so that detection is
nearly all of the work; in a whole pipeline, and alone with a stream full of frames. Cameras: the same clip from
one, two and four files at once, with the default settings.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields

from emotion_stream.benchmarks.harness.clips import retimed
from emotion_stream.benchmarks.harness.pipeline import Observation, disturbances, observe
from emotion_stream.benchmarks.harness.plan import Plan, Spread
from emotion_stream.benchmarks.harness.report import Section, Table
from emotion_stream.benchmarks.sections.alone import detect, frames_of
from emotion_stream.shared.settings.options import DetectorOptions

log = logging.getLogger(__name__)

DETECTORS = (1, 2)
CAMERAS = (1, 2, 4)
FULL_SEARCH_COSTS = 4
"""How many times fewer frames are played with a full search of each."""


def full_search() -> list[str]:
    """Flags for a full search of every frame at a width of 640 pixels."""
    known = {f.name for f in fields(DetectorOptions)}
    return ["--scan-width=640", *(["--scan-every=1"] if "scan_every" in known else [])]


def run(plan: Plan) -> Section:
    """Measure both, in turns.

    Raises:
        EmotionError: a run failed.
    """
    slow = retimed(plan.clip, plan.folder / "detectors.mp4", plan.frames // FULL_SEARCH_COSTS, 30)
    clips = {n: retimed(plan.clip, plan.folder / f"cameras{n}.mp4", plan.frames // n, 30) for n in CAMERAS}
    by_detectors: dict[int, list[Observation]] = {n: [] for n in DETECTORS}
    by_cameras: dict[int, list[Observation]] = {n: [] for n in CAMERAS}
    frames = frames_of(slow)
    alone: dict[int, list[float]] = {n: [] for n in DETECTORS}
    for turn in range(plan.rounds):
        for n, rates in alone.items():
            rates.append(detect(plan, frames, n, full_search()))
            log.info("round %d of %d: %d detectors alone %.1f frames/s", turn + 1, plan.rounds, n, rates[-1])
        for n, seen in by_detectors.items():
            seen.append(observe(plan, f"--source={slow}", f"--detectors={n}", "--classifiers=1", *full_search()))
            log.info("round %d of %d: %d detectors %.1f frames/s", turn + 1, plan.rounds, n, seen[-1].fps)
        for n, seen in by_cameras.items():
            seen.append(observe(plan, *(f"--source=c{k}={clips[n]}" for k in range(n))))
            log.info("round %d of %d: %d cameras %.1f frames/s", turn + 1, plan.rounds, n, seen[-1].fps)
    tables = (
        _alone(alone),
        _table("Detectors, full search of every frame", "detectors", plan, by_detectors),
        _table("Cameras, lossless", "cameras", plan, by_cameras),
    )
    data = {
        "alone": {str(n): rates for n, rates in alone.items()},
        "detectors": {str(n): [o.fps for o in seen] for n, seen in by_detectors.items()},
        "cameras": {str(n): [o.fps for o in seen] for n, seen in by_cameras.items()},
    }
    return Section("scaling", tables, data)


def _alone(alone: Mapping[int, Sequence[float]]) -> Table:
    rows = []
    for n, rates in alone.items():
        gain = Spread.of(many / one for many, one in zip(rates, alone[DETECTORS[0]], strict=True))
        rows.append([str(n), Spread.of(rates).text(), gain.text(2)])
    notes = ["Nothing else runs but the server: all frames lie in the stream at the start."]
    return Table("Detectors alone, full search of every frame", ("detectors", "frames/s", "gain"), rows, notes)


def _table(title: str, what: str, plan: Plan, runs: dict[int, list[Observation]]) -> Table:
    first = next(iter(runs.values()))
    rows = []
    for n, seen in runs.items():
        gain = Spread.of(many.fps / one.fps for many, one in zip(seen, first, strict=True))
        cost = Spread.of(sum(o.cpu_ms.values()) for o in seen)
        limit = plan.cores * 1000 / cost.median
        busy = _busy(plan, seen)
        rows.append(
            [str(n), Spread.of(o.fps for o in seen).text(), gain.text(2), cost.text(2), f"{limit:.0f}", busy]
        )
    header = (what, "frames/s", "gain", "CPU ms per frame", f"limit of {plan.cores} cores", "cores busy")
    return Table(title, header, rows, [disturbances([o for seen in runs.values() for o in seen])])


def _busy(plan: Plan, seen: Sequence[Observation]) -> str:
    return f"{Spread.of(sum(o.cpu.values()) / o.span / plan.cores for o in seen).median:.0%}"
