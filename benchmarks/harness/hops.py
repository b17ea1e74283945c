"""The way of a live frame, hop by hop: a part of `emotion bench --only latency`.

The id of a stream's entry is the server's clock, to the millisecond, when it was appended: so the moments when a
frame, its faces, and their emotions came are known without a word from the stages.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

from emotion_stream.benchmarks.harness.pipeline import Observation, Shown, observe
from emotion_stream.benchmarks.harness.plan import Plan
from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.messages.codec import decode_detections, decode_emotions, decode_frame
from emotion_stream.shared.messages.types import Message
from emotion_stream.shared.streams.access import id_seconds
from emotion_stream.shared.streams.connection import connect

STEPS = ("capture to append", "to faces", "to emotions", "to result")
STREAMS: Mapping[str, Callable[[Mapping[bytes, bytes], str], Message]] = {
    "frames": decode_frame,
    "faces": decode_detections,
    "emotions": decode_emotions,
}
MEMORY = 512 << 20
"""Bytes that the server may hold."""

Ways = dict[int, dict[str, float]]
"""By the millisecond of a frame's capture: when, in seconds since 1970, it came into each stream."""


def observe_hops(plan: Plan, *flags: str) -> tuple[Observation, Sequence[Sequence[float]]]:
    """As `observe`, with the seconds that each frame took for each of STEPS.

    Raises:
        EmotionError: the run failed.
    """
    server = EmbeddedServer(plan.folder / "hops", MEMORY, durable=False)
    server.start()
    ways: Ways = {}
    over = threading.Event()
    reader = threading.Thread(target=_follow, args=(server.url, ways, over), daemon=True)
    reader.start()
    try:
        seen = observe(plan, *flags, f"--redis={server.url}")
    finally:
        over.set()
        reader.join()
        server.stop()
    return seen, [steps for frame in seen.frames if (steps := _steps(frame, ways))]


def _steps(frame: Shown, ways: Ways) -> Sequence[float]:
    """Nothing where an entry was not seen."""
    way = ways.get(round(frame.captured_at * 1000), {})
    if len(way) < len(STREAMS):
        return ()
    moments = [frame.captured_at, *(way[name] for name in STREAMS), frame.shown_at]
    return [after - before for before, after in pairwise(moments)]


def _follow(url: str, ways: Ways, over: threading.Event) -> None:
    """Read the streams of the first run on this server, beside its workers."""
    client = connect(url)
    while not (keys := cast(list[bytes], client.keys("*:frames"))):
        if over.wait(0.05):
            return
    base = keys[0].decode().removesuffix("frames")
    at: dict[Any, Any] = {base + name: "0" for name in STREAMS}
    while not over.is_set():
        for key, entries in cast(Any, client.xread(at, count=64, block=200)) or ():
            at[key.decode()] = entries[-1][0].decode()
            for entry_id, fields in entries:
                _note(ways, key.decode().removeprefix(base), entry_id.decode(), fields)


def _note(ways: Ways, stream: str, entry_id: str, fields: Mapping[bytes, bytes]) -> None:
    info = STREAMS[stream](fields, entry_id).info
    ways.setdefault(int(info.captured_at * 1000), {})[stream] = id_seconds(entry_id)
