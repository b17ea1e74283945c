"""How many workers a stage should have, by what it has to do. Pure.

Another one is started where the processes of a stage are busy, messages wait for them, and cores are idle. One is
retired where those that remain would have little to do, for long. What lies between changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

BUSY = 0.8
"""Share of their time that the processes of a stage must be at work before it may get another one."""
CALM = 0.5
"""The same, of those that would remain, below which one is retired."""
WAITING = 2.0
"""Messages for each worker, those in its hands included, above which the stage is behind."""
ROOM_LIVE, ROOM_LOSSLESS = 0.25, 0.5
"""Cores that must be idle before another worker is started. Two detectors at successive frames of one camera
search what moved twice, because neither knows what the other has just seen: that takes half as much time again.
Live frames seldom come so fast."""
SHORT_FOR, CALM_FOR = 1.5, 30.0
"""Seconds for which a stage must be short of workers, or have one too many, before anything changes."""
SETTLE = 4.0
"""Seconds that a change gets to show its effect."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a stage has to do.

    Attributes:
        workers: its processes.
        most: how many it may have.
        busy: cores that they keep at work, all together.
        waiting: messages that they have not finished.
    """

    workers: int
    most: int
    busy: float
    waiting: float


@dataclass(frozen=True, slots=True)
class Since:
    """From when on a stage has been short of workers, from when on it has had one too many (None: it is not so),
    and when something last changed (`at`). Seconds of a clock that only goes forward."""

    short: float | None = None
    calm: float | None = None
    at: float = -SETTLE


def decide(
    loads: Mapping[str, Load], since: Mapping[str, Since], idle: float, room: float, now: float
) -> tuple[str | None, int, Mapping[str, Since]]:
    """Which stage gets a worker more (1) or fewer (-1), or None and 0, and what to remember for the next look.

    The stage that is furthest behind comes first; there is one change at a time.

    Args:
        loads: each stage as it was since the last look.
        since: what the last look remembered.
        idle: cores without work, of those that this program may use.
        room: how many of them must be idle before there is another worker.
        now: seconds.
    """
    after = {stage: _after(load, since.get(stage, Since()), idle >= room, now) for stage, load in loads.items()}
    short = [stage for stage, s in after.items() if s.short is not None and now - s.short >= SHORT_FOR]
    calm = [stage for stage, s in after.items() if s.calm is not None and now - s.calm >= CALM_FOR]
    if short:
        stage, change = max(short, key=lambda stage: loads[stage].waiting / loads[stage].workers), 1
    elif calm:
        stage, change = calm[0], -1
    else:
        return None, 0, after
    # Whatever changes, the other stages see another load from now on.
    return stage, change, dict.fromkeys(after, Since(at=now))


def _after(load: Load, before: Since, has_room: bool, now: float) -> Since:
    if now - before.at < SETTLE:
        return replace(before, short=None, calm=None)
    behind = load.waiting > WAITING * load.workers
    short = behind and has_room and load.busy >= BUSY * load.workers and load.workers < load.most
    # Where others take the cores, workers are not busy, and yet behind.
    calm = load.workers > 1 and not behind and load.busy < CALM * (load.workers - 1)
    return Since(
        (now if before.short is None else before.short) if short else None,
        (now if before.calm is None else before.calm) if calm else None,
        before.at,
    )
