"""Cameras spread over the shards of a real Redis Cluster, of which a master is killed meanwhile."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError

from emotion_stream.producer.loop import run_producers
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.codec import (
    decode_detections,
    decode_frame,
    encode_detections,
    encode_emotions,
)
from emotion_stream.shared.messages.types import Emotions, Outcome
from emotion_stream.shared.process.service import Service, open_streams
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.process.worker import Policy, Route, Worker
from emotion_stream.shared.settings.options import CommonOptions, LinkOptions, ProducerOptions
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.keys import Keys, shard_of
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.results.output import Image, Output, Result
from emotion_stream.sink.tracking.follow import Follower, following
from tests.producer.test_sources import Counts, encoded, noise
from tests.shared.test_worker import Echo
from tests.support.servers import Node, cluster

SHARDS = 3
CAMERAS = ("yard", "hall", "door", "gate", "roof")
FRAMES = 120


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with cluster(tmp_path_factory.mktemp("cluster"), SHARDS) as made:
        yield made


def link(nodes: Sequence[Node], shard: int = 0, namespace: str = "emotion") -> LinkOptions:
    """The settings of a process of one shard; they name only the last node."""
    url = f"redis://127.0.0.1:{nodes[-1].port}"
    return LinkOptions(redis=url, cluster=True, shards=SHARDS, shard=shard, namespace=namespace)


class Label:
    """A classifier without a model."""

    def open(self) -> None: ...

    def process(self, batch: Sequence[Any]) -> Sequence[Emotions]:
        return [self.pass_on(d, d.outcome) for d in batch]

    def pass_on(self, message: Any, outcome: Outcome) -> Emotions:
        return Emotions(message.info, message.frame_id, (), (), outcome)

    def close(self) -> None: ...


class Memory(Output):
    """Keeps the numbers of the frames shown, by camera."""

    needs_image = False

    def __init__(self, shown: dict[str, list[int]]) -> None:
        self._shown = shown

    def write(self, result: Result, image: Image | None) -> None:
        self._shown[result.info.camera].append(result.info.seq)

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Shard:
    """A detector, a classifier and a sink of one shard, each in a thread of its own."""

    def __init__(self, options: LinkOptions, shown: dict[str, list[int]]) -> None:
        self._services = [Service(name, f"{name}-{options.shard}", CommonOptions()) for name in ("d", "c", "s")]
        d, c, s = (open_streams(options, service) for service in self._services)
        keys, policy = d.keys, Policy(4, 2.0, 5, 60.0)
        detect: Route[Any, Any] = Route(
            "detector",
            keys.frames,
            keys.faces,
            decode_frame,
            lambda r: encode_detections(r)[b"m"],
            lambda *_: None,
        )
        label: Route[Any, Any] = Route(
            "classifier", keys.faces, keys.emotions, decode_detections, lambda r: encode_emotions(r)[b"m"],
            lambda *_: None,
        )  # fmt: skip
        follower = Follower(following("1/1", 0.0, "off"))
        loops: tuple[Any, ...] = (
            Worker(self._services[0], d, Echo(), detect, policy, Watchdog(60)),
            Worker(self._services[1], c, Label(), label, policy, Watchdog(60)),
            Sink(self._services[2], s, "sink", lambda: [Memory(shown)], 1.0, Watchdog(60), follower),
        )
        self._threads = [threading.Thread(target=loop.run, daemon=True) for loop in loops]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        for service in self._services:
            service.stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


def test_every_shard_is_at_home_in_another_master(nodes: list[Node]) -> None:
    assert {shard_of(camera, SHARDS) for camera in CAMERAS} == set(range(SHARDS)), "the test's cameras are spread"
    for shard in range(SHARDS):
        streams = open_streams(link(nodes, shard, "home"), Service("test", "", CommonOptions()))
        streams.client.set(streams.keys.name("here"), shard)
        assert [n for n in range(SHARDS) if nodes[n].client.keys("home:*here")].count(shard) == 1
        assert nodes[shard].client.keys("home:*") == [streams.keys.name("here").encode()]
        nodes[shard].client.flushall()


def test_a_unix_socket_is_no_cluster() -> None:
    with pytest.raises(UsageError, match="a cluster is reached by redis:// or rediss://"):
        connect("unix:///tmp/x.sock", slot=1)


def test_a_node_that_is_not_the_master_any_more_is_left(nodes: list[Node]) -> None:
    keys = Keys("moved", 0, SHARDS)
    client = connect(f"redis://127.0.0.1:{nodes[1].port}", slot=keys.slot)
    assert client.exists(keys.name("y")) == 0
    identity = nodes[1].client.execute_command("CLUSTER MYID")
    for node in nodes[:SHARDS]:
        node.client.execute_command("CLUSTER SETSLOT", keys.slot, "NODE", identity)
    try:
        with pytest.raises(ConnectionError, match="Redis Cluster: "):
            client.set(keys.name("y"), 1)
        assert client.set(keys.name("y"), 1)
        assert nodes[1].client.keys("moved:*") == [keys.name("y").encode()]
    finally:
        nodes[1].client.flushall()
        home = nodes[0].client.execute_command("CLUSTER MYID")
        for node in nodes[:SHARDS]:
            node.client.execute_command("CLUSTER SETSLOT", keys.slot, "NODE", home)


@pytest.mark.timeout(300)
def test_a_killed_master_costs_nothing_in_lossless_mode(nodes: list[Node], tmp_path: Path) -> None:
    jpeg = encoded(".jpg", noise())
    for camera in CAMERAS:
        (tmp_path / camera).mkdir()
        for n in range(FRAMES):
            (tmp_path / camera / f"{n:03}.jpg").write_bytes(jpeg)
    sources = tuple(f"{camera}={tmp_path / camera}" for camera in CAMERAS)
    options = ProducerOptions(source=sources, mode="lossless", run_id="run", in_flight=16, replicas=1)
    shown: dict[str, list[int]] = defaultdict(list)
    shards = [Shard(link(nodes, k), shown) for k in range(SHARDS)]
    service = Service("producer", "", CommonOptions())

    def streams_for(camera: str) -> Streams:
        return open_streams(link(nodes, shard_of(camera, SHARDS)), service)

    failures: list[BaseException] = []

    def produce() -> None:
        try:
            run_producers(options, streams_for, service.stop, Counts())
        except BaseException as e:
            failures.append(e)

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    deadline = time.monotonic() + 240
    killed = shard_of(CAMERAS[0], SHARDS)
    try:
        while len(shown[CAMERAS[0]]) < FRAMES // 4:
            assert time.monotonic() < deadline
            assert not failures, failures
            time.sleep(0.05)
        nodes[killed].process.kill()
        while nodes[SHARDS + killed].client.info("replication")["role"] != "master":
            assert time.monotonic() < deadline, "the replica does not take over"
            time.sleep(0.1)
        time.sleep(1)
        assert len(shown[CAMERAS[0]]) < FRAMES, "it waits, because no replica has what it writes"
        nodes[killed].process = nodes[killed].start()  # comes back as the replica of the new master
        while any(len(shown[camera]) < FRAMES for camera in CAMERAS) or producer.is_alive():
            assert time.monotonic() < deadline, {camera: len(seqs) for camera, seqs in shown.items()}
            assert not failures, failures
            time.sleep(0.05)
    finally:
        service.stop.set()
        for shard in shards:
            shard.stop()
    assert dict(shown) == {camera: list(range(FRAMES)) for camera in CAMERAS}
