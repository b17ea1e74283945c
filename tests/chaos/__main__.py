"""`python -m tests.chaos`: runs a pipeline while everything goes wrong, and checks that nothing was lost.

CHAOS_SEED picks where chance starts, CHAOS_MINUTES how long it goes on (default: every fault once, in live mode a
choice of them, under a minute), CHAOS_RECOVERY how many seconds a live view may take to be young again (default:
any number, because a busy machine takes long to start a process), CHAOS_KEEP a folder for the logs, CHAOS_JSON a
file for the figures. CHAOS_DETECTOR=haar or yunet: the real detectors are of this kind (default: in `real` one of
each, in `run` haar).
"""

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.faults import LIVE, LIVE_LONG
from tests.chaos.live import live_wave
from tests.chaos.lossless import KINDS, Wave
from tests.chaos.plant import Plant, plant
from tests.chaos.report import Outcome, Report
from tests.chaos.running import running_wave

WAVES: Mapping[str, Callable[[Plant, random.Random, bool], Outcome]] = {
    "lossless": lambda plant, chance, long: Wave(plant, chance).run(),
    "real": lambda plant, chance, long: Wave(plant, chance, real=True).run(),
    "live": lambda plant, chance, long: live_wave(plant, chance, LIVE_LONG if long else LIVE),
    "run": lambda plant, chance, long: running_wave(plant, chance),
}
"""Lossless with stages that take no time; with the real ones; live, which is longer when time is given; and
`emotion run`, live and with the real stages."""
DEFAULT = ("lossless", "real", "live")

TOGETHER = (("lossless", "real"), ("live",), ("run",))
"""What runs at the same time. Live ones have the machine to themselves, because they are about time."""


def _run(directory: Path, seed: int, number: int, kinds: Sequence[str], long: bool) -> list[tuple[str, Outcome]]:
    """One wave of each kind, at the same time; what each does follows from the seed, whatever runs beside it."""

    def wave(kind: str) -> Outcome:
        with plant(directory / f"{number}-{kind}", kind) as made:
            return WAVES[kind](made, random.Random(f"{seed} {number} {kind}"), long)

    if not kinds:
        return []
    with ThreadPoolExecutor(len(kinds)) as pool:
        return list(zip(kinds, pool.map(wave, kinds), strict=True))


def main() -> int:
    """Returns the exit code: 0 if all invariants held. Arguments choose among the waves."""
    minutes = float(os.environ.get("CHAOS_MINUTES") or 0)
    kinds = sys.argv[1:] or [*(WAVES if minutes else DEFAULT)]
    if unknown := set(kinds) - set(WAVES):
        print(f"there is no {', '.join(sorted(unknown))}: choose among {', '.join(WAVES)}", file=sys.stderr)
        return 2
    detector = os.environ.get("CHAOS_DETECTOR")
    if detector and detector not in KINDS:
        print(f"CHAOS_DETECTOR={detector}: choose among {', '.join(KINDS)}", file=sys.stderr)
        return 2
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"CHAOS_SEED={seed}", flush=True)
    keep = os.environ.get("CHAOS_KEEP")
    directory = Path(keep or tempfile.mkdtemp(prefix="chaos-"))
    report = Report(seed, float(os.environ.get("CHAOS_RECOVERY") or "inf"))
    began = time.monotonic()
    try:
        for number in range(1000):
            for together in TOGETHER:
                chosen = [k for k in together if k in kinds]
                for kind, outcome in _run(directory, seed, number, chosen, minutes > 0):
                    report.add(kind, outcome)
            if time.monotonic() - began > minutes * 60 or report.failed:
                break
    finally:
        if not keep and not report.failed:
            shutil.rmtree(directory, ignore_errors=True)
    report.print(time.monotonic() - began)
    if report.failed:
        print(f"logs are in {directory}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
