"""The state of a camera as other software wants it: faces, the main emotion, shares of the last minute."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from emotion_stream.sink.events.event import UNCERTAIN, Event
from emotion_stream.sink.results.output import Face, Result

LASTING = 60
"""Seconds that shares are of."""


@dataclass(slots=True)
class _Lane:
    """One camera. `seconds` holds sightings by emotion, for each second of the clock."""

    name: str
    newest: Result | None = None
    gone: str = ""
    seconds: deque[tuple[int, Counter[str]]] = field(default_factory=deque)


class States:
    """The states of all cameras; any thread may ask."""

    def __init__(
        self, cameras: Iterable[str], names: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            cameras: those that are known before their first frame.
            names: camera to what people call it, where that is not its id.
            clock: seconds.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._names = names
        self._lanes = {camera: _Lane(names.get(camera, camera)) for camera in cameras}

    def see(self, result: Result) -> None:
        """Take in a result."""
        second = int(self._clock())
        with self._lock:
            lane = self._lane(result.info.camera)
            lane.newest = result
            lane.name = self._names.get(result.info.camera, result.info.called)
            if not lane.seconds or lane.seconds[-1][0] != second:
                lane.seconds.append((second, Counter()))
                _forget(lane, second)
            counter = lane.seconds[-1][1]
            for face in result.faces:
                if face.confirmed:
                    counter[_label(result, face)] += 1

    def tell(self, event: Event) -> None:
        """Take note of cameras that are lost and come back."""
        with self._lock:
            lane = self._lane(event.camera)
            if event.kind == "camera_lost":
                lane.gone = str(event.more["reason"])
            elif event.kind == "camera_back":
                lane.gone = ""

    def forget(self, camera: str) -> None:
        """This camera is gone."""
        with self._lock:
            self._lanes.pop(camera, None)

    def names(self) -> dict[str, str]:
        """All cameras, and what people call them."""
        with self._lock:
            return {camera: lane.name for camera, lane in self._lanes.items()}

    def state(self, camera: str) -> dict[str, Any] | None:
        """A camera's state, ready for JSON; None: it has gone."""
        with self._lock:
            lane = self._lanes.get(camera)
            if lane is None:
                return None
            _forget(lane, int(self._clock()))
            total: Counter[str] = Counter()
            for _, counter in lane.seconds:
                total.update(counter)
            name, newest, gone = lane.name, lane.newest, lane.gone
        online = newest is not None and not gone
        faces = newest.drawn if newest is not None and online else ()
        largest = max(faces, key=lambda face: face.box.width * face.box.height, default=None)
        count = sum(total.values())
        return {
            "camera": camera,
            "name": name,
            "online": online,
            "reason": gone or None,
            "faces": len(faces),
            "emotion": None if newest is None or largest is None else _label(newest, largest),
            "shares": {label: round(n / count, 3) for label, n in total.most_common()},
        }

    def _lane(self, camera: str) -> _Lane:
        lane = self._lanes.get(camera)
        if lane is None:
            lane = self._lanes[camera] = _Lane(self._names.get(camera, camera))
        return lane


def _forget(lane: _Lane, second: int) -> None:
    while lane.seconds and lane.seconds[0][0] <= second - LASTING:
        lane.seconds.popleft()


def _label(result: Result, face: Face) -> str:
    return UNCERTAIN if face.uncertain else result.emotion(face)
