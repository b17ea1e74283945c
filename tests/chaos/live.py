"""Live mode under faults: all that was produced is shown or counted, and what is shown is soon young again."""

import random
import time
from datetime import datetime

from shared.options import ProducerOptions
from sink.stats import Stats
from tests.chaos.checks import Line, Tail, Verdict, check_drained, check_ends, lines
from tests.chaos.faults import LIVE, LOSSLESS
from tests.chaos.plant import SINKS, Plant
from tests.chaos.report import Outcome
from tests.chaos.stages import write_folder

CAMERAS = ("left", "right")
FPS = 30.0
YOUNG_MS = 1000.0
"""A live view is as it should be when what it shows is at most this old."""
PATIENCE = 120.0
"""Seconds after which something counts as never: a busy machine takes long to start a process."""
CALM = 0.3
"""Seconds between two faults."""


def live_wave(plant: Plant, chance: random.Random) -> Outcome:
    """Run live cameras, harm them, and count."""
    outcome = Outcome(Verdict())
    verdict = outcome.verdict
    folders = [plant.directory / "pictures" / camera for camera in CAMERAS]
    for folder in folders:
        write_folder(folder, 40, {7: "raise-detector", 21: "broken", 33: "raise-classifier"})
    plant.start_workers(["tests.chaos.stages", "detector"], ["tests.chaos.stages", "classifier"], standby=False)
    sources = tuple(f"{camera}={folder}" for camera, folder in zip(CAMERAS, folders, strict=True))
    plant.start_producer(ProducerOptions(source=sources, mode="live", fps=FPS, loop=True))
    tail = Tail(plant.directory / "results.jsonl")
    if _recovered(tail, time.time()) is None:
        verdict.wrong.append("nothing is shown at all")
        return outcome
    names = [*LIVE]
    chance.shuffle(names)
    for name in names:
        at = time.time()
        plant.note(name)
        LOSSLESS[name](plant, chance)
        plant.wait_until_thawed()
        outcome.faults[name] += 1
        healed = _recovered(tail, at if name.startswith(("SIGKILL", "SIGTERM", "cut")) else time.time())
        if healed is None:
            verdict.wrong.append(f"after {name}: nothing young is shown for {PATIENCE:.0f} s")
        else:
            outcome.recovery[name] = round(healed, 2)
            plant.note(f"recovered within {healed:.2f} s")
        time.sleep(CALM)
    _end(plant, outcome)
    return outcome


def _recovered(tail: Tail, since: float) -> float | None:
    """Seconds from `since` until each camera shows a young frame that was captured afterwards; None: never."""
    deadline = time.time() + PATIENCE
    shown: dict[str, float] = {}
    while time.time() < deadline:
        for line in tail.read():
            if _captured(line) > since and line.latency_ms <= YOUNG_MS:
                shown.setdefault(line.camera, _captured(line) + line.latency_ms / 1000)
        if set(shown) >= set(CAMERAS):
            return max(shown[c] for c in CAMERAS) - since
        time.sleep(0.05)
    return None


def _captured(line: Line) -> float:
    return datetime.fromisoformat(line.captured_at).timestamp()


def _end(plant: Plant, outcome: Outcome) -> None:
    verdict = outcome.verdict
    ends = plant.stop(["producer"])
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        drained = Verdict()
        check_drained(drained, plant)
        if not drained.wrong:
            break
        time.sleep(0.2)
    ends |= plant.stop([n for k in ("detector", "classifier", "lines", "tables") for n in plant.names(k)])
    check_ends(verdict, ends)
    check_drained(verdict, plant)
    progress = plant.progress()
    appended = progress.work["producer"]
    for sink in SINKS:
        stats = Stats.from_bytes(progress.stats[sink])
        dropped = sum(stats.dropped.values())
        ours = sum(n for camera, n in stats.cameras.items() if camera in CAMERAS)
        verdict.expect(
            ours + dropped + stats.missing == appended,
            f"{sink}: {ours} shown + {dropped} dropped + {stats.missing} missing != {appended} appended",
        )
        outcome.figures[f"{sink}: shown, dropped, missing"] = ours + dropped + stats.missing
        outcome.figures[f"{sink}: not shown"] = dropped + stats.missing
    shown = [line for line in lines(plant.directory / "results.jsonl") if line.camera in CAMERAS]
    last: dict[tuple[str, str], int] = {}
    for line in shown:
        before = last.get((line.camera, line.epoch), -1)
        verdict.repeated += line.seq == before
        verdict.expect(line.seq > before, f"{line.camera}: {line.seq} after {before}")
        last[line.camera, line.epoch] = line.seq
    verdict.frames = len(shown)
    outcome.figures |= {
        "appended": appended,
        "worst recovery, s": max(outcome.recovery.values(), default=0.0),
        "peak Redis memory, MiB": round(plant.peak_memory / 2**20, 1),
    }
