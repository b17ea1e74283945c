"""`docker-compose.yml` on a real engine, from the build to `down`: `make test-containers` runs it.

The tests follow each other on one stack, which the last ones kill, restart and replace while it works.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.display import x_server
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
STAGES = ("producer", "detector_worker", "classifier_worker", "sink")
FRAMES = 400
PATIENCE = 300
"""Seconds; an idle machine needs a tenth of them."""
MEGABYTE = 1_000_000

KILL_ALL = """
import os, signal
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        os.kill(int(name), signal.SIGKILL)
"""
"""Run in a container, it kills everything but its first process, which no signal of its own container can kill."""

pytestmark = [
    pytest.mark.skipif(not os.environ.get("TEST_CONTAINERS"), reason="takes minutes: make test-containers"),
    pytest.mark.timeout(3600),
]


class Stack:
    """The containers of one project of Compose, apart from those of anybody else."""

    def __init__(self, project: str, folder: Path) -> None:
        """`folder` is for files of the test."""
        empty = folder / "empty.env"
        empty.touch()
        self.project = project
        self._compose = [*COMPOSE, "--env-file", str(empty), "-p", project]
        self.ports = {"prometheus": free_port(), "web": free_port()}
        self.files: tuple[str, ...] = ("docker-compose.yml",)
        self.settings = {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        self.settings["OUTPUT"] = "web=0.0.0.0:8080 jsonl=/out/results.jsonl"

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
        """What the sink has stored of this camera, in the order of the file."""
        text = self.compose("exec", "-T", "sink", "cat", "/out/results.jsonl")
        rows = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        return [row for row in rows if row["camera"] == camera]

    def count(self, camera: str) -> int:
        search = f'grep -c \'"camera": "{camera}"\' /out/results.jsonl || true'
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


def _write_pictures(folder: Path) -> None:
    """Pictures of the sample clip, some under two names."""
    with av.open(str(ROOT / "samples" / "sample.mp4")) as container:
        for n, frame in enumerate(container.decode(video=0)):
            cv2.imwrite(str(folder / f"{n:05}.jpg"), frame.to_ndarray(format="bgr24"))
    for n in range(len(list(folder.glob("*.jpg"))), FRAMES):
        os.link(folder / f"{n % 250:05}.jpg", folder / f"{n:05}.jpg")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Built, and gone with all its volumes at the end."""
    media = tmp_path_factory.mktemp("media")
    made = Stack(f"emotiontest{os.getpid()}", media)
    _write_pictures(media)
    for folder in (media, *media.parents[:2]):
        folder.chmod(0o755)  # the producer is nobody here
    made.settings["PICTURES"] = str(media)
    started = time.monotonic()
    made.compose("build", limit=600)
    print(f"\nbuilt in {time.monotonic() - started:.0f} s")
    yield made
    print(made.last_logs())
    made.compose("down", "--volumes", "--timeout", "10")


def test_images_are_small_and_hold_no_training_packages(stack: Stack) -> None:
    base = int(docker("image", "inspect", "--format", "{{.Size}}", "python:3.11-slim-bookworm"))
    for stage in ("producer", "detector", "classifier", "sink"):
        image = f"emotion-stream-{stage}"
        size = int(docker("image", "inspect", "--format", "{{.Size}}", image))
        print(f"{image}: {size / MEGABYTE:.0f} MB, {(size - base) / MEGABYTE:.0f} MB of it ours")
        assert size - base < 550 * MEGABYTE
        code = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ['tensorflow', 'keras', 'nncf'])))"
        docker("run", "--rm", "--network=none", "--entrypoint=python", image, "-c", code)


