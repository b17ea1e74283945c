"""What can go wrong: each fault does its harm, waits, and heals what would not heal by itself. Processes that are
frozen wake up by themselves, while other things go wrong."""

import os
import random
import signal
import time
from collections.abc import Callable, Mapping

import msgpack
from redis.exceptions import RedisError

from emotion_stream.shared.messages.codec import encode_detections, encode_emotions, encode_frame
from emotion_stream.shared.messages.types import (
    MAX_SIDE,
    Box,
    Crop,
    Detections,
    Emotions,
    Frame,
    FrameInfo,
    Prediction,
)
from emotion_stream.shared.streams import scripts
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.turn import LEASE_SECONDS
from tests.chaos.plant import CLAIM_AFTER, MEMORY, Plant
from tests.chaos.proxy import Moment
from tests.chaos.stages import LABELS, SPEC

Fault = Callable[[Plant, random.Random], None]
FAR = Box(-MAX_SIDE, MAX_SIDE, MAX_SIDE, MAX_SIDE)

GARBAGE_CAMERA = "nobody"
"""The camera of messages that are well formed and wrong."""
LETTERS = {"garbage into every stream": 20, "poison messages": 5}
"""Dead letters that each of these makes: five entries in each stream, `emotions` having two readers; and what
workers cannot process."""


def kill(kind: str, number: signal.Signals = signal.SIGKILL) -> Fault:
    def fault(plant: Plant, chance: random.Random) -> None:
        plant.signal(chance.choice(plant.names(kind)), number)

    return fault


def freeze(kind: str, seconds: float) -> Fault:
    """Stop a process for longer than the others wait for it; then it wakes up and goes on with what it held."""

    def fault(plant: Plant, chance: random.Random) -> None:
        plant.freeze(chance.choice(plant.names(kind)), seconds)

    return fault


def freeze_active_sink(plant: Plant, chance: random.Random) -> None:
    """Its stand-by takes over meanwhile; both have the same file open."""
    held = plant.patiently(lambda s: s.client.get(s.keys.lease("sink:lines")))
    name = held.decode().removeprefix("sink-") if isinstance(held, bytes) else "lines-0"
    plant.freeze(name, LEASE_SECONDS + 1.5)


def kill_server(plant: Plant, chance: random.Random) -> None:
    assert plant.server.pid is not None
    os.kill(plant.server.pid, signal.SIGKILL)
    time.sleep(chance.uniform(0.1, 1.0))
    deadline = time.monotonic() + 20
    while not plant.server.restart_if_dead():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pause_clients(plant: Plant, chance: random.Random) -> None:
    plant.patiently(lambda s: s.client.client_pause(1500, all=True))
    time.sleep(1.5)


def cut_all_connections(plant: Plant, chance: random.Random) -> None:
    plant.patiently(lambda s: s.client.client_kill_filter(_type="normal", skipme=True))


def forget_scripts(plant: Plant, chance: random.Random) -> None:
    plant.patiently(lambda s: s.client.script_flush())


def fill_memory(plant: Plant, chance: random.Random) -> None:
    """For a moment the server takes nothing that needs memory."""
    plant.patiently(lambda s: s.client.config_set("maxmemory", 1 << 20))
    time.sleep(0.7)
    plant.patiently(lambda s: s.client.config_set("maxmemory", MEMORY))


def cut(what: str, moment: Moment) -> Fault:
    """Cut a connection around one command."""

    def fault(plant: Plant, chance: random.Random) -> None:
        plant.proxy.arm(_sign(plant.streams, what), moment)
        deadline = time.monotonic() + 10
        while plant.proxy.armed and time.monotonic() < deadline:
            time.sleep(0.01)

    return fault


def _sign(streams: Streams, what: str) -> bytes:
    """Bytes by which a command is known on its way."""
    script = {"append": scripts.APPEND, "hop": scripts.HOP, "shown": scripts.SHOWN}.get(what)
    if script is None:
        return what.encode()
    return streams.client.register_script(script).sha.encode()


def put_garbage(plant: Plant, chance: random.Random) -> None:
    """Into every stream: bytes that are nothing, and messages that are nearly something."""
    keys = plant.streams.keys
    entries: list[dict[bytes, bytes]] = [
        {b"h": b"\xc1", b"j": b""},
        {b"m": bytes(chance.randrange(256) for _ in range(chance.randint(1, 200)))},
        {b"unknown": b"field"},
        {b"h": b"\x91" * 3000, b"m": b"\x91" * 3000},
        {b"m": msgpack.packb({"v": 1, "info": ["../../etc", 1], "faces": [[]]}), b"h": b""},
    ]
    client = connect(plant.server.url)
    for stream in (keys.frames, keys.faces, keys.emotions, keys.dead):
        for entry in entries:
            _add(client, stream, entry)
    for kind in ("at|", "done|x|", "work|"):
        try:
            client.hset(keys.progress, f"{kind}{chance.random()}", "garbage")
        except RedisError:
            continue
    client.close()


