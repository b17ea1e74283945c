"""`docker-compose.yml` on a real engine, from the build to `down`: `make test-containers` runs it.

The tests follow each other on one stack, which the last ones kill, restart and replace while it works.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.containers.conftest import FRAMES
from tests.containers.stack import STAGES, Stack, docker, wait
from tests.support.display import x_server

MEGABYTE = 1_000_000

KILL_ALL = """
import os, signal
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        os.kill(int(name), signal.SIGKILL)
"""
"""Run in a container, it kills everything but its first process, which no signal of its own container can kill."""

LACKING = """
loader=(/lib64/ld-linux-* /lib/ld-linux-*)
lacking() {
    LD_TRACE_LOADED_OBJECTS=1 LD_LIBRARY_PATH=${1%/*} "${loader[0]}" "$1" 2>/dev/null |
        sed -n "s|.*not found|$1 &|p"
}
find /opt/packages /usr/lib/python3*/lib-dynload -name '*.so*' -type f -not -path '*/cv2/qt/*' -print0 |
    while IFS= read -r -d '' library; do lacking "$library"; done
"""
"""Run in a container, it prints the libraries of packages that lack one which they name."""

pytestmark = [
    pytest.mark.skipif(not os.environ.get("TEST_CONTAINERS"), reason="takes minutes: make test-containers"),
    pytest.mark.timeout(3600),
]


def test_images_are_small_and_hold_no_training_packages(stack: Stack) -> None:
    for stage in ("producer", "detector", "classifier", "sink"):
        image = f"emotion-stream-{stage}"
        size = int(docker("image", "inspect", "--format", "{{.Size}}", image))
        print(f"{image}: {size / MEGABYTE:.0f} MB")
        assert size < 450 * MEGABYTE
        useless = ["tensorflow", "keras", "nncf", "pip", "setuptools"]
        code = f"import importlib.util as u, sys; sys.exit(any(map(u.find_spec, {useless})))"
        docker("run", "--rm", "--network=none", "--entrypoint=python", image, "-c", code)


@pytest.mark.parametrize(
    ("stage", "modules"),
    [
        ("producer", "producer.__main__"),
        ("detector", "detector_worker.__main__, emotion_stream.detector_worker.yunet.network"),
        ("classifier", "classifier_worker.__main__"),
        ("sink", "sink.__main__, emotion_stream.sink.web.server, emotion_stream.sink.window.output"),
        ("tools", "emotion.__main__, emotion_stream.producer.__main__, emotion_stream.emotion.report.command"),
    ],
)
def test_images_lack_nothing_that_they_load(stack: Stack, stage: str, modules: str) -> None:
    """Neither a package nor a library of one that is there. And they hold nothing that runs as somebody else."""
    run = ("run", "--rm", "--network=none")
    image = f"emotion-stream-{stage}"
    docker(*run, "--entrypoint=python", image, "-c", f"import emotion_stream.{modules}")
    told = docker(*run, "--entrypoint=bash", image, "-c", f"{LACKING}true", limit=120)
    assert told == ""
    search = ("find", image, "/", "-xdev", "-type", "f", "-perm", "/6000")
    assert docker(*run, "--user=0", "--entrypoint", *search) == ""


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
    """Switched on, and off again, on a stack that runs."""
    stack.compose("down", "--volumes", "--timeout", "10")
    for name in ("MODE", "LOOP", "SOURCE", "PRODUCER_RESTART", "RUN_ID"):
        stack.settings.pop(name, None)
    stack.compose("up", "-d")
    wait("results", lambda: stack.count("sample") > 20)
    for files in (("docker-compose.yml", "deploy/compose.tls.yml"), ("docker-compose.yml",)):
        stack.files = files
        stack.compose("up", "-d")
        wait("all healthy", lambda: stack.healthy({"redis": 1, **dict.fromkeys(STAGES, 1)}))
        before = stack.count("sample")
        wait("more results", lambda before=before: stack.count("sample") > before + 20)  # type: ignore[misc]
    stack.files = ("docker-compose.yml", "deploy/compose.tls.yml")
    stack.compose("up", "-d")
    settings = stack.compose("exec", "-T", "sink", "cat", "/run/emotion/redis.toml")
    assert settings.startswith('redis = "rediss://sink:')


@pytest.mark.skipif(shutil.which("xhost") is None, reason="needs xhost (Debian: apt install x11-xserver-utils)")
def test_the_window_opens_on_the_screen_of_this_machine(stack: Stack, tmp_path: Path) -> None:
    stack.compose("down", "--volumes", "--timeout", "10")
    stack.files = ("docker-compose.yml", "deploy/compose.window.yml")
    stack.settings.pop("OUTPUT", None)
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
