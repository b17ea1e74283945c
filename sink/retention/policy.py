"""Which results go next. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from emotion_stream.sink.retention.rules import Rules

SHARE = 8
"""Files that are being written never go, so all together they may take one part in so many of the room."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Results that go together: a file, a camera's folder of a period, or the oldest rows of a database.

    Attributes:
        path: what goes, or the file in which it lies.
        end: when its newest result was captured at the latest, seconds since 1970.
        size: bytes that become free.
        begin: when its oldest was captured, at the earliest.
        part: which file of its period it is, from 1.
    """

    path: Path
    end: float
    size: int
    begin: float
    part: int = 1


def oldest(segments: Iterable[Segment]) -> Segment | None:
    """What goes first: that whose newest result is the oldest."""
    return min(segments, key=lambda s: (s.end, s.begin, s.part, s.path), default=None)


def outdated(segment: Segment, rules: Rules, now: float) -> bool:
    """Whether all of it is older than results are kept."""
    return rules.keep is not None and segment.end + rules.keep <= now


def oversized(rules: Rules, used: int, reserve: int) -> bool:
    """Whether all results may take more room than they should before the next look. All in bytes."""
    return rules.size is not None and used + reserve > rules.size


def crowded(rules: Rules, free: int, reserve: int) -> bool:
    """Whether less of a disk may be free than there should be before the next look. All in bytes."""
    return rules.free > 0 and free - reserve < rules.free


def left(rules: Rules, used: int, free: int) -> int | None:
    """Bytes that may be added until the oldest results have to go for their room; None: no bound is set."""
    bounds = [] if rules.size is None else [rules.size - used]
    if rules.free:
        bounds.append(free - rules.free)
    return max(0, min(bounds)) if bounds else None


def most(rules: Rules, writing: int) -> int | None:
    """Bytes at which a file ends, where so many are being written; None: only its period ends it."""
    share = None if rules.size is None else rules.size // (SHARE * max(1, writing))
    return min((size for size in (rules.part, share) if size is not None), default=None)
