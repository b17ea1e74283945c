"""What stages note of cameras between two batches, as it lies in Redis: `<id of the frame> <data>` per camera."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

HINT_SECONDS = 10.0
"""Hints about a camera are forgotten after this time without news."""
_FRAME_ID = re.compile(rb"[0-9]{1,15}-[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Hint:
    """What a stage noted of a camera when it saw the frame with the stream id `frame_id`."""

    frame_id: str
    data: bytes

    @property
    def seconds(self) -> float:
        """The server's clock when the frame was appended."""
        return int(self.frame_id.split("-", 1)[0]) / 1000


def parse(table: Mapping[bytes, bytes]) -> dict[str, Hint]:
    """The hints by camera; garbage is left out. Pure."""
    found = {}
    for camera, value in table.items():
        frame_id, _, data = value.partition(b" ")
        if _FRAME_ID.fullmatch(frame_id):
            found[camera.decode("utf-8", "replace")] = Hint(frame_id.decode(), data)
    return found


def stale(hints: Mapping[str, Hint], now: float) -> list[str]:
    """Cameras whose hints are not from about `now`, a time of the server's clock in seconds. Pure."""
    return [camera for camera, hint in hints.items() if abs(now - hint.seconds) > HINT_SECONDS]
