"""The summary of a run: counts, and a latency histogram, which can be stored and added up."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgpack

from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.bounds import real, whole
from emotion_stream.sink.results.kept import Kept, from_dict
from emotion_stream.sink.results.output import Result

LOWEST, HIGHEST = 1e-4, 3600.0
"""Seconds. Latencies outside are counted as these."""
_RATIO = 1.04  # a bucket's geometric middle is within 2 % of every value in it
_BUCKETS = math.ceil(math.log(HIGHEST / LOWEST) / math.log(_RATIO))
_MAX_NAMES = 1024
_MAX_COUNT = 2**53
_LATEST = 1e12  # seconds since 1970
_VERSION = 1
_COUNTS = ("frames", "errors", "faces", "missing", "duplicates")
_NAMED = ("emotions", "dropped", "cameras", "events")
_TIMES = ("first_captured_at", "last_shown_at")


def bucket(seconds: float) -> int:
    """The index of the histogram bucket that a latency falls into."""
    if not seconds > LOWEST:
        return 0
    return min(int(math.log(seconds / LOWEST) / math.log(_RATIO)), _BUCKETS - 1)


@dataclass(slots=True)
class Stats:
    """Counts of what was shown. `frames` includes `errors`; dropped and missing frames are counted apart.

    Attributes:
        faces: confirmed faces.
        emotions: these by what was said of them: a label, or "uncertain".
        dropped: tombstones by reason.
        cameras: frames shown of each camera.
        events: events told, by their kind.
        kept: what is kept of the results, as of lately; None: they are not kept in order.
        latencies: frames by histogram bucket; only buckets that are not empty.
        first_captured_at, last_shown_at: wall-clock seconds since 1970; None before the first frame.
    """

    frames: int = 0
    errors: int = 0
    faces: int = 0
    missing: int = 0
    duplicates: int = 0
    emotions: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    cameras: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    kept: Kept | None = None
    latencies: dict[int, int] = field(default_factory=dict)
    first_captured_at: float | None = None
    last_shown_at: float | None = None

    def show(self, result: Result, shown_at: float | None = None, set_by: float = 0.0) -> None:
        """Count a result that was shown at `shown_at`, or else `latency` after its capture. Where the clock was
        set by so many seconds since the last one, what was noted by it before moves along: spans stay true."""
        info = result.info
        if set_by and self.first_captured_at is not None and self.last_shown_at is not None:
            self.first_captured_at = max(0.0, self.first_captured_at + set_by)
            self.last_shown_at = max(0.0, self.last_shown_at + set_by)
        shown_at = info.captured_at + result.latency if shown_at is None else shown_at
        self.frames += 1
        self.errors += result.outcome.status == "error"
        self.faces += len(result.shown)
        for face in result.shown:
            _count(self.emotions, result.said(face))
        _count(self.cameras, info.camera)
        index = bucket(result.latency)
        self.latencies[index] = self.latencies.get(index, 0) + 1
        self.first_captured_at = _pick(min, self.first_captured_at, shown_at - result.latency)
        self.last_shown_at = _pick(max, self.last_shown_at, shown_at)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count frames that a stage dropped on purpose."""
        _count(self.dropped, reason, count)

    def tell(self, kind: str) -> None:
        """Count an event that was told."""
        _count(self.events, kind)

    def percentile(self, share: float) -> float | None:
        """The percentile `share` (0 to 1) of latency in seconds, within 2 %; None without frames."""
        total = sum(self.latencies.values())
        rank, seen = max(1, math.ceil(share * total)), 0
        for index in sorted(self.latencies):
            seen += self.latencies[index]
            if seen >= rank:
                return float(LOWEST * _RATIO ** (index + 0.5))
        return None

    @property
    def fps(self) -> float:
        """Frames per second from the first capture to the last result shown; 0 where that is no time."""
        if self.first_captured_at is None or self.last_shown_at is None:
            return 0.0
        span = self.last_shown_at - self.first_captured_at
        return self.frames / span if span > 0 else 0.0

    def summary(self) -> dict[str, Any]:
        """The figures people see, ready for JSON; latencies in milliseconds, emotions as shares of all faces."""
        latency = {f"p{p}": self.percentile(p / 100) for p in (50, 95, 99)}
        return {
            "frames": self.frames,
            "faces": self.faces,
            "errors": self.errors,
            "cameras": dict(sorted(self.cameras.items())),
            "emotions": {
                name: round(n / self.faces, 4)
                for name, n in sorted(self.emotions.items(), key=lambda item: (-item[1], item[0]))
            },
            "fps": round(self.fps, 2),
            "latency_ms": {p: None if s is None else round(s * 1000, 2) for p, s in latency.items()},
            "dropped": dict(sorted(self.dropped.items())),
            "missing": self.missing,
            "duplicates": self.duplicates,
            "events": dict(sorted(self.events.items())),
            "kept": self.kept and self.kept.as_dict(),
        }

    def to_bytes(self) -> bytes:
        """A few kilobytes at the most, so that it can be stored with every acknowledgement."""
        body: dict[str, object] = {name: getattr(self, name) for name in (*_COUNTS, *_NAMED, *_TIMES)}
        body["kept"] = self.kept and self.kept.as_dict()
        packed: bytes = msgpack.packb(body | {"v": _VERSION, "latencies": list(self.latencies.items())})
        return packed

    @staticmethod
    def from_bytes(data: bytes) -> "Stats":
        """Read what `to_bytes` wrote.

        Raises:
            DecodeError: it is something else.
        """
        limit = max(_MAX_NAMES, _BUCKETS) + 1
        try:
            body = msgpack.unpackb(data, max_array_len=limit, max_map_len=limit, max_ext_len=0)
            if not isinstance(body, dict) or body.get("v") != _VERSION:
                raise DecodeError(f"not run statistics of version {_VERSION}")
            values: dict[str, Any] = {name: whole(body[name], name, 0, _MAX_COUNT) for name in _COUNTS}
            values |= {name: _names(body.get(name, {})) for name in _NAMED}
            values |= {n: None if body[n] is None else real(body[n], n, 0, _LATEST) for n in _TIMES}
            values["latencies"] = {
                whole(i, "latency", 0, _BUCKETS - 1): whole(n, "latencies", 0, _MAX_COUNT)
                for i, n in body["latencies"]
            }
            values["kept"] = from_dict(body.get("kept"))
            return Stats(**values)
        except DecodeError:
            raise
        except (ValueError, TypeError, KeyError, RecursionError, msgpack.exceptions.UnpackException) as e:
            raise DecodeError(f"not run statistics: {type(e).__name__}") from e


def _count(counts: dict[str, int], name: str, n: int = 1) -> None:
    if name not in counts and len(counts) >= _MAX_NAMES - 1:
        name = "other"  # names come from the streams: keep what is stored bounded
    counts[name] = counts.get(name, 0) + n


def _pick(better: Callable[[list[float]], float], a: float | None, b: float | None) -> float | None:
    known = [value for value in (a, b) if value is not None]
    return better(known) if known else None


def _names(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise DecodeError("counts are not by name")
    return {name: whole(n, "a count", 0, _MAX_COUNT) for name, n in value.items()}
