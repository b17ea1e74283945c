"""A lossless run during which every fault occurs, spread over its progress."""

import math
import os
import random
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import cv2

from emotion_stream.shared.settings.options import DetectorOptions, ProducerOptions
from tests.chaos.checks import Verdict, check_drained, check_ends, check_faces, check_order, check_set_aside
from tests.chaos.faults import LOSSLESS, REAL
from tests.chaos.plant import MEMORY, Plant, shown_everywhere
from tests.chaos.report import Outcome
from tests.chaos.stages import POISONS, write_folder
from tests.support.pictures import SAMPLE

KINDS: tuple[Literal["haar", "yunet"], ...] = ("haar", "yunet")
CAMERAS = ("north", "east", "south", "west")
FRAMES = 400
"""Per camera, with stages that do nothing; and with the real ones:"""
REAL_FRAMES = 60
FIRST = 60
"""Frame of the sample clip from which on it has faces for the real stages."""
HARMED = 0.75
"""Part of the run over which the faults are spread: the rest is there for those that a fast machine outruns."""
LOOK = 0.04
"""Seconds between two looks at the progress."""
STUCK = 60.0
"""Seconds without any progress after which a run counts as stuck."""
WINDOW = 1.0
"""Seconds over which processor time is looked at."""
MOST_IDLE = 0.35
"""Share of a core that a process without work may take."""


