"""Compare checkouts of this project by turns: frames per second of a lossless run, and what a frame costs.

Usage: python -m benchmarks.turns CHECKOUT [--clip CLIP] [--frames N] [--rounds N] [--detector haar|yunet]

CHECKOUT is the folder of another commit (`git worktree add ../before COMMIT`), played before this one in every
round, with the packages of this environment. Ratios are taken within a round, because the speed of a machine
changes.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from emotion_stream import samples
from emotion_stream.benchmarks.harness.clips import retimed
from emotion_stream.benchmarks.harness.pipeline import ROOT, Observation, disturbances, observe
from emotion_stream.benchmarks.harness.plan import Plan, Spread
from emotion_stream.benchmarks.harness.script import at_least_one, script
from emotion_stream.emotion.runner.processor import usable_cores
from emotion_stream.models.evaluation.runlog import table
from emotion_stream.shared.errors import EmotionError

RATE = 30
"""Frames per second of media time."""


def play(checkouts: Mapping[str, Path], given: argparse.Namespace) -> Mapping[str, Sequence[Observation]]:
    """Every checkout once in each round.

    Raises:
        EmotionError: the clip cannot be read, or a run failed.
    """
    runs: dict[str, list[Observation]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        settings = folder / "settings.toml"
        settings.touch()
        plan = Plan(given.clip, given.rounds, given.frames, 0, 0, None, settings, folder, usable_cores())
        clip = retimed(given.clip, folder / "clip.mp4", given.frames, RATE)
        for number in range(1, given.rounds + 1):
            for name, checkout in checkouts.items():
                flags = str(clip), "--mode=lossless", f"--detector={given.detector}"
                runs[name].append(observe(plan, *flags, checkout=checkout))
                print(f"round {number}, {name}: {runs[name][-1].fps:.0f} frames/s", file=sys.stderr, flush=True)
    return runs


def row(name: str, runs: Sequence[Observation], first: Sequence[Observation]) -> list[str]:
    """The medians of a checkout, and how much faster it is than the first one."""
    stages = {stage: statistics.median(run.cpu_ms[stage] for run in runs) for stage in runs[0].cpu_ms}
    ratios = [run.fps / other.fps for run, other in zip(runs, first, strict=True)]
    return [
        name,
        Spread.of(run.fps for run in runs).text(),
        Spread.of(ratios).text(2),
        Spread.of(sum(run.cpu_ms.values()) for run in runs).text(2),
        f"{statistics.median(sum(run.cpu.values()) / run.span / usable_cores() for run in runs):.0%}",
        ", ".join(f"{stage} {ms:.2f}" for stage, ms in stages.items()),
    ]


def main(given: argparse.Namespace) -> None:
    """Print the table."""
    if not (given.checkout / "emotion_stream" / "__main__.py").is_file():
        raise EmotionError(f"{given.checkout} is no checkout of this project")
    runs = play({given.checkout.name: given.checkout.resolve(), "this one": ROOT}, given)
    first = next(iter(runs.values()))
    head = ["checkout", "frames/s", "times as many", "CPU ms per frame", "cores busy", "of it"]
    print(table([head, *(row(name, found, first) for name, found in runs.items())]))
    print(
        f"\n{given.clip.name}, {given.frames} frames, {given.detector}, {given.rounds} rounds, median (lowest to"
    )
    print(f"highest). {disturbances([run for found in runs.values() for run in found])}")


if __name__ == "__main__":
    sample = Path(samples.__file__).parent / "sample.mp4"
    with script("turns", __doc__) as parser:
        parser.add_argument("checkout", type=Path, metavar="CHECKOUT")
        parser.add_argument("--clip", type=Path, default=sample)
        parser.add_argument("--frames", type=at_least_one, default=1500)
        parser.add_argument("--rounds", type=at_least_one, default=3)
        parser.add_argument("--detector", choices=("haar", "yunet"), default="haar")
        main(parser.parse_args())