def test_up_with_nothing_configured_plays_the_sample(stack: Stack) -> None:
    started = time.monotonic()
    stack.compose("up", "-d")
    wait("all healthy", lambda: stack.healthy({"redis": 1, **dict.fromkeys(STAGES, 1)}))
    print(f"\nhealthy {time.monotonic() - started:.1f} s after `docker-compose up -d`")
    wait("the page", lambda: b"<html" in stack.page("/"))
    wait("a picture", lambda: stack.page("/snapshot/sample.jpg").startswith(b"\xff\xd8"))
    wait("faces", lambda: b'"confidence"' in stack.page("/api/results"))
    wait("results", lambda: stack.count("sample") > 20)
    wait("all targets", lambda: stack.targets_up() == dict.fromkeys(STAGES, 1))
    frames = 'sum by (service) (rate(emotion_frames_total{job="emotion"}[30s])) > 0'
    wait("frames in all stages", lambda: {r["metric"]["service"] for r in stack.query(frames)} == set(STAGES))
    print(f"watched by Prometheus after {time.monotonic() - started:.1f} s")


def test_containers_have_no_rights_that_they_do_not_need(stack: Stack) -> None:
    for service in (*STAGES, "redis", "prometheus"):
        (about,) = stack.inspect(service)
        host = about["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert any(o.startswith("no-new-privileges") for o in host["SecurityOpt"]), service
        assert about["Config"]["User"] not in ("", "root", "0"), service
        published = [b["HostIp"] for bound in host["PortBindings"].values() for b in bound]
        assert published == (["127.0.0.1"] if service in ("prometheus", "sink") else []), service


def test_the_producers_credentials_cannot_read_results(stack: Stack) -> None:
    code = """
import tomllib, redis
client = redis.Redis.from_url(tomllib.load(open('/run/emotion/redis.toml', 'rb'))['redis'], driver_info=None)
print(client.ping())
for key in ('faces', 'emotions', 'stats'):
    try:
        client.hgetall('emotion:{0.0}:stats') if key == 'stats' else client.xrange('emotion:{0.0}:' + key)
        print('read', key)
    except redis.exceptions.NoPermissionError:
        print('refused')
"""
    answer = stack.compose("exec", "-T", "producer", "python", "-c", code)
    assert answer.split() == ["True", *["refused"] * 3]


def test_prometheus_finds_the_replicas(stack: Stack) -> None:
    stack.compose("up", "-d", "--scale", "detector_worker=4", "--scale", "classifier_worker=2")
    many = {"producer": 1, "detector_worker": 4, "classifier_worker": 2, "sink": 1}
    wait("replicas healthy", lambda: stack.healthy(many))
    wait("replicas found", lambda: stack.targets_up() == many)


class Passes:
    """Lossless passes over the pictures, one after the other, so that something is always under way."""

    def __init__(self, stack: Stack, scale: Sequence[str]) -> None:
        self.stack = stack
        self.scale = scale
        self.number = 0

    def go_on(self) -> None:
        """Begin the next pass if the one before has ended."""
        if self.number and self.stack.inspect("producer")[0]["State"]["Running"]:
            return
        self.number += 1
        self.stack.settings["RUN_ID"] = f"pass{self.number}"
        self.stack.compose("up", "-d", *self.scale)

    def work(self) -> None:
        """Until more results are there: it goes on after what was done to it."""
        before = self.stack.count("clip")

        def more() -> bool:
            self.go_on()
            return self.stack.count("clip") > before + 20

        print(f"pass {self.number}, {before} results; more after {wait('more results', more):.0f} s")

    def crash(self, service: str) -> None:
        """Kill what runs in one container of the service, and wait until the engine has started it again."""

        def restarts() -> int:
            return sum(about["RestartCount"] for about in self.stack.inspect(service))

        def kill() -> bool:
            self.go_on()
            running = [about["Id"] for about in self.stack.inspect(service) if about["State"]["Running"]]
            docker("exec", running[0], "python", "-c", KILL_ALL)
            return True

        before = restarts()
        wait(f"a {service} to be killed", kill)
        wait(f"{service} again", lambda: restarts() > before)


def test_nothing_is_lost_or_doubled_whatever_happens(stack: Stack) -> None:
    """Lossless: scaled, killed, restarted, replaced while it works; then every frame is there once, in order."""
    stack.settings |= {"MODE": "lossless", "LOOP": "false", "SOURCE": "clip=/media/*.jpg"}
    stack.settings |= {"PRODUCER_RESTART": "on-failure"}
    many = ("--scale", "detector_worker=4", "--scale", "classifier_worker=2")
    passes = Passes(stack, ("--scale", "detector_worker=1", "--scale", "classifier_worker=1"))
    passes.work()
    passes.scale = many
    stack.compose("up", "-d", *many)
    passes.work()

    # The engine takes `kill` for the wish of a person and does not start the container again: others do its work.
    docker("kill", "--signal=KILL", stack.containers("detector_worker")[0])
    passes.work()
    stack.compose("kill", "-s", "KILL", "detector_worker")
    stack.compose("up", "-d", *many)
    passes.work()

    # A process that dies otherwise (no memory, a crash) is started again by the engine.
    for service in ("detector_worker", "classifier_worker", "sink", "producer"):
        passes.crash(service)
        passes.work()
    stack.compose("restart", "redis")
    passes.work()
    stack.compose("kill", "-s", "KILL", "redis")
    stack.compose("up", "-d", *many)
    passes.work()

    # An upgrade: each stage replaced, the last one first.
    for service in reversed(STAGES):
        stack.compose("up", "-d", "--no-deps", "--force-recreate", *many, service)
        passes.work()

    wait("the end", lambda: stack.count("clip") >= passes.number * FRAMES, 600)
    wait("the producer's end", lambda: not stack.inspect("producer")[0]["State"]["Running"])
    assert stack.inspect("producer")[0]["State"]["ExitCode"] == 0
    found: dict[str, list[int]] = {}
    for row in stack.results("clip"):
        found.setdefault(row["epoch"], []).append(row["seq"])
    assert found == {f"pass{n + 1}": list(range(FRAMES)) for n in range(passes.number)}


def test_a_stop_drains(stack: Stack) -> None:
    started = time.monotonic()
    stack.compose("stop", "detector_worker", "classifier_worker", "sink")
    assert time.monotonic() - started < 25
    for service in ("detector_worker", "classifier_worker", "sink"):
        assert {about["State"]["ExitCode"] for about in stack.inspect(service)} == {0}, service


def test_with_tls(stack: Stack) -> None:
    stack.compose("down", "--volumes", "--timeout", "10")
    for name in ("MODE", "LOOP", "SOURCE", "PRODUCER_RESTART", "RUN_ID"):
        del stack.settings[name]
    stack.files = ("docker-compose.yml", "deploy/compose.tls.yml")
    stack.compose("up", "-d")
    wait("all healthy", lambda: stack.healthy({"redis": 1, **dict.fromkeys(STAGES, 1)}))
    wait("results", lambda: stack.count("sample") > 20)
    settings = stack.compose("exec", "-T", "sink", "cat", "/run/emotion/redis.toml")
    assert settings.startswith('redis = "rediss://sink:')


@pytest.mark.skipif(shutil.which("xhost") is None, reason="needs xhost (Debian: apt install x11-xserver-utils)")
def test_the_window_opens_on_the_screen_of_this_machine(stack: Stack, tmp_path: Path) -> None:
    stack.compose("down", "--volumes", "--timeout", "10")
    stack.files = ("docker-compose.yml", "deploy/compose.window.yml")
    del stack.settings["OUTPUT"]
    with x_server() as display:
        stack.settings["DISPLAY"] = display.name
        allow = ["xhost", "+si:localuser:#10001"]
        subprocess.run(allow, env={**os.environ, "DISPLAY": display.name}, check=True, capture_output=True)
        stack.compose("up", "-d")
        wait("the window", lambda: display.windows("sample"))
        (window,) = display.windows("sample")
        wait("a picture in it", lambda: np.ptp(display.look(window)) > 200)
        cv2.imwrite(str(tmp_path / "window.png"), display.look(window))
        display.press(window, "q")
        wait("its end", lambda: not stack.inspect("sink")[0]["State"]["Running"])
        assert stack.inspect("sink")[0]["State"]["ExitCode"] == 0
