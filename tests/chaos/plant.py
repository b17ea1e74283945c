"""A pipeline of real processes around a real server, which are started again when they die."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from redis.exceptions import RedisError

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.settings.loading import to_toml
from emotion_stream.shared.settings.options import CommonOptions, LinkOptions, ProducerOptions
from emotion_stream.shared.settings.result_options import SinkOptions
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.progress import Progress
from emotion_stream.shared.streams.shard import Streams
from tests.chaos.proxy import Proxy

T = TypeVar("T")
MEMORY = 64 << 20
CLAIM_AFTER = 3.0
WATCHDOG = 1.0
SINKS = ("lines", "tables")
LOOK = 0.1
"""Seconds between two looks at the processes."""
RESTART = 0.1
"""Seconds until a process that has ended is started again."""
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Member:
    """One process that is kept running until it is told to end."""

    name: str
    command: Sequence[str]
    process: "subprocess.Popen[bytes]"
    wanted: bool = True
    ended_at: float | None = None
    codes: list[int] = field(default_factory=list)


class Plant:
    """Server, proxy and processes of one namespace. All but the controller reach the server through the proxy."""

    def __init__(self, directory: Path, namespace: str, *, max_age: float = 0.5) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self.restarts: Counter[str] = Counter()
        self.server = EmbeddedServer(directory / "s", MEMORY, durable=True)
        self.server.start()
        self.proxy = Proxy(directory / "p.sock", directory / "s" / "server.sock")
        self.streams = Streams(connect(self.server.url), Keys(namespace))
        self._max_age = max_age
        self._members: dict[str, Member] = {}
        self._frozen: list[threading.Timer] = []
        self._lock = threading.RLock()
        self._end = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()
        self.peak_memory = 0

    # --- processes ---------------------------------------------------------------------------------------

    def start(self, name: str, command: Sequence[str], *settings: object) -> None:
        """Start a process and keep it running. `name` is its slot."""
        link = LinkOptions(
            redis=self.proxy.url,
            namespace=self.streams.keys.namespace,
            slot=name,
            parent=os.getpid(),
            claim_after=CLAIM_AFTER,
            watchdog=WATCHDOG,
            max_age=self._max_age,
        )
        path = self.directory / f"{name}.toml"
        path.write_text(to_toml(link, CommonOptions(log_level="debug"), *settings))
        whole = [sys.executable, "-P", "-m", *command, f"--config={path}"]
        with self._lock:
            self._members[name] = Member(name, whole, self._spawn(name, whole))

    def start_workers(
        self, detector: Sequence[str], classifier: Sequence[str], *settings: object, standby: bool = True
    ) -> None:
        """Two detectors, two classifiers, two sinks, one of these with a second process that stands by.
        `settings`: of the first detector, and of the second."""
        for n in range(2):
            self.start(f"detector-{n}", detector, *settings[n : n + 1])
            self.start(f"classifier-{n}", classifier)
        for slot, output in (("lines-0", "jsonl"), ("lines-1", "jsonl"), ("tables-0", "sqlite")):
            if slot == "lines-1" and not standby:
                continue
            target = self.directory / f"results.{output}"
            self.start(
                slot,
                ["emotion_stream.sink"],
                SinkOptions(output=(f"{output}={target}",), sink=slot.partition("-")[0]),
            )
        self._wait_until_ready()

    def _wait_until_ready(self, seconds: float = 180.0) -> None:
        """As `emotion run` does: a sink that comes when a run is under way would begin in its middle."""
        deadline = time.monotonic() + seconds
        while not self.ready() or set(self.progress().sinks) < set(SINKS):
            assert time.monotonic() < deadline, "the workers do not become ready"
            time.sleep(0.05)

    def ready(self) -> bool:
        """Whether all processes that are kept running are up: those that stand by, too."""
        told = [json.loads(text) for text in self.patiently(lambda s: s.workers()).values()]
        up = {about["pid"] for about in told}
        ready = {about["pid"] for about in told if about["ready"]}
        with self._lock:
            members = [m for m in self._members.values() if m.wanted]
            stand_by = any(m.name == "lines-1" for m in members)
            return (
                all(m.process.poll() is None and m.process.pid in up for m in members)
                and sum(m.process.pid not in ready for m in members) <= stand_by
            )

    def start_producer(self, options: ProducerOptions) -> None:
        self.start("producer", ["emotion_stream.producer"], options)

    def _spawn(self, name: str, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                env={**plain_environment(), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
            )

    def _keep(self) -> None:
        while not self._end.wait(LOOK):
            with self._lock:
                for member in self._members.values():
                    code = member.process.poll()
                    if code is None or not member.wanted:
                        continue
                    if member.ended_at is None:
                        member.ended_at = time.monotonic()
                        member.codes.append(code)
                    elif member.name == "producer" and code == 0 and self._all_sent():
                        member.wanted = False
                    elif time.monotonic() - member.ended_at > RESTART:
                        member.process, member.ended_at = self._spawn(member.name, member.command), None
                        self.restarts[member.name.partition("-")[0]] += 1
            self._measure()

    def _all_sent(self) -> bool:
        """Whether the producer ended because it has sent everything, not because it was told to stop."""
        with contextlib.suppress(RedisError):
            progress = Progress.parse(self._own().client.hgetall(self.streams.keys.progress))  # type: ignore[arg-type]
            return all(progress.ended.get(c, ("", 0))[0] == at[0] for c, at in progress.appended.items())
        return False

    def _own(self) -> Streams:
        """Streams for the keeper's thread."""
        if not hasattr(self, "_second"):
            self._second = Streams(connect(self.server.url), self.streams.keys)
        return self._second

    def _measure(self) -> None:
        with contextlib.suppress(RedisError):
            self.peak_memory = max(self.peak_memory, int(self._own().client.info("memory")["used_memory"]))

    def names(self, kind: str) -> list[str]:
        return [name for name in self._members if name.startswith(kind)]

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process that runs; waits until it does."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with self._lock:
                process = self._members[name].process
                if process.poll() is None:
                    process.send_signal(number)
                    return
            time.sleep(0.05)
        raise AssertionError(f"{name} does not come back")

    def freeze(self, name: str, seconds: float) -> None:
        """Stop a process; it wakes up after some seconds. Returns at once."""
        self.signal(name, signal.SIGSTOP)
        thaw = threading.Timer(seconds, self.signal, (name, signal.SIGCONT))
        thaw.daemon = True
        thaw.start()
        self._frozen.append(thaw)

    @property
    def thawing(self) -> bool:
        """Whether a process was frozen, and nobody has waited for it yet."""
        return bool(self._frozen)

    def wait_until_thawed(self) -> None:
        """Until all frozen processes go on."""
        while self._frozen:
            self._frozen.pop().join()

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time of each process so far."""
        used = {}
        for name, member in self._members.items():
            with contextlib.suppress(OSError):
                used[name] = cpu_seconds(member.process.pid)
        return used

    def stop(self, names: Sequence[str], patience: float = 20.0) -> dict[str, int | None]:
        """Tell processes to end and wait; returns their exit codes, None for those that had to be killed."""
        with self._lock:
            members = [self._members[name] for name in names]
            for member in members:
                member.wanted = False
                if member.process.poll() is None:
                    member.process.terminate()
        codes: dict[str, int | None] = {}
        deadline = time.monotonic() + patience
        for member in members:
            try:
                codes[member.name] = member.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                member.process.send_signal(signal.SIGABRT)  # its log then tells where it is stuck
                time.sleep(0.2)
                member.process.kill()
                member.process.wait()
                codes[member.name] = None
        return codes

    def note(self, text: str) -> None:
        """Write down what happens when, beside the logs of the processes."""
        with (self.directory / "faults.log").open("a") as file:
            file.write(f"{datetime.now(UTC):%H:%M:%S.%f} {text}\n")

    # --- looking -----------------------------------------------------------------------------------------

    def patiently(self, call: Callable[[Streams], T], seconds: float = 30.0) -> T:
        """What `call` returns, tried again while the server is away."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return call(self.streams)
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def progress(self) -> Progress:
        return self.patiently(lambda s: s.progress())

    def close(self) -> None:
        """End everything."""
        self._end.set()
        self._keeper.join(5)
        with self._lock:
            for member in self._members.values():
                if member.process.poll() is None:
                    member.process.kill()
                member.process.wait()
        self.proxy.close()
        self.server.stop()


def plain_environment() -> dict[str, str]:
    """That of this process, with this project's packages and without settings of anybody's."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("EMOTION_")}
    return {**inherited, "PYTHONPATH": str(Path(__file__).parents[2])}


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / CLOCK_TICKS


def shown_everywhere(progress: Progress, cameras: Sequence[str], epoch: str) -> int:
    """Frames that every sink has shown."""
    return min(sum(progress.shown.get((sink, c, epoch), 0) for c in cameras) for sink in SINKS)


@contextlib.contextmanager
def plant(directory: Path, namespace: str, **options: float) -> Iterator[Plant]:
    """A plant, ended at the end."""
    made = Plant(directory, namespace, **options)
    try:
        yield made
    finally:
        made.close()
