"""The users of `deploy/redis/users.acl` on a real server: each stage does its work with its own, and no more."""

import inspect
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from emotion_stream.shared.messages.sound import Piece, Sound
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.groups import Done
from emotion_stream.shared.streams.hints import Hint
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams
from tests.conftest import make_frame
from tests.support.servers import free_port, server, wait_until_up

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("producer", "detector", "classifier", "sink")
FOR_PEOPLE = ("operator", "scaler", "health")
USERS = (*STAGES, *FOR_PEOPLE)
KEYS = Keys("emotion")


@pytest.fixture(scope="module")
def folder(secrets: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script writes for a server on this machine, with one password given."""
    made = tmp_path_factory.mktemp("secrets")
    secrets.main(made, {"REDIS_PASSWORD_SINK": "a/b c#d:é"})
    return made


@pytest.fixture(scope="module")
def url(
    secrets: ModuleType, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """A server with these users; gives each one's URL."""
    port = free_port()

    def address(user: str) -> str:
        kept = folder / ("redis" if user in FOR_PEOPLE else user) / f"password.{user}"
        return str(secrets.url(user, kept.read_text(), "127.0.0.1", False)).replace(":6379", f":{port}")

    acl = folder / "redis" / "users.acl"
    with server(tmp_path_factory.mktemp("acl"), "--port", str(port), "--aclfile", str(acl)) as process:
        wait_until_up(connect(address("health")), process)
        yield address


@pytest.fixture
def streams(url: Callable[[str], str]) -> Iterator[dict[str, Streams]]:
    """Streams over a connection of each user, on an empty server. Whatever a test did not expect to be refused is
    reported at its end."""
    clients = {user: connect(url(user)) for user in USERS}
    clients["operator"].flushall()
    clients["operator"].script_flush()
    opened = {user: Streams(client, KEYS) for user, client in clients.items()}
    execute(opened, "operator", "ACL", "LOG", "RESET")
    yield opened
    for client in clients.values():
        client.close()


def execute(streams: dict[str, Streams], user: str, *command: str) -> object:
    """Any command, over the user's connection."""
    client: Any = streams[user].client
    return client.execute_command(*command)


def refused(streams: dict[str, Streams]) -> object:
    """What the server has refused so far."""
    return execute(streams, "operator", "ACL", "LOG", "10")


def test_every_call_of_every_stage_is_allowed_to_its_user(streams: dict[str, Streams]) -> None:
    producer, detector, classifier, sink = (streams[u] for u in ("producer", "detector", "classifier", "sink"))
    for name in STAGES:
        streams[name].client.ping()
        streams[name].clock_offset()
        streams[name].announce(name, b"{}")

    assert producer.lease("camera:cam", "me", 60)
    assert producer.lease("mode", "lossless", 60)
    assert producer.memory_limit() >= 0
    assert producer.position("cam", "run") == 0
    ids = [producer.append_frame(make_frame(seq), "me", ttl=60) for seq in range(2)]
    producer.append_frame(make_frame(2, mode="live"), "me", max_entries=5)

    for stage, source, target, group in (
        (detector, KEYS.frames, KEYS.faces, "detector"),
        (classifier, KEYS.faces, KEYS.emotions, "classifier"),
    ):
        stage.ensure_group(source, group)
        first = stage.read_new(source, group, "one", 1, None)
        rest = stage.read_new(source, group, "two", 10, 0.01)
        assert stage.recover(source, group, "one", 1)[0].id == first[0].id
        assert [e.id for e in stage.recover(source, group, "one", 9, idle=0)] == [
            first[0].id,
            *(e.id for e in rest),
        ]
        done = [Done(first[0].id, b"result", dead="a reason"), *(Done(e.id, b"result") for e in rest)]
        assert stage.hop(source, group, target, done, limit=100) == 3
        stage.trim_used(KEYS.faces)
        assert stage.lag(source, group).entries == 0
        assert stage.length(source) >= 0
        assert stage.memory()[0] > 0
        stage.leave(source, group, "one")

    note = {"cam": Hint(ids[0] or "", b"note")}
    detector.hop(KEYS.frames, "detector", KEYS.faces, [], notes=note)
    assert detector.read_hinted(KEYS.frames, "detector", "one", 1, 0.01) == ([], note)
    detector.forget_hints(["cam"])

    assert sink.lease("sink:sink", "me", 60)
    sink.ensure_group(KEYS.emotions, "sink")
    sink.join_sinks("sink")
    sink.register_sink("sink")
    entries = sink.read_new(KEYS.emotions, "sink", "sink", 10, None)
    assert len(sink.read_own(KEYS.emotions, "sink", "sink", "0", 10)) == 3
    assert sink.fetch_jpegs([i for i in ids if i])[0]
    sink.hop(KEYS.emotions, "sink", KEYS.emotions, [Done(entries[0].id, b"an error in its place", "a reason")])
    sink.shown("sink", "me", [e.id for e in entries], {"cam": ("run", 3)}, b"stats", {"cam": b"tracks"})
    assert sink.progress().stats == {"sink": b"stats"}
    assert sink.tracks("sink") == {"cam": b"tracks"}
    assert sink.producing(["cam", "other"]) == ("lossless", {"cam": ""})
    sink.rewind("cam", "run")
    sink.trim_used(KEYS.emotions)
    sink.lag(KEYS.emotions, "sink")
    sink.length(KEYS.emotions)
    sink.memory()
    sink.release("sink:sink", "me")

    assert producer.done("cam", "run") == 3
    assert len(producer.flight("cam")) == 2
    producer.land("cam", producer.flight("cam"))
    assert producer.memory_limit() == 0
    assert producer.replicated(0)
    producer.skip_frames("cam", "run", 3, 4, "me")
    producer.finish("cam", "run", 4)
    producer.append_sound(Sound("cam", "run", b"track", (Piece(0.0, 0.02, b"data"),)))
    assert len(sink.read_sound("0")) == 1
    producer.release("camera:cam", "me")
    for name in STAGES:
        streams[name].withdraw(name)
    assert not refused(streams)
    assert streams["operator"].length(KEYS.dead) == 3


def test_no_call_is_forgotten_above() -> None:
    """A new method of `Streams` needs a line in the test above, and perhaps a right in users.acl."""
    methods = {name for name, value in vars(Streams).items() if inspect.isfunction(value) and name[0] != "_"}
    tried = set(re.findall(r"\.(\w+)\(", inspect.getsource(test_every_call_of_every_stage_is_allowed_to_its_user)))
    for_people = {"dead_letters", "dead_letter", "drop_letters", "delete_frames", "replay", "workers", "forget"}
    assert methods - for_people <= tried


@pytest.mark.parametrize("key", [KEYS.faces, KEYS.emotions, KEYS.stats, KEYS.tracks, KEYS.dead])
def test_the_producers_user_can_read_no_results(streams: dict[str, Streams], key: str) -> None:
    if key in (KEYS.stats, KEYS.tracks):
        streams["operator"].client.hset(key, "sink", "x")
    else:
        streams["operator"].client.xadd(key, {"m": "x"})
    client = streams["producer"].client
    commands: tuple[tuple[str, ...], ...] = (
        ("XRANGE", key, "-", "+"),
        ("XREAD", "STREAMS", key, "0"),
        ("XREADGROUP", "GROUP", "sink", "x", "STREAMS", key, ">"),
        ("XINFO", "STREAM", key, "FULL"),
        ("HGETALL", key),
        ("DUMP", key),
        ("COPY", key, KEYS.progress),
        ("EVAL", "return redis.call('XRANGE', KEYS[1], '-', '+')", "1", key),
        ("SORT", key),
    )
    for command in commands:
        with pytest.raises(NoPermissionError):
            execute(streams, "producer", *command)
    for call in ("'XRANGE', KEYS[1], '-', '+'", "'HGETALL', KEYS[1]", "'XREAD', 'STREAMS', KEYS[1], '0'"):
        sha = client.script_load(f"return redis.call({call})")
        with pytest.raises((NoPermissionError, ResponseError), match=r"(?i)permission|NOPERM"):
            client.evalsha(sha, 1, key)


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("detector", ("XRANGE", KEYS.faces, "-", "+")),
        ("detector", ("XRANGE", KEYS.emotions, "-", "+")),
        ("detector", ("XADD", KEYS.frames, "*", "h", "x")),
        ("detector", ("HGETALL", KEYS.stats)),
        ("classifier", ("XRANGE", KEYS.frames, "-", "+")),
        ("classifier", ("XRANGE", KEYS.emotions, "-", "+")),
        ("sink", ("XADD", KEYS.frames, "*", "h", "x")),
        ("sink", ("XADD", KEYS.faces, "*", "m", "x")),
        ("sink", ("XREAD", "STREAMS", KEYS.faces, "0")),
        ("sink", ("XDEL", KEYS.frames, "0-1")),
        ("producer", ("SET", "other", "x")),
        ("scaler", ("XRANGE", KEYS.frames, "-", "+")),
        ("scaler", ("XINFO", "STREAM", KEYS.faces, "FULL")),
        ("producer", ("XADD", "other:{0.0}:frames", "*", "h", "x")),
    ],
)
def test_a_stage_has_only_its_own_streams(
    streams: dict[str, Streams], user: str, command: tuple[str, ...]
) -> None:
    with pytest.raises(NoPermissionError):
        execute(streams, user, *command)


