"""Detectors and nothing else: a part of `emotion bench --only scaling`.

In a whole pipeline the other processes use cores, too: on a small machine a second detector has none to itself.
Here the frames are in the stream at once, and nobody reads what the detectors make of them.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from emotion_stream.benchmarks.harness.plan import Plan
from emotion_stream.benchmarks.video.hints import read
from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.emotion.runner.supervisor import Plan as Process
from emotion_stream.emotion.runner.supervisor import Supervisor
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.types import Frame
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams

PATIENCE = 300.0
LOOK = 0.01
MEMORY = 1 << 30
"""Bytes that the server may hold."""
CAMERA, TOKEN = "alone", "bench"


def frames_of(clip: Path) -> list[Frame]:
    """All frames of a clip as a producer sends them.

    Raises:
        EmotionError: it cannot be read.
    """
    return [replace(frame, info=replace(frame.info, camera=CAMERA)) for frame in read(str(clip))]


def detect(plan: Plan, frames: Sequence[Frame], detectors: int, flags: Sequence[str]) -> float:
    """Frames per second of so many detectors with `flags`.

    Raises:
        EmotionError: they failed.
    """
    with tempfile.TemporaryDirectory(dir=plan.folder) as folder:
        server = EmbeddedServer(Path(folder) / "server", MEMORY, durable=False)
        supervisor = Supervisor(Path(folder) / "logs", "emotion_stream")
        server.start()
        try:
            streams = Streams(connect(server.url), Keys("bench", 0, 1))
            for n in range(detectors):
                link = (f"--redis={server.url}", "--namespace=bench", f"--slot={n}")
                supervisor.start(Process(f"detector-{n}", "detector_worker", (*link, *flags)))
            _wait(supervisor, lambda: sum(b'"ready": true' in w for w in streams.workers().values()), detectors)
            streams.lease(f"camera:{CAMERA}", TOKEN, PATIENCE)
            started = time.monotonic()
            for frame in frames:
                streams.append_frame(frame, TOKEN, ttl=PATIENCE)
            _wait(supervisor, lambda: streams.progress().work.get("detector", 0), len(frames))
            return len(frames) / (time.monotonic() - started)
        finally:
            supervisor.stop()
            server.stop()


def _wait(supervisor: Supervisor, count: Callable[[], int], wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while count() < wanted:
        supervisor.check({})
        if time.monotonic() > deadline:
            raise EmotionError("the detectors did not come to an end")
        time.sleep(LOOK)
