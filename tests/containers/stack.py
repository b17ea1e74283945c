"""A stack of `docker-compose.yml`, as tests see it: the containers of one project of Compose."""

import json
import os
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = os.environ.get(
    "TEST_COMPOSE", "docker-compose" if shutil.which("docker-compose") else "docker compose"
).split()
STAGES = ("producer", "detector_worker", "classifier_worker", "sink")
PATIENCE = 300
"""Seconds; an idle machine needs a tenth of them."""


class Stack:
    """The containers of one project of Compose, apart from those of anybody else. TEST_DETECTOR is their
    detector."""

    def __init__(self, project: str, folder: Path) -> None:
        """`folder` is for files of the test."""
        empty = folder / "empty.env"
        empty.touch()
        self.project = project
        self._compose = [*COMPOSE, "--env-file", str(empty), "-p", project]
        self.ports = {"prometheus": free_port(), "web": free_port()}
        self.files: tuple[str, ...] = ("docker-compose.yml",)
        self.settings = {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        if detector := os.environ.get("TEST_DETECTOR"):
            self.settings["EMOTION_DETECTOR"] = detector
        self.settings["OUTPUT"] = "web=0.0.0.0:8080 jsonl=results.jsonl"

    def compose(self, *arguments: str, limit: float = 300) -> str:
        """Run docker-compose and return what it writes to standard output."""
        files = [part for name in self.files for part in ("-f", name)]
        command = [*self._compose, *files, *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self.settings},
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}\n{self.last_logs()}"
        return done.stdout

    def logs(self, service: str) -> str:
        """What the service's containers have logged."""
        command = [*self._compose, "logs", "--no-color", service]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False).stdout

    def ready(self, service: str) -> str:
        """What its first container says of itself, ready or not."""
        command = ["docker", "exec", self.containers(service)[0], "healthy"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

    def last_logs(self) -> str:
        command = [*self._compose, "logs", "--tail=15", "--no-color"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False).stdout

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers, also of stopped ones."""
        return docker(
            "ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}",
            "--filter", f"label=com.docker.compose.service={service}", "--no-trunc",
        ).split()  # fmt: skip

    def inspect(self, service: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(docker("inspect", *self.containers(service)))
        return found

    def healthy(self, services: Mapping[str, int]) -> bool:
        """Whether so many containers of each service run and say that they are healthy."""
        for service, count in services.items():
            states = [about["State"] for about in self.inspect(service)] if self.containers(service) else []
            if Counter(s.get("Health", {}).get("Status") for s in states if s["Running"])["healthy"] != count:
                return False
        return True

    def page(self, path: str) -> bytes:
        """What the web page answers, as a browser on this machine sees it."""
        with urllib.request.urlopen(f"http://localhost:{self.ports['web']}{path}", timeout=10) as answer:
            found: bytes = answer.read()
        return found

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers."""
        address = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/query?"
        with urllib.request.urlopen(address + urllib.parse.urlencode({"query": expression}), timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def targets_up(self) -> Counter[str]:
        """Replicas of each service that Prometheus scrapes with success."""
        return Counter(r["metric"]["service"] for r in self.query('up{job="emotion"} == 1'))

    def results(self, camera: str) -> list[dict[str, Any]]:
        """What the sink has stored of this camera, in the order of its files."""
        text = self.compose("exec", "-T", "sink", "sh", "-c", "cat /out/results-*.jsonl")
        rows = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        return [row for row in rows if row["camera"] == camera]

    def count(self, camera: str) -> int:
        search = f'cat /out/results-*.jsonl | grep -c \'"camera": "{camera}"\' || true'
        return int(self.compose("exec", "-T", "sink", "sh", "-c", search).strip() or 0)


def docker(*arguments: str, limit: float = 60) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=limit, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def wait(what: str, condition: Callable[[], object], seconds: float = PATIENCE) -> float:
    """Until the condition holds; returns the seconds that it took."""
    started = time.monotonic()
    while True:
        try:
            if condition():
                return time.monotonic() - started
        except (OSError, AssertionError, IndexError):  # a container or a port that is not there yet
            pass
        assert time.monotonic() - started < seconds, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.25)
