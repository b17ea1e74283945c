"""What every process has around its loop: signals, metrics, health, its entry among the workers."""

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType

from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.interrupt import was_hung_up, was_interrupted
from emotion_stream.shared.log import redact_url
from emotion_stream.shared.process.allocator import keep_pictures
from emotion_stream.shared.process.health import HealthServer, Heartbeat, Route
from emotion_stream.shared.process.metrics import Metrics
from emotion_stream.shared.settings.options import CommonOptions, ServerOptions
from emotion_stream.shared.streams.connection import FIRST_WAIT, LONGEST_WAIT, connect, wait_until_up
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.shared.terminal import has_terminal

log = logging.getLogger(__name__)

TICK = 1.0
"""Seconds between two heartbeats and housekeepings."""
STEADY = 0.5
"""Seconds of a connection after which its loss is a new outage, not the last one going on."""
LIVE_WITHIN = 15.0
"""Seconds without a turn of the loop after which a process counts as dead."""


class Service:
    """One process of one stage. `worker` is its name: the consumer in its group, and its key among the workers."""

    def __init__(self, stage: str, slot: str, options: CommonOptions, parent: int | None = None) -> None:
        self.stage = stage
        host = socket.gethostname()
        self.worker = f"{stage}-{slot.replace('{host}', host) or f'{host}-{os.getpid()}'}"
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, stage)
        self.heartbeat = Heartbeat()
        self.metrics.heartbeat_age.set_function(self.heartbeat.age)
        self.metrics.ready.set_function(lambda: float(self.ready))
        self._stop = threading.Event()
        self.asked = threading.Event()
        """Set by SIGHUP: somebody asks for the settings file to be read again."""
        self._terminal = has_terminal()
        self._parent = parent
        self.check: Callable[[], tuple[bool, str]] = lambda: (True, "")
        """Whether the stage itself has what it needs, and lines about that for `/readyz`."""
        self._loaded = self._connected = self._outage = self._signalled_before = False
        self._since = self._next_tick = 0.0
        self._options = options
        self._server: HealthServer | None = None

    def start(self, routes: Mapping[str, Route] | None = None) -> None:
        """Serve metrics, health and further `routes`, and stop on SIGTERM or SIGINT. SIGHUP sets `asked`; it ends
        the process where it says that the terminal has gone.

        Raises:
            EmotionError: the port is taken.
        """
        keep_pictures()
        if self._options.metrics_port is not None:
            self._server = HealthServer(
                self._options.metrics_host,
                self._options.metrics_port,
                self.registry,
                live=lambda: self.heartbeat.age() < LIVE_WITHIN,
                ready=lambda: self.ready,
                routes=routes,
                about=self._about,
            )
            self._server.start()
        if was_interrupted():
            self._stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        if sys.platform != "win32":
            if was_hung_up():
                self.asked.set()
            signal.signal(signal.SIGHUP, self._hung_up)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # a runner has it wait until now

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        if self._terminal and not has_terminal():
            self._stop.set()  # whose window was closed
        self.asked.set()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._signalled_before:
            raise KeyboardInterrupt  # asked twice: do not drain
        self._signalled_before = True
        self._stop.set()

    @property
    def stop(self) -> threading.Event:
        """The event that asks the process to end."""
        return self._stop

    @property
    def stopping(self) -> bool:
        """Whether the process was asked to end."""
        return self._stop.is_set()

    def end_run(self) -> None:
        """End the run, as Ctrl-C does; a process without a runner stops itself. May be called by any thread."""
        if self._parent is not None and os.getppid() == self._parent:
            os.kill(self._parent, signal.SIGTERM)  # the runner drains the pipeline, then stops us
        else:
            self._stop.set()

    @property
    def ready(self) -> bool:
        """Whether it can work now: it is loaded, connected, its group exists, and the stage has what it needs."""
        return self._loaded and self._connected and not self.stopping and self.check()[0]

    def _about(self) -> str:
        return ("Redis is away\n" if self._loaded and not self._connected else "") + self.check()[1]

    def is_ready(self, streams: Streams | None) -> None:
        """Become ready: the stage is loaded, the server answers, and its group exists."""
        if not self._loaded:
            log.info("ready")
        self._loaded = self._connected = True
        self._since = time.monotonic()
        if streams is not None:
            self._announce(streams)

    def is_away(self, error: RedisError) -> None:
        """Note that the server does not answer. It is logged and counted once, until the server has answered for a
        while."""
        if not self._outage or self._steady:
            log.warning("Redis: %s: trying again", redact_url(str(error)))
            self.metrics.reconnects.inc()
            self._outage = True
        else:
            log.debug("Redis: %s: trying again", redact_url(str(error)))
        self._connected = False

    @property
    def _steady(self) -> bool:
        return self._connected and time.monotonic() - self._since > STEADY

    def tick(self, streams: Streams | None, *, beat: bool = True) -> bool:
        """Call once per turn of the loop. True about once a second: then it is time for housekeeping."""
        if beat:
            self.heartbeat.beat()
        now = time.monotonic()
        if now < self._next_tick:
            return False
        self._next_tick = now + TICK
        if self._outage and self._steady:
            log.info("Redis answers again")
            self._outage = False
        if self._parent is not None and os.getppid() != self._parent:
            log.warning("the runner is gone: stopping")
            self._stop.set()
        if streams is not None:
            self._announce(streams)
        return True

    def keep_connected(self, loop: Callable[[], None]) -> None:
        """Run `loop` until the service stops. If it raises a RedisError (the server is gone, was flushed, is out
        of memory), run it again after a growing cool-down: it then looks at its pending entries."""
        wait = FIRST_WAIT
        while not self.stopping:
            started = time.monotonic()
            try:
                loop()
            except RedisError as e:
                if time.monotonic() - started > STEADY:
                    wait = FIRST_WAIT
                self.is_away(e)
                self.tick(None)
                self.stop.wait(wait)
                wait = min(wait * 2, LONGEST_WAIT)

    def watch(self, streams: Streams) -> Callable[[], None]:
        """Call `tick` from a thread of its own, for a process whose other threads do the work and beat the heart.

        Returns:
            A function that ends the watching.
        """
        over = threading.Event()

        def look() -> None:
            while not over.wait(TICK):
                try:
                    if not self._connected:
                        self.is_ready(streams)
                    self.tick(streams, beat=False)
                except RedisError as e:
                    self.is_away(e)
                    self.tick(None, beat=False)  # the runner may be gone, too

        thread = threading.Thread(target=look, name="watch", daemon=True)
        thread.start()

        def stop() -> None:
            over.set()
            thread.join()

        return stop

    def observe_lag(self, streams: Streams, stream: str, group: str) -> None:
        """Measure how long a stream is and how far its group is behind."""
        kind = stream.rpartition(":")[2]
        lag = streams.lag(stream, group)
        self.metrics.stream_entries(kind).set(streams.length(stream))
        self.metrics.lag_seconds(kind, group).set(lag.seconds)
        if lag.entries is not None:
            self.metrics.lag_entries(kind, group).set(lag.entries)
        used, limit = streams.memory()
        self.metrics.redis_memory.set(used)
        self.metrics.redis_memory_limit.set(limit)

    def _announce(self, streams: Streams) -> None:
        about = {
            "stage": self.stage,
            "pid": os.getpid(),
            "host": self._options.metrics_host,
            "port": self._server.port if self._server else None,
            "ready": self._loaded,
            "beat": time.time(),
        }
        streams.announce(self.worker, json.dumps(about).encode())

    def close(self, streams: Streams | None = None) -> None:
        """Take the entry among the workers back and stop serving metrics."""
        self._loaded = False
        if streams is not None:
            try:
                streams.withdraw(self.worker)
            except RedisError:
                log.debug("could not withdraw: the server is gone")
        if self._server is not None:
            self._server.stop()


PATIENCE = 5.0
"""Seconds that a starting process waits for the server."""


def open_streams(link: ServerOptions, service: Service, patience: float = PATIENCE) -> Streams:
    """The streams of this process's shard, on a connection of their own; returns when the server answers, which it
    has `patience` seconds for.

    Raises:
        EmotionError: it does not answer, or refuses the login.
        UsageError: the URL or the shard is wrong.
    """
    if link.shard >= link.shards:
        raise UsageError(f"--shard {link.shard}: with --shards {link.shards} the last one is {link.shards - 1}")
    keys = Keys(link.namespace, link.shard, link.shards)
    client = connect(link.redis, link.redis_password_file, keys.slot if link.cluster else None)
    wait_until_up(client, link.redis, patience, lambda: service.stopping)
    return Streams(client, keys)
