"""Results for the web page, and a client that reads its streams, for tests."""

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emotion_stream.shared.messages.types import OK, Box, FrameInfo, Outcome, Prediction
from emotion_stream.sink.results.output import Face, Image, Result
from emotion_stream.sink.web.output import Web

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
HAPPY = (0.01, 0.01, 0.02, 0.9, 0.02, 0.02, 0.02)
SAD = (0.02, 0.02, 0.02, 0.02, 0.9, 0.01, 0.01)


def make_result(
    seq: int = 0,
    camera: str = "cam",
    faces: int = 1,
    probabilities: tuple[float, ...] = HAPPY,
    outcome: Outcome = OK,
    **changes: Any,
) -> Result:
    """A result of a live frame, 640x360, captured just now."""
    about: dict[str, Any] = {"source": "test", "epoch": "e", "captured_at": time.time(), "media_time": seq / 10}
    about |= {"width": 640, "height": 360, "mode": "live", **changes}
    boxes = [Box(40 + 150 * n, 100, 120, 120) for n in range(faces)]
    found = tuple(Face.alone(n + 1, Prediction(box, 1.0, probabilities)) for n, box in enumerate(boxes))
    return Result(FrameInfo(camera=camera, seq=seq, **about), outcome, LABELS, found, 0.05)


def make_image(shade: int = 90, width: int = 640, height: int = 360) -> Image:
    return np.full((height, width, 3), shade, np.uint8)


def noise(seed: int, width: int = 640, height: int = 360) -> Image:
    """A picture that hardly compresses."""
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


@dataclass
class Client:
    """Asks a page like a program would; every request on a connection of its own."""

    web: Web
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 20.0

    def open(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """The answer, its body not read yet; closing it hangs up. Underscores in header names become dashes."""
        connection = http.client.HTTPConnection(self.web.address.host, self.web.address.port, timeout=self.timeout)
        wanted = {
            "Connection": "close",
            **self.headers,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        connection.request("GET", path, headers=wanted)
        return connection.getresponse()

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Status and body."""
        response = self.open(path, **headers)
        try:
            return response.status, response.read()
        finally:
            response.close()

    def json(self, path: str, **headers: str) -> Any:
        status, body = self.get(path, **headers)
        assert status == 200, body
        return json.loads(body)


def events(response: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Kind and data of server-sent events, until the stream ends."""
    kind = ""
    while line := response.readline().decode():
        if line.startswith("event: "):
            kind = line[7:].strip()
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])


def records(response: http.client.HTTPResponse) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Head and body of the records of `/api/live`, until the stream ends."""
    while lengths := response.read(8):
        head = json.loads(response.read(int.from_bytes(lengths[:4])))
        yield head, response.read(int.from_bytes(lengths[4:]))
