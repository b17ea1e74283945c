"""Live mode under faults: all that was produced is shown or counted, and what is shown is soon young again."""

import math
import random
import time
from collections.abc import Sequence
from datetime import datetime

from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.sink.results.stats import Stats
from tests.chaos.checks import (
    Tail,
    Verdict,
    check_drained,
    check_ends,
    check_increasing,
    check_set_aside,
    lines,
)
from tests.chaos.faults import LOSSLESS
from tests.chaos.plant import SINKS, Plant
from tests.chaos.report import Outcome
from tests.chaos.stages import write_folder

CAMERAS = ("left", "right")
FPS = 30.0
YOUNG = 1.0
"""Seconds. A live view is as it should be while what is on the screen is at most this old."""
STEADY = 1.0
"""Seconds for which it has to stay so before the next fault."""
PATIENCE = 120.0
"""Seconds after which something counts as never: a busy machine takes long to start a process."""
LASTING = (
    "server killed and restarted", "CLIENT PAUSE", "memory full", "SIGSTOP active sink past its lease",
)  # fmt: skip
"""Faults under which nothing can be shown, because there is one server and, here, one sink. Time counts from
their end."""


def live_wave(plant: Plant, chance: random.Random, faults: Sequence[str]) -> Outcome:
    """Run live cameras, harm them with each of these faults, and count."""
    outcome = Outcome(Verdict())
    verdict = outcome.verdict
    folders = [plant.directory / "pictures" / camera for camera in CAMERAS]
    for folder in folders:
        write_folder(folder, 40, {7: "raise-detector", 21: "broken", 33: "raise-classifier"})
    plant.start_workers(["tests.chaos.stages", "detector"], ["tests.chaos.stages", "classifier"], standby=False)
    sources = tuple(f"{camera}={folder}" for camera, folder in zip(CAMERAS, folders, strict=True))
    plant.start_producer(ProducerOptions(source=sources, mode="live", fps=FPS, still_seconds=1 / FPS, loop=True))
    tail = Tail(plant.directory / "results.jsonl")
    if recovered(tail, time.time()) is None:
        verdict.wrong.append("nothing is shown at all")
        return outcome
    for name in chance.sample(faults, len(faults)):
        at = time.time()
        plant.note(name)
        LOSSLESS[name](plant, chance)
        outcome.faults[name] += 1
        worst = _worst(plant, tail, name, at)
        if worst is None:
            verdict.wrong.append(f"after {name}: nothing young is shown for {PATIENCE:.0f} s")
        else:
            outcome.recovery[name] = round(worst, 2)
            plant.note(f"recovered within {worst:.2f} s")
    _end(plant, outcome)
    return outcome


def _worst(plant: Plant, tail: Tail, name: str, at: float) -> float | None:
    """Seconds until all was well again after a fault that began `at`; None: never."""
    if name in LASTING:
        plant.wait_until_thawed()
        return recovered(tail, time.time())
    found = recovered(tail, at)
    if found is not None and plant.thawing:  # others have stood in for it; now it wakes up with what it held
        plant.wait_until_thawed()
        again = recovered(tail, time.time())
        return None if again is None else max(found, again)
    return found


def recovered(tail: Tail, since: float) -> float | None:
    """Seconds from `since` until what is on the screen is young for each camera, and stays so; None: never.

    A picture is on the screen until the next one comes: its age then is what counts.
    """
    deadline = time.time() + PATIENCE
    newest: dict[str, float] = {}
    young_since: dict[str, float] = {}
    latest: dict[str, float] = {}
    while time.time() < deadline:
        for line in tail.read():
            captured = datetime.fromisoformat(line.captured_at).timestamp()
            shown = captured + line.latency_ms / 1000
            if shown - newest.get(line.camera, shown) > YOUNG:
                young_since.pop(line.camera, None)
            if shown - captured > YOUNG:
                young_since.pop(line.camera, None)
            else:
                young_since.setdefault(line.camera, shown)
            newest[line.camera], latest[line.camera] = captured, shown
        if all(latest.get(c, 0.0) > max(since, young_since.get(c, math.inf)) + STEADY for c in CAMERAS):
            return max(0.0, *(young_since[c] - since for c in CAMERAS))
        time.sleep(0.05)
    return None


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
    check_set_aside(verdict, plant.streams, outcome.faults)
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
    check_increasing(verdict, shown)
    outcome.figures |= {
        "appended": appended,
        "worst recovery, s": max(outcome.recovery.values(), default=0.0),
        "peak Redis memory, MiB": round(plant.peak_memory / 2**20, 1),
    }
