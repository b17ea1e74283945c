"""The workers of a run: more of them while there is more to do, fewer when there is less."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from emotion_stream.emotion.runner.demand import ROOM_LIVE, ROOM_LOSSLESS, Load, Since, decide
from emotion_stream.emotion.runner.launch import WORKERS, Launch
from emotion_stream.emotion.runner.processor import seconds_idle, seconds_used
from emotion_stream.shared.streams.shard import Streams

log = logging.getLogger(__name__)

STEP = 0.5
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class _Used:
    """When something was measured: the processes of each stage, the CPU seconds that these had used until then,
    and the seconds for which cores had been idle."""

    at: float
    pids: Mapping[str, Mapping[str, int]]
    used: Mapping[str, float]
    idle: float


class Crew:
    """Keeps the numbers of a run's workers right. Where nobody tells how busy processes are (elsewhere than on
    Linux), the numbers stay as they were at the start."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._room = ROOM_LIVE if launch.is_live else ROOM_LOSSLESS
        self._last: _Used | None = None
        self._since: Mapping[str, Since] = {}

    def look(self, streams: Streams) -> None:
        """Start or retire a worker if it is time to. Call it often; it mostly returns at once.

        Raises:
            RedisError: the server does not answer.
        """
        now, last = time.monotonic(), self._last
        if last is not None and now - last.at < STEP:
            return
        self._last = measured = self._measure(now)
        if measured is None or last is None or measured.pids != last.pids:
            return  # nothing to compare with
        seconds = now - last.at
        loads = {
            module: Load(
                len(measured.pids[module]),
                self._launch.workers[module].most,
                (measured.used[module] - last.used[module]) / seconds,
                self._waiting(streams, module),
            )
            for module in WORKERS
        }
        idle = (measured.idle - last.idle) / seconds
        module, change, self._since = decide(loads, self._since, idle, self._room, now)
        if module is not None:
            self._change(module, change, loads[module])

    def _measure(self, now: float) -> _Used | None:
        supervisor = self._launch.supervisor
        pids = {module: supervisor.pids(module) for module in WORKERS}
        used = {module: seconds_used(pids[module].values()) for module in WORKERS}
        idle = seconds_idle()
        known = {module: seconds for module, seconds in used.items() if seconds is not None}
        return None if idle is None or known.keys() != used.keys() else _Used(now, pids, known, idle)

    @staticmethod
    def _waiting(streams: Streams, module: str) -> float:
        stream = streams.keys.frames if module == "detector_worker" else streams.keys.faces
        return float(streams.lag(stream, WORKERS[module][0]).entries or 0)

    def _change(self, module: str, change: int, load: Load) -> None:
        does = f"{load.busy / load.workers:.0%} busy, {load.waiting:.0f} messages wait"
        if change > 0:
            log.info("started %s: those before are %s", self._launch.add(module), does)
        else:
            name = list(self._launch.supervisor.pids(module))[-1]
            self._launch.supervisor.retire(name)
            log.info("%s is not needed any more: %s", name, does)
