"""Results that were sent before this sink began: of a run that still goes on, or of one that has ended."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from emotion_stream.shared.messages.types import Emotions, Mode
from emotion_stream.shared.streams.access import id_seconds, run_of
from emotion_stream.shared.streams.letters import REPLAYED
from emotion_stream.shared.streams.progress import Progress
from emotion_stream.shared.streams.shard import Streams

PATIENCE = 10.0
"""Seconds in which the next run's producer has its leases: it waits up to 6 for those of the one before."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message, and the id of its entry. `passed`: later frames in the other mode have been seen."""

    id: str
    message: Emotions
    passed: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """What is written at the moment.

    Attributes:
        mode: in which mode; empty: nobody writes.
        runs: cameras that somebody has, each with its lossless run; empty: not told.
        progress: what producers and sinks have told.
        going: live cameras, each with the epoch of what was sent since this process began.
        late: whether everybody who wanted to come has come.
    """

    mode: str
    runs: Mapping[str, str]
    progress: Progress
    going: Mapping[str, str]
    late: bool


def goes_on(arrival: Arrival, scene: Scene) -> bool | None:
    """Whether the run that sent this goes on, or no other one has begun; None: it is too early to say. Pure."""
    info = arrival.message.info
    if info.epoch.startswith(REPLAYED):
        return True  # somebody wants to see it
    if scene.mode != info.mode and (scene.mode or arrival.passed):
        return False  # both modes cannot share a server
    run = scene.runs.get(info.camera)
    if info.mode == "live":
        if (going := scene.going.get(info.camera)) is not None:
            return going == info.epoch
        newest, _ = scene.progress.appended.get(info.camera, (info.epoch, 0))
        if run is not None and newest != info.epoch:
            return False
        return True if scene.late else None
    own = run_of(info.epoch)  # each camera may be in another pass
    if run is not None:
        return run_of(run) in ("", own)
    others = [run_of(run) for run in scene.runs.values() if run]
    whole = scene.progress.ended.get(info.camera, ("", 0))[0] == info.epoch
    if others and own not in others and not whole:
        return False
    return True if scene.late else None


class Leftovers:
    """Sifts results from before this process began, and stragglers of a run that another one has followed.

    They are shown if their run goes on, or if nobody comes: then the sink was only slow to start. They are left
    out if another run has begun on the same server meanwhile: a run gets its own frames only, also a live one that
    follows a live one. A lossless run that was left out in part can be taken up again all the same: its producer
    then sends that part once more.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._began = time.time() + streams.clock_offset()
        self._until = time.monotonic() + PATIENCE
        self._held: list[Arrival] = []
        self._newest: dict[Mode, float] = {}
        self._going: dict[str, str] = {}

    def sift(self, arrivals: Sequence[Arrival]) -> tuple[list[Arrival], list[Arrival]]:
        """Which of these, and of those held back before, to show now; and which never."""
        fresh: list[Arrival] = []
        show: list[Arrival] = []
        drop: list[Arrival] = []
        for arrival in arrivals:
            mode, sent = arrival.message.info.mode, id_seconds(arrival.message.frame_id)
            self._newest[mode] = max(sent, self._newest.get(mode, 0.0))
            passed = sent < self._newest.get("lossless" if mode == "live" else "live", 0.0)
            if passed or sent < self._began:
                self._held.append(replace(arrival, passed=passed))
            else:
                fresh.append(arrival)
                if mode == "live":
                    self._going[arrival.message.info.camera] = arrival.message.info.epoch
        if self._held:
            held: list[Arrival] = []
            scene = self._look()
            for arrival in self._held:
                verdict = goes_on(arrival, scene)
                (held if verdict is None else show if verdict else drop).append(arrival)
            self._held = held
        self._leave_out(drop)
        return [*show, *fresh], drop

    def forget(self) -> None:
        """The connection was lost: what is held back is still pending, and is read again."""
        self._held.clear()

    def _look(self) -> Scene:
        progress = self._streams.progress()
        cameras = {arrival.message.info.camera for arrival in self._held} | progress.appended.keys()
        mode, runs = self._streams.producing(cameras)
        return Scene(mode, runs, progress, self._going, time.monotonic() > self._until)

    def _leave_out(self, drop: Sequence[Arrival]) -> None:
        """Before these are acknowledged: note where their run would have to go on."""
        infos = [arrival.message.info for arrival in drop]
        for camera, epoch in {(info.camera, info.epoch) for info in infos if info.mode == "lossless"}:
            self._streams.rewind(camera, epoch)
        for mode, count in Counter(info.mode for info in infos).items():
            log.info("%d results of a %s run that has ended are left out", count, mode)
