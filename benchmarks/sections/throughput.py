"""Frames per second, CPU and memory, lossless, beside other programs: `emotion bench --only throughput`.

All programs play the same clip on the same cores, one after the other, in rounds: what disturbs the machine
disturbs all of them. Frames per second suffer from such disturbance; CPU per frame does so much less.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from emotion_stream.benchmarks.harness.clips import retimed, size
from emotion_stream.benchmarks.harness.pipeline import Observation, disturbances, observe
from emotion_stream.benchmarks.harness.plan import Plan, Spread
from emotion_stream.benchmarks.harness.report import Section, Table
from emotion_stream.benchmarks.peers import running as peers
from emotion_stream.benchmarks.peers.running import Outcome

log = logging.getLogger(__name__)

STAGES = ("producer", "detector", "classifier", "sink", "server", "runner")
MIB = 2**20
BATCH = 32
"""Frames that the batching loop takes at once: as many as a classifier takes."""
FER_ABSENT = (
    "The fer package was left out, because its environment is not named (--fer-python):"
    " docs/explanation/performance.md tells how to make one."
)


def run(plan: Plan) -> Section:
    """Measure all programs in turns.

    Raises:
        EmotionError: one of them does not run.
    """
    clip = retimed(plan.clip, plan.folder / "throughput.mp4", plan.frames, 30)
    subjects: dict[str, Callable[[], Outcome]] = {
        "loop": lambda: peers.loop(plan, clip),
        "batches": lambda: peers.loop(plan, clip, BATCH),
        "original": lambda: peers.original(plan, clip),
    }
    if plan.fer_python is not None:
        subjects["fer"] = lambda: peers.fer(plan, clip)
    runs: list[Observation] = []
    others: dict[str, list[Outcome]] = {name: [] for name in subjects}
    for n in range(plan.rounds):
        runs.append(observe(plan, f"--source={clip}"))
        log.info("round %d of %d: pipeline %.1f frames/s", n + 1, plan.rounds, runs[-1].fps)
        for name, subject in subjects.items():
            others[name].append(subject())
            log.info("round %d of %d: %s %.1f frames/s", n + 1, plan.rounds, name, others[name][-1].fps)
    width, height, _ = size(clip)
    picture = f"{plan.clip.name}, {width}x{height}, {len(runs[0].frames)} frames"
    tables = (_comparison(plan, runs, others, picture), _stages(plan, runs, others["loop"]), _memory(runs))
    return Section("throughput", tables, _data(runs, others))


def _comparison(
    plan: Plan, runs: Sequence[Observation], others: Mapping[str, list[Outcome]], picture: str
) -> Table:
    cost = [sum(run.cpu_ms.values()) for run in runs]
    found = Spread.of(run.faces / len(run.frames) for run in runs)
    rows = [
        [
            "pipeline, lossless",
            Spread.of(r.fps for r in runs).text(),
            Spread.of(cost).text(2),
            f"{found.median:.2f}",
            "1",
            "1",
        ]
    ]
    names = {"loop": "own stages in one loop", "batches": f"the same, {BATCH} frames at once"}
    for name, outcomes in others.items():
        faster = Spread.of(run.fps / other.fps for run, other in zip(runs, outcomes, strict=True))
        cheaper = Spread.of(mine / other.cpu_ms for mine, other in zip(cost, outcomes, strict=True))
        rows.append(
            [
                names.get(name, outcomes[0].what),
                Spread.of(o.fps for o in outcomes).text(),
                Spread.of(o.cpu_ms for o in outcomes).text(2),
                f"{Spread.of(o.faces / o.frames for o in outcomes).median:.2f}",
                faster.text(),
                cheaper.text(2),
            ]
        )
    limit = plan.cores * 1000 / Spread.of(cost).median
    free = plan.cores * 1000 / Spread.of(o.cpu_ms for o in others["loop"]).median
    notes = [
        f"Clip: {picture}; {plan.rounds} rounds, median (lowest to highest).",
        f"Limit on {plan.cores} cores: {limit:.0f} frames/s if they did nothing but this pipeline's work,"
        f" {free:.0f} if the queue cost nothing. {disturbances(runs)}",
    ]
    if "fer" not in others:
        notes.append(FER_ABSENT)
    header = (
        "",
        "frames/s",
        "CPU ms per frame",
        "faces per frame",
        "pipeline is faster by",
        "pipeline's CPU / its",
    )
    return Table("Side by side", header, rows, notes)


def _stages(plan: Plan, runs: Sequence[Observation], loop: Sequence[Outcome]) -> Table:
    total = Spread.of(sum(run.cpu_ms.values()) for run in runs)
    rows = []
    for stage in STAGES:
        used = Spread.of(run.cpu_ms.get(stage, 0.0) for run in runs)
        rows.append(
            [stage, str(runs[0].processes.get(stage, 0)), used.text(2), f"{used.median / total.median:.0%}"]
        )
    rows.append(["all", str(sum(runs[0].processes.values())), total.text(2), "100%"])
    steps = ", ".join(
        f"{name} {Spread.of(o.steps[name] * 1000 / o.frames for o in loop).median:.2f}" for name in loop[0].steps
    )
    busy = Spread.of(sum(run.cpu.values()) / run.span / plan.cores for run in runs)
    notes = [
        f"The loop's steps, CPU ms per frame: {steps}.",
        f"The pipeline kept {busy.median:.0%} of {plan.cores} cores busy.",
    ]
    return Table("Stages of the pipeline", ("", "processes", "CPU ms per frame", "share"), rows, notes)


def _memory(runs: Sequence[Observation]) -> Table:
    rows = [
        [
            stage,
            Spread.of(run.memory[stage].pss / MIB for run in runs).text(0),
            Spread.of(run.memory[stage].rss / MIB for run in runs).text(0),
        ]
        for stage in STAGES
        if all(stage in run.memory for run in runs)
    ]
    notes = ["The most that one process held. PSS counts pages shared by n processes as 1/n, RSS in full."]
    return Table("Memory per process", ("", "PSS, MiB", "RSS, MiB"), rows, notes)


def _data(runs: Sequence[Observation], others: Mapping[str, list[Outcome]]) -> dict[str, object]:
    told = [
        {
            "fps": run.fps,
            "frames": len(run.frames),
            "faces": run.faces,
            "seconds": run.span,
            "cpu_ms_per_frame": run.cpu_ms,
            "others_cores": run.others,
            "restarts": run.restarts,
            "memory": {stage: asdict(memory) for stage, memory in run.memory.items()},
            "processes": dict(run.processes),
        }
        for run in runs
    ]
    return {"pipeline": told, **{name: [asdict(o) for o in outcomes] for name, outcomes in others.items()}}