class Wave:
    """One run. `real`: with the detectors and the classifier that are shipped, on fewer pictures."""

    def __init__(self, plant: Plant, chance: random.Random, *, real: bool = False) -> None:
        self._plant = plant
        self._chance = chance
        self._real = real
        self._epoch = f"run{chance.randrange(10**6)}"
        self._count = REAL_FRAMES if real else FRAMES
        self._outcome = Outcome(Verdict())
        self._poisons: Mapping[str, Mapping[int, str]] = {}

    def run(self) -> Outcome:
        """Run it to its end and check everything."""
        plant, verdict = self._plant, self._outcome.verdict
        began = time.monotonic()
        self._prepare()
        plant.note("started")
        self._harm()
        plant.note("all faults have occurred")
        if self._wait(self._total, "the end"):
            self._check_idle()
        plant.note("stopping")
        ends = plant.stop(
            [n for k in ("detector", "classifier", "lines", "tables", "producer") for n in plant.names(k)]
        )
        check_ends(verdict, ends)
        check_drained(verdict, plant)
        check_set_aside(verdict, plant.streams, self._outcome.faults)
        check_order(
            verdict, plant, self._epoch, dict.fromkeys(CAMERAS, self._count), self._poisons, marked=not self._real
        )
        if self._real:
            check_faces(verdict, plant.directory / "results.jsonl", {options.detector for options in detectors()})
        left = plant.streams.length(plant.streams.keys.frames)
        verdict.expect(left <= 64, f"{left} frames are left in the stream")
        verdict.expect(plant.peak_memory < MEMORY // 2, f"Redis took {plant.peak_memory} bytes")
        self._outcome.figures |= {
            "frames": self._total,
            "poisoned frames": sum(len(p) for p in self._poisons.values()),
            "processes restarted": sum(plant.restarts.values()),
            "connections cut by the proxy": sum(plant.proxy.cuts.values()),
            "peak Redis memory, MiB": round(plant.peak_memory / 2**20, 1),
            "seconds": round(time.monotonic() - began),
        }
        return self._outcome

    @property
    def _total(self) -> int:
        return self._count * len(CAMERAS)

    def _prepare(self) -> None:
        plant, chance = self._plant, self._chance
        folders = {camera: plant.directory / "pictures" / camera for camera in CAMERAS}
        if self._real:
            self._poisons = {camera: {3: "broken"} for camera in CAMERAS}
            for folder in folders.values():
                write_faces(folder, self._count)
            plant.start_workers(
                ["emotion_stream.detector_worker"], ["emotion_stream.classifier_worker"], *detectors()
            )
        else:
            places = chance.sample(range(self._total), 13)
            kinds = [*POISONS, *["raise-detector"] * 2, "raise-classifier", *["broken"] * 5]
            chosen = dict(zip(places, kinds, strict=True))
            self._poisons = {
                camera: {p % self._count: k for p, k in chosen.items() if p // self._count == n}
                for n, camera in enumerate(CAMERAS)
            }
            for camera, folder in folders.items():
                write_folder(folder, self._count, dict(self._poisons[camera]))
            plant.start_workers(["tests.chaos.stages", "slow-detector"], ["tests.chaos.stages", "classifier"])
        sources = tuple(f"{camera}={folder}" for camera, folder in folders.items())
        plant.start_producer(
            ProducerOptions(source=sources, mode="lossless", run_id=self._epoch, in_flight=8 if self._real else 64)
        )

    def _harm(self) -> None:
        """One fault after the other, each when the run has got a little further."""
        names = [*REAL] if self._real else [*LOSSLESS]
        self._chance.shuffle(names)
        for n, name in enumerate(names, 1):
            if not self._wait(int(HARMED * n / len(names) * self._total), name):
                return
            self._plant.note(
                f"{name}, with {shown_everywhere(self._plant.progress(), CAMERAS, self._epoch)} frames shown"
            )
            LOSSLESS[name](self._plant, self._chance)
            self._outcome.faults[name] += 1
        self._outcome.verdict.expect(
            self._shown() < self._total, "the run was over before all faults had occurred"
        )
        self._plant.wait_until_thawed()

    def _shown(self) -> int:
        return shown_everywhere(self._plant.progress(), CAMERAS, self._epoch)

    def _wait(self, count: int, what: str) -> bool:
        """Until so many frames are shown. False: nothing moves any more."""
        moved, before = time.monotonic(), (-1, -1)
        while True:
            progress = self._plant.progress()
            shown = shown_everywhere(progress, CAMERAS, self._epoch)
            now = (shown, sum(progress.work.values()))
            if shown >= count and (count < self._total or progress.all_shown(CAMERAS, ended=True)):
                return True
            if now != before:
                moved, before = time.monotonic(), now
            elif time.monotonic() - moved > STUCK:
                self._outcome.verdict.wrong.append(f"stuck at {shown} of {self._total} before {what}")
                return False
            time.sleep(LOOK)

    def _check_idle(self) -> None:
        """All is done: what is still pending (garbage, say) settles, then nobody may be busy."""
        plant = self._plant
        deadline = time.monotonic() + STUCK / 3
        while time.monotonic() < deadline:
            verdict = Verdict()
            check_drained(verdict, plant)
            if not verdict.wrong and plant.ready():
                break
            time.sleep(0.1)
        plant.note("idle")
        busy = least_busy(plant.cpu_seconds)
        self._outcome.figures["most CPU while idle"] = round(max(busy.values(), default=0.0), 2)
        for name, share in busy.items():
            if share >= MOST_IDLE:
                self._outcome.verdict.wrong.append(f"{name} takes {share:.0%} of a core with nothing to do")


def least_busy(cpu_seconds: Callable[[], Mapping[str, float]], windows: int = 8) -> dict[str, float]:
    """The least share of a core that each process took in any of `windows` seconds, or of fewer if nobody is busy
    any more. A process that has just started is soon quiet; one that spins never is."""
    least: dict[str, float] = {}
    for _ in range(windows):
        before, began = cpu_seconds(), time.monotonic()
        time.sleep(WINDOW)
        after, passed = cpu_seconds(), time.monotonic() - began
        for name, used in after.items():
            since = before.get(name, 0.0)
            share = (used - since if used >= since else used) / passed
            least[name] = min(share, least.get(name, math.inf))
        if max(least.values(), default=0.0) < MOST_IDLE:
            break
    return least


def detectors() -> list[DetectorOptions]:
    """Settings of both detectors: one of each kind, as while a setting is being changed, or CHAOS_DETECTOR's."""
    only = os.environ.get("CHAOS_DETECTOR")
    names = [name for name in KINDS if not only or name == only]
    return [
        DetectorOptions(names[n % len(names)], scan_width=160, min_face=0.2, scale_factor=1.3) for n in range(2)
    ]


def write_faces(folder: Path, count: int) -> None:
    """Small pictures, most of them with faces that either detector finds, one of them damaged."""
    folder.mkdir(parents=True)
    with av.open(str(SAMPLE)) as clip:
        for n, frame in enumerate(islice(clip.decode(video=0), FIRST, FIRST + count)):
            small = cv2.resize(frame.to_ndarray(format="bgr24"), (160, 90))
            cv2.imwrite(str(folder / f"{n}.jpg"), small)
    (folder / "3.jpg").write_bytes(b"\xff\xd8 no picture")
