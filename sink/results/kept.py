"""What is kept of the results, for the page, the metrics and the summary."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.bounds import real, whole

_MOST = 2**60
_LATEST = 1e12
_LONGEST = 4096
_OUTPUTS = 64


@dataclass(frozen=True, slots=True)
class Kept:
    """What all outputs that are kept in order hold.

    Attributes:
        size: bytes.
        limit: the most bytes that they may take; None: no bound.
        seconds: how long results are kept; None: for ever.
        oldest: when the oldest result was captured, about; seconds since 1970; None: there is none.
        next: the file that goes next, or in which rows go next; empty: none.
        next_at: when it goes for its age, seconds since 1970; None: not for that.
        room: bytes until it goes for its room; None: no bound is set.
        removed: bytes that have gone.
        paused: outputs that are not written, because the disk is full: `jsonl`, ....
        left_out: results that were not written therefore, by output.
    """

    size: int
    limit: int | None = None
    seconds: float | None = None
    oldest: float | None = None
    next: str = ""
    next_at: float | None = None
    room: int | None = None
    removed: int = 0
    paused: tuple[str, ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()

    def figures(self, now: float) -> dict[str, Any]:
        """For `Metrics.kept`; `now` is seconds since 1970."""
        return {
            "size": self.size,
            "room": math.inf if self.room is None else self.room,
            "age": 0.0 if self.oldest is None else max(0.0, now - self.oldest),
            "next_removal": math.inf if self.next_at is None else max(0.0, self.next_at - now),
            "removed": self.removed,
            "paused": {output: output in self.paused for output, _ in self.left_out},
            "left_out": dict(self.left_out),
        }

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self) | {"paused": list(self.paused), "left_out": dict(self.left_out)}


def from_dict(told: Any) -> Kept | None:
    """What `as_dict` made; None for nothing.

    Raises:
        DecodeError: it is something else.
    """
    if told is None:
        return None
    if not isinstance(told, dict):
        raise DecodeError("what is kept is no table")
    left_out, paused = told.get("left_out", {}), told.get("paused", [])
    if not isinstance(left_out, dict) or not isinstance(paused, list) or len(left_out) + len(paused) > _OUTPUTS:
        raise DecodeError("what is kept names no outputs")
    return Kept(
        whole(told.get("size"), "size", 0, _MOST),
        _maybe(whole, told, "limit", _MOST),
        _maybe(real, told, "seconds", _LATEST),
        _maybe(real, told, "oldest", _LATEST),
        str(told.get("next", ""))[:_LONGEST],
        _maybe(real, told, "next_at", _LATEST),
        _maybe(whole, told, "room", _MOST),
        whole(told.get("removed", 0), "removed", 0, _MOST),
        tuple(str(name) for name in paused),
        tuple((str(name), whole(n, "left_out", 0, _MOST)) for name, n in left_out.items()),
    )


def _maybe(check: Any, told: dict[str, Any], name: str, high: float) -> Any:
    value = told.get(name)
    return None if value is None else check(value, name, 0, high)