@pytest.mark.parametrize("user", ["producer", "detector", "classifier", "sink"])
def test_no_stage_can_administer_the_server(streams: dict[str, Streams], user: str) -> None:
    for command in (
        "FLUSHALL",
        "CONFIG GET dir",
        "KEYS *",
        "SCAN 0",
        "ACL LIST",
        "SHUTDOWN",
        "MONITOR",
        "CLIENT LIST",
    ):
        with pytest.raises(NoPermissionError):
            execute(streams, user, *command.split())


def test_without_a_password_one_may_do_nothing(url: Callable[[str], str]) -> None:
    host = url("producer").partition("@")[2]
    nobody = connect(f"redis://{host}")
    for command in ("PING", "GET x", "ACL WHOAMI", "CONFIG GET dir"):
        with pytest.raises(AuthenticationError):
            nobody.execute_command(*command.split())  # type: ignore[no-untyped-call]
    for login in ("default:", "default:default@"):
        with pytest.raises(AuthenticationError):
            connect(f"redis://{login.rstrip('@')}@{host}").ping()
    with pytest.raises(AuthenticationError):
        connect(f"redis://producer:wrong@{host}").ping()


@pytest.mark.timeout(300)
def test_the_four_stages_run_with_their_own_users(
    url: Callable[[str], str], streams: dict[str, Streams], tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for n in range(30):
        cv2.imwrite(str(pictures / f"{n:02}.jpg"), np.full((120, 160, 3), 8 * n, np.uint8))
    results = tmp_path / "results.jsonl"
    commands = {
        "detector": ["detector_worker"],
        "classifier": ["classifier_worker"],
        "sink": ["sink", f"--output=jsonl={results}"],
        "producer": ["producer", f"--source={pictures}", "--mode=lossless", "--run-id=run"],
    }
    started = []
    try:
        for user, command in commands.items():
            environment = {**os.environ, "EMOTION_REDIS": url(user)}
            started.append(subprocess.Popen([sys.executable, "-P", "-m", *command], env=environment, cwd=ROOT))
        assert started[-1].wait(150) == 0
        deadline = time.monotonic() + 30
        while not results.exists() or results.read_text().count("\n") < 30:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for process in started[:-1]:
            process.terminate()
        assert [process.wait(60) for process in started[:-1]] == [0, 0, 0]
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert [json.loads(line)["seq"] for line in results.read_text().splitlines()] == list(range(30))
    assert not refused(streams)


def test_a_health_check_may_only_ask_whether_the_server_is_there(url: Callable[[str], str]) -> None:
    client = connect(url("health"))
    assert client.ping()
    with pytest.raises(NoPermissionError):
        client.get("x")


def test_passwords_stay_unless_others_are_given(secrets: ModuleType, tmp_path: Path) -> None:
    def written(**environment: str) -> dict[str, str]:
        secrets.main(tmp_path, environment)
        return {user: (tmp_path / user / "redis.toml").read_text() for user in secrets.STAGES}

    first = written()
    assert len(set(first.values())) == 4
    assert written() == first
    other = written(REDIS_PASSWORD_SINK="mine")
    assert other["sink"] == 'redis = "redis://sink:mine@redis:6379/0"\n'
    assert other["producer"] == first["producer"]
    assert written()["sink"] == other["sink"], "kept when it is no longer in the environment"


def test_no_service_finds_the_password_of_another(secrets: ModuleType, tmp_path: Path) -> None:
    secrets.main(tmp_path, {"REDIS_TLS": "1"})
    passwords = {path.name.partition(".")[2]: path.read_text() for path in tmp_path.rglob("password.*")}
    assert set(passwords) == set(USERS)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            for user, password in passwords.items():
                own = {"redis", user} if user in FOR_PEOPLE else {user}
                assert path.parent.name in own or password not in path.read_text(), (path, user)
    assert not list(tmp_path.rglob("ca.key"))
