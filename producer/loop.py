"""The producer's loop: one thread for each camera, all or nothing at the start, no silent failure afterwards."""

import logging
import os
import secrets
import threading
from collections.abc import Callable, Sequence

from producer.factory import make_source
from producer.link import Job, Keeper, Stopped, Streams
from producer.live import new_epoch, run_live
from producer.lossless import run_lossless
from producer.source import Context, Observer, Source
from producer.spec import plan
from shared.errors import EmotionError
from shared.messages import Mode
from shared.options import ProducerOptions

log = logging.getLogger(__name__)

TURN = 0.05
LOOK_AGAIN = 0.01
STOP_PATIENCE = 5.0
"""Seconds that cameras get to come to an end; then the process leaves them behind."""


class Producer:
    """Brings one source into its stream: `acquire`, `open`, then `run`, in one thread after the other."""

    def __init__(
        self,
        source: Source,
        streams: Streams,
        options: ProducerOptions,
        mode: Mode,
        context: Context,
        name: str = "",
    ) -> None:
        epoch = options.run_id if mode == "lossless" and options.run_id else new_epoch()
        self.job = Job(source, streams, options, mode, context, epoch, name or secrets.token_hex(8))
        self._start = 0

    def acquire(self) -> None:
        """Lease the camera, waiting up to 6 s for a producer that has died.

        Raises:
            EmotionError: another producer uses this camera, or the server cannot be reached.
            Stopped: told to stop meanwhile.
        """
        self.job.wait_for_lease()

    def open(self) -> None:
        """Open the source; in lossless mode where an earlier producer of this run stopped.

        Raises:
            EmotionError: it cannot be opened.
            Stopped: told to stop meanwhile.
        """
        job = self.job
        if job.mode == "lossless":
            self._start = job.patiently(lambda: job.streams.position(job.camera, job.epoch))
            if self._start:
                log.info("camera %s: going on with frame %d", job.camera, self._start)
        job.source.open(self._start)

    def run(self) -> None:
        """Produce until the source ends or the producer is told to stop.

        Raises:
            EmotionError: the source failed for good, or another producer has taken the camera over.
        """
        try:
            if self.job.mode == "live":
                run_live(self.job)
            else:
                run_lossless(self.job, self._start)
        except Stopped:
            log.debug("camera %s: stopped", self.job.camera)
        finally:
            self.close()

    def close(self) -> None:
        self.job.source.close()


def check_recordings(options: ProducerOptions) -> None:
    """Open and close every file and folder of `options`, so that a wrong one is told before a run begins.

    Raises:
        UsageError: the options do not fit together.
        EmotionError: one of them cannot be read.
    """
    mode, specs = plan(options)
    context = Context(threading.Event(), _Nobody())
    for spec in specs:
        if spec.kind in ("video", "pictures"):
            source = make_source(spec, mode, options, context)
            try:
                source.open()
            finally:
                source.close()


class _Nobody:
    """Observes nothing."""

    def frames(self, n: int) -> None: ...
    def dropped(self, reason: str, n: int) -> None: ...
    def errors(self, n: int) -> None: ...
    def reconnects(self) -> None: ...


def run_producers(
    options: ProducerOptions,
    streams_for: Callable[[str], Streams],
    stop: threading.Event,
    observer: Observer,
    alive: Callable[[], None] = lambda: None,
    name: str = "",
) -> None:
    """Produce all sources of `options` until they end or `stop` is set.

    `name` is a name of this process that it keeps over restarts: with it a restarted one need not wait until the
    leases of the one before run out.

    Every camera gets streams of its own, those of its shard, from `streams_for`, and the keeper of its lease
    others. `alive` is called, from any thread, whenever a loop turns. Nothing is appended unless every
    source could be opened.

    Raises:
        UsageError: the options are wrong.
        EmotionError: a source cannot be opened, or failed later; the others have been stopped.
    """
    mode, specs = plan(options)
    halt = threading.Event()
    context = Context(halt, observer, alive)
    producers = [
        Producer(make_source(spec, mode, options, context), streams_for(spec.name), options, mode, context, name)
        for spec in specs
    ]
    keeper = Keeper()
    keeper.start()
    relay = threading.Thread(target=_relay, args=(stop, halt), name="stop", daemon=True)
    relay.start()
    try:
        if _open_all(producers, keeper, streams_for) and _may_go(options.go, halt, alive):
            _run_all(producers, halt)
    finally:
        halt.set()
        keeper.end()


def _open_all(producers: Sequence[Producer], keeper: Keeper, streams_for: Callable[[str], Streams]) -> bool:
    """Lease and open all cameras, or none. False: told to stop meanwhile."""
    opened = False
    try:
        for producer in producers:
            producer.acquire()
            keeper.keep(producer.job, streams_for(producer.job.camera))
        for producer in producers:
            producer.open()
        opened = True
    except Stopped:
        log.debug("stopped before the start")
    finally:
        if not opened:
            for producer in producers:
                producer.close()
    return opened


def _may_go(file: str, halt: threading.Event, alive: Callable[[], None]) -> bool:
    """Wait for `file`, if one is named. False: told to stop meanwhile."""
    while file and not os.path.exists(file):
        alive()
        if halt.wait(LOOK_AGAIN):
            return False
    return True


def _relay(stop: threading.Event, halt: threading.Event) -> None:
    """Pass the wish to stop on; our own event is separate, so that a failure does not look like a wish."""
    while not halt.is_set():
        if stop.wait(TURN):
            halt.set()


def _run_all(producers: Sequence[Producer], halt: threading.Event) -> None:
    failures: list[BaseException] = []

    def run(producer: Producer) -> None:
        try:
            producer.run()
        except BaseException as e:
            failures.append(e)
            halt.set()

    threads = [
        threading.Thread(target=run, args=(p,), name=f"camera-{p.job.camera}", daemon=True) for p in producers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive() and not halt.is_set():
            thread.join(TURN)
    for thread in threads:
        thread.join(STOP_PATIENCE)
        if thread.is_alive():
            log.warning("%s does not stop: leaving it behind", thread.name)
    if failures:
        first = failures[0]
        if not isinstance(first, EmotionError):
            log.error("a camera failed unexpectedly", exc_info=first)
        raise first
