"""How the emotions of one camera went over the last minutes."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from emotion_stream.sink.results.history import History
from emotion_stream.sink.results.output import Result

STEP = 1.0
"""Seconds that one point sums up."""
POINTS = 600

Point = tuple[float, tuple[float, ...] | None]
"""Time, seconds, and the mean probability of each label; None where nobody was seen."""


@dataclass(slots=True)
class Timeline:
    """Mean probabilities of all confirmed faces, a point per second.

    Time is the clock's where a camera is live (seconds since 1970) and the medium's where a file is read, which
    may go faster or slower than the clock. It begins anew where time goes back.

    Attributes:
        age: counts how often it has begun anew.
        closed: points ever made since then; `points` holds the last ones.
    """

    axis: Literal["clock", "medium"] = "clock"
    age: int = 0
    closed: int = 0
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=POINTS))
    _at: float | None = None
    _sums: list[float] = field(default_factory=list)
    _faces: int = 0

    def add(self, result: Result) -> None:
        """Take in one result."""
        axis: Literal["clock", "medium"] = "clock" if result.info.mode == "live" else "medium"
        time = result.info.captured_at if axis == "clock" else result.info.media_time
        start = time // STEP * STEP
        if axis != self.axis or (self._at is not None and start < self._at):
            self.axis, self.age, self.closed, self._at = axis, self.age + 1, 0, None
            self.points.clear()
        if start != self._at:
            self._close(start)
        for face in result.shown:
            if len(self._sums) != len(face.probabilities):
                self._sums, self._faces = [0.0] * len(face.probabilities), 0
            self._sums = [a + b for a, b in zip(self._sums, face.probabilities, strict=True)]
            self._faces += 1

    def restore(self, history: History) -> None:
        """Begin with the last seconds of what was kept."""
        step, points = history.between(max(history.first, history.last - POINTS * STEP), history.last, POINTS)
        if step != STEP or self._at is not None:
            return
        self.axis = "medium" if history.axis == "medium" else "clock"
        before: float | None = None
        for at, point in points[:-1]:
            if before is not None and at - before > STEP:
                self._append((before + STEP, None))
            means = point.means()
            self._append((at, tuple(means) if means else None))
            before = at
        for at, point in points[-1:]:  # the last second may go on
            self._at, self._sums, self._faces = at, list(point.sums), point.faces

    def since(self, age: int, closed: int) -> list[Point]:
        """The points that somebody lacks who has seen `closed` points of this `age`."""
        lacking = self.closed - closed if age == self.age else self.closed
        return list(self.points)[-lacking:] if lacking > 0 else []

    def end(self) -> None:
        """Close the last point."""
        self._close(None)

    def _close(self, start: float | None) -> None:
        """End the point that is open, if any, and open one at `start`."""
        if self._at is not None:
            mean = tuple(round(total / self._faces, 3) for total in self._sums) if self._faces else None
            self._append((self._at, mean))
            if start is not None and start - self._at > 2 * STEP:
                self._append((self._at + STEP, None))
        self._at, self._sums, self._faces = start, [], 0

    def _append(self, point: Point) -> None:
        self.points.append(point)
        self.closed += 1