def put_poison(plant: Plant, chance: random.Random) -> None:
    """Well-formed messages of a camera that does not exist: frames whose pictures are none, a face that makes its
    classifier fail, and a result, far out of the picture, of a frame that is not there."""
    client = connect(plant.server.url)
    for jpeg in (
        b"",
        b"\xff\xd8\xff",
        bytes(2000),
        b"\xff\xd8" + bytes(chance.randrange(256) for _ in range(500)),
    ):
        _add(client, plant.streams.keys.frames, encode_frame(Frame(nobody(chance), jpeg)))
    crop = Crop(FAR, 1.0, b"raise-classifier")
    _add(client, plant.streams.keys.faces, encode_detections(Detections(nobody(chance), "1-1", SPEC, (crop,))))
    label = Prediction(FAR, -1e6, (0.0, 0.0))
    _add(client, plant.streams.keys.emotions, encode_emotions(Emotions(nobody(chance), "1-1", LABELS, (label,))))
    client.close()


def nobody(chance: random.Random) -> FrameInfo:
    return FrameInfo(GARBAGE_CAMERA, "", f"{chance.random()}", 0, 1e9, 0.0, 32, 24, "lossless")


def _add(client: object, stream: str, fields: dict[bytes, bytes]) -> None:
    for _ in range(20):
        try:
            client.xadd(stream, fields)  # type: ignore[attr-defined]
            return
        except RedisError:
            time.sleep(0.1)


LOSSLESS: Mapping[str, Fault] = {
    "SIGKILL detector": kill("detector"),
    "SIGKILL classifier": kill("classifier"),
    "SIGKILL sink (lines)": kill("lines"),
    "SIGKILL sink (tables)": kill("tables"),
    "SIGKILL producer": kill("producer"),
    "SIGTERM detector": kill("detector", signal.SIGTERM),
    "SIGTERM classifier": kill("classifier", signal.SIGTERM),
    "SIGTERM sink (lines)": kill("lines", signal.SIGTERM),
    "SIGTERM sink (tables)": kill("tables", signal.SIGTERM),
    "SIGTERM producer": kill("producer", signal.SIGTERM),
    "SIGSTOP detector past the claim time": freeze("detector", CLAIM_AFTER + 1),
    "SIGSTOP classifier past the claim time": freeze("classifier", CLAIM_AFTER + 1),
    "SIGSTOP active sink past its lease": freeze_active_sink,
    "server killed and restarted": kill_server,
    "CLIENT PAUSE": pause_clients,
    "CLIENT KILL of all connections": cut_all_connections,
    "SCRIPT FLUSH": forget_scripts,
    "memory full": fill_memory,
    "garbage into every stream": put_garbage,
    "poison messages": put_poison,
    "cut before append": cut("append", "request"),
    "cut after append": cut("append", "reply"),
    "cut before hop": cut("hop", "request"),
    "cut between hop and its answer": cut("hop", "reply"),
    "cut amid the hop's answer": cut("hop", "half"),
    "cut between shown and its answer": cut("shown", "reply"),
    "cut before shown": cut("shown", "request"),
    "read, but the answer lost": cut("XREADGROUP", "reply"),
    "read, half of the answer": cut("XREADGROUP", "half"),
    "claimed, but the answer lost": cut("XPENDING", "reply"),
}
"""All that a lossless run must stand."""

REAL = (
    "SIGKILL detector", "SIGKILL classifier", "SIGKILL sink (lines)", "SIGTERM detector", "CLIENT PAUSE",
    "server killed and restarted", "garbage into every stream", "cut between hop and its answer",
)  # fmt: skip
"""A choice of them for the real stages, which take longer to come back."""

LIVE = (
    "SIGKILL detector", "SIGKILL classifier", "SIGKILL sink (lines)", "SIGKILL producer",
    "SIGSTOP detector past the claim time", "server killed and restarted", "CLIENT PAUSE",
    "CLIENT KILL of all connections", "garbage into every stream", "cut between hop and its answer",
)  # fmt: skip
"""A choice of them for live mode."""

LIVE_LONG = (
    *LIVE, "SIGTERM detector", "SIGTERM sink (lines)", "SIGSTOP classifier past the claim time",
    "SIGSTOP active sink past its lease", "memory full", "SCRIPT FLUSH", "poison messages",
    "cut between shown and its answer", "read, but the answer lost",
)  # fmt: skip
"""All of them that live mode is harmed with when there is time."""
