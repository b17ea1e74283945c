"""Measure what `--analyze-fps` saves and what it costs: runs of the pipeline with a budget, against all frames.

Usage: python -m benchmarks.video.budget [CLIP...] [--budget FPS...] [--detector haar|yunet] [--json FILE]

Without clips: the bundled sample, and the clips in ../shared/data/video where they are. Every way is a lossless
`emotion run` of its own on the same frames, so ratios hold on any machine.

searched    share of the frames in which faces were searched
ms          CPU time of all processes for a frame, above that of a run which searches one frame in ten seconds
agreement   of the faces shown when all frames are searched: those shown at the same place (IoU >= 0.4)
same label  of these, those with the same label
delay       seconds from a confirmed face's first frame to where it is shown with the budget, the mean of tracks
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emotion_stream.benchmarks.harness.script import DATA
from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.tracking.tracks import iou

SAME = 0.4
CLIPS = Path(__file__).parents[2] / "samples", DATA / "video"


@dataclass(frozen=True, slots=True)
class Row:
    """What one budget does on one clip; the fields are explained above."""

    clip: str
    budget: float | None
    searched: float
    cpu_ms: float
    agreement: float
    same_label: float
    delay: float | None


def play(clip: Path, budget: float | None, more: Sequence[str]) -> tuple[list[dict[str, Any]], float]:
    """The results of a run and the CPU seconds that it took.

    Raises:
        RuntimeError: the run failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "r.jsonl"
        flags = [] if budget is None else [f"--analyze-fps={budget}"]
        command = [sys.executable, "-m", "emotion_stream", "run", str(clip), "--mode=lossless", *flags, *more]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([*command, f"--output=jsonl={results}"], capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise RuntimeError(done.stderr)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return [json.loads(line) for line in results.read_text().splitlines()], spent


def shown(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The confirmed faces of a frame."""
    return [face for face in record["faces"] if face["confirmed"]]


def compare(every: Sequence[dict[str, Any]], some: Sequence[dict[str, Any]]) -> tuple[float, float, float | None]:
    """Agreement, share of the same labels, and the mean delay, seconds, of results with a budget. Pure."""
    there = same = total = 0
    began: dict[int, float] = {}
    found: dict[int, float] = {}
    for full, part in zip(every, some, strict=True):
        for face in shown(full):
            total += 1
            began.setdefault(face["track"], full["time"])
            match = next((f for f in shown(part) if iou(Box(*f["box"]), Box(*face["box"])) >= SAME), None)
            if match is not None:
                there += 1
                same += match["emotion"] == face["emotion"]
                found.setdefault(face["track"], part["time"])
    delays = [found[track] - time for track, time in began.items() if track in found]
    return there / max(1, total), same / max(1, there), sum(delays) / len(delays) if delays else None


def measure(clip: Path, budgets: Sequence[float], more: Sequence[str]) -> list[Row]:
    """A row for all frames and one for each budget."""
    every, _ = play(clip, None, more)
    start = min(play(clip, 0.1, more)[1] for _ in range(2))
    rows = []
    for budget in (None, *budgets):
        records, spent = play(clip, budget, more)
        searched = sum(record["analyzed"] for record in records) / len(records)
        rows.append(
            Row(clip.name, budget, searched, 1000 * (spent - start) / len(records), *compare(every, records))
        )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.video.budget", description=__doc__.split("\n")[0])
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--budget", nargs="+", type=float, default=[15.0, 10.0, 5.0], metavar="FPS")
    parser.add_argument("--detector", default="haar", choices=("haar", "yunet"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    clips = given.clips or [path for folder in CLIPS for path in sorted(folder.glob("*.mp4"))]
    rows = [row for clip in clips for row in measure(clip, given.budget, [f"--detector={given.detector}"])]
    print("| clip | budget | searched | CPU above a search in 10 s, ms a frame | agreement | same label | delay |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        budget = "all frames" if row.budget is None else f"{row.budget:g}"
        delay = "" if row.delay is None else f"{row.delay:.2f} s"
        print(
            f"| {row.clip} | {budget} | {row.searched:.0%} | {row.cpu_ms:.2f} | {row.agreement:.1%}"
            f" | {row.same_label:.1%} | {delay} |"
        )
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
