"""How a camera does, as its producer tells it: `live`, or why there is no picture."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Literal, TypeGuard, get_args

from emotion_stream.shared.messages.types import MAX_TEXT

State = Literal["live", "waiting", "paused", "lost", "frozen", "ended"]
STATES: tuple[State, ...] = get_args(State)
SOON = 5.0
"""Seconds of waiting that are not worth a number."""
MAX_PLACE = 1_000_000
_LARGEST = 4 * MAX_TEXT + 1024
"""Bytes of a signal that is looked at."""


@dataclass(frozen=True, slots=True)
class Signal:
    """The state of one camera.

    Attributes:
        state: live: pictures come; waiting: it is connected or being connected, and the first picture is still to
            come; paused: a recording that stands still; lost: it is tried again; frozen: it sends, but always the
            same picture; ended: it was a recording.
        reason: why, in a few words, without an address; None where all is well.
        since: when it came into this state for this reason, seconds since 1970.
        source: path or URL without password.
        retry_at: when it is tried next, seconds since 1970; None: it is not, or at once.
        place: its place among all cameras, from 0, as the settings name them; None: not told.
    """

    state: State
    reason: str | None
    since: float
    source: str = ""
    retry_at: float | None = None
    place: int | None = None

    def retry_s(self, now: float) -> float | None:
        """Seconds from `now` to the next try."""
        return None if self.retry_at is None else round(max(0.0, self.retry_at - now), 1)

    def said(self, now: float) -> str | None:
        """The reason, with the time that it has lasted where somebody waits: "waiting for a key frame, 7 s"."""
        lasted = now - self.since
        if self.reason is None or self.state != "waiting" or lasted < 1:
            return self.reason
        return f"{self.reason}, {lasted:.0f} s"

    def to_bytes(self) -> bytes:
        """As it lies in Redis."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @staticmethod
    def parse(data: bytes) -> "Signal":
        """
        Raises:
            ValueError: it is no signal.
        """
        if len(data) > _LARGEST:
            raise ValueError("too long")
        try:
            told = json.loads(data)
        except RecursionError:
            raise ValueError("not a signal") from None
        if not isinstance(told, dict) or told.get("state") not in STATES:
            raise ValueError("not a signal")
        reason, source, since, retry = (told.get(key) for key in ("reason", "source", "since", "retry_at"))
        if not (reason is None or isinstance(reason, str)) or not isinstance(source, str):
            raise ValueError("not a signal")
        if len(reason or "") > MAX_TEXT or len(source) > MAX_TEXT or not _is_time(since):
            raise ValueError("not a signal")
        if retry is not None and not _is_time(retry):
            raise ValueError("not a signal")
        place = told.get("place")
        if place is not None and (type(place) is not int or not 0 <= place <= MAX_PLACE):
            raise ValueError("not a signal")
        return Signal(told["state"], reason, float(since), source, None if retry is None else float(retry), place)


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def word_of(reason: str) -> str:
    """The kind of a reason, as one word for metrics: `unauthorized`, `refused`, `unknown-host`, ... Pure."""
    text = reason.lower()
    for word, parts in _WORDS.items():
        if any(part in text for part in parts):
            return word
    return "other"


_WORDS = {
    "key-frame": ("key frame",),
    "connecting": ("connecting",),
    "frozen": ("same picture", "same time stamp", "same bytes", "frozen"),
    "stalled": ("stalled", "nothing new", "no picture for"),
    "unauthorized": ("401", "unauthorized"),
    "forbidden": ("403", "forbidden", "permission"),
    "not-found": ("404", "not found", "no such"),
    "unknown-host": ("unknown host",),
    "refused": ("refused",),
    "unreachable": ("unreachable", "no route"),
    "timeout": ("timed out",),
    "ended": ("ended", "closed", "reset"),
    "server-error": ("500", "502", "503", "504", "server error", "server returned"),
}
