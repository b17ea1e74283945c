"""The producer's loop: one thread for each camera, all or nothing at the start, no silent failure afterwards."""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from emotion_stream.producer.cameras.source import FIRST_WAIT, LONGEST_WAIT
from emotion_stream.producer.link import Job, Keeper, Stopped, Streams
from emotion_stream.producer.live import new_epoch, run_live
from emotion_stream.producer.lossless import run_lossless
from emotion_stream.producer.pictures.source import Context, Nobody, Observer, Source
from emotion_stream.producer.roll import Roll
from emotion_stream.producer.signals import Signals
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import SourceSpec, plan
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import first_line
from emotion_stream.shared.messages.camera import GENERAL, CameraSettings
from emotion_stream.shared.messages.signal import State
from emotion_stream.shared.messages.types import Mode
from emotion_stream.shared.settings.cameras import Camera
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.streams.access import holding

log = logging.getLogger(__name__)

TURN = 0.05
LOOK_AGAIN = 0.01
LATE = 5.0
"""Seconds that a camera may take to be opened again before it counts as away."""
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
        roll: Roll | None = None,
        settings: CameraSettings = GENERAL,
    ) -> None:
        """With a `roll` the source is opened by `run`, and tried again for as long as it takes. `options` are
        those of this camera; `settings` travel with its frames."""
        epoch = options.run_id if mode == "lossless" and options.run_id else new_epoch()
        token = name or secrets.token_hex(8)
        if mode == "lossless":
            token = holding(token, epoch)
        self.job = Job(source, streams, options, mode, context, epoch, token, settings=settings)
        self.roll = roll
        self._start = 0
        if roll is not None:
            # A recording sets its own pace, and may be a picture a day.
            recorded = source.mode == "lossless"
            roll.expect(source.name, None if recorded else 2 * options.stall_after + LATE)
            self.job.seen = partial(roll.seen, source.name)

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
            if self.roll is not None:
                self._run_patiently(self.roll)
            elif self.job.mode == "live":
                self._opened()
                run_live(self.job)
                self._ended()
            else:
                self._opened()
                run_lossless(self.job, self._start)
                self._ended()
        except Stopped:
            log.debug("camera %s: stopped", self.job.camera)
        finally:
            self.close()

    def _run_patiently(self, roll: Roll) -> None:
        """Open and produce; whatever fails is tried again with growing pauses."""
        job, wait = self.job, FIRST_WAIT
        while not job.context.stop.is_set():
            started = time.monotonic()
            try:
                job.source.open()
                self._opened()
                run_live(job)
                self._ended()
                roll.ended(job.camera)
                return
            except Stopped:
                raise
            except Exception as e:
                if roll.away(job.camera, first_line(e)) and not isinstance(e, EmotionError):
                    log.warning("camera %s failed unexpectedly", job.camera, exc_info=e)
                job.context.tell(job.camera, "lost", first_line(e), wait)
            if time.monotonic() - started > LONGEST_WAIT:
                wait = FIRST_WAIT
            job.source.close()
            job.context.observer.reconnects()
            job.pause(wait)
            wait = min(wait * 2, LONGEST_WAIT)
            job.epoch, job.last = new_epoch(), None

    def _opened(self) -> None:
        """A recording that is open is there; a camera tells of its pictures itself."""
        if self.job.source.mode == "lossless" or self.job.mode == "lossless":
            self.job.context.tell(self.job.camera, "live")

    def _ended(self) -> None:
        if not self.job.context.stop.is_set():
            self.job.context.tell(self.job.camera, "ended")

    def close(self) -> None:
        """Close the source."""
        self.job.source.close()


def check_recordings(options: ProducerOptions, cameras: Sequence[Camera] = ()) -> None:
    """Open and close every file and folder of `options` and `cameras`, so that a wrong one is told before a run.

    Raises:
        UsageError: the options do not fit together.
        EmotionError: one of them cannot be read.
    """
    mode, specs = plan(options, cameras)
    context = Context(threading.Event(), Nobody())
    for spec in specs:
        if spec.kind in ("video", "pictures"):
            source = make_source(spec, mode, options, context)
            try:
                source.open()
            finally:
                source.close()


def run_producers(
    options: ProducerOptions,
    streams_for: Callable[[str], Streams],
    stop: threading.Event,
    observer: Observer,
    alive: Callable[[], None] = lambda: None,
    name: str = "",
    roll: Roll | None = None,
    signals: Signals | None = None,
    cameras: Sequence[Camera] = (),
) -> None:
    """Produce all sources of `options`, or else those of `cameras`, until they end or `stop` is set. Those that
    `cameras` name have settings of their own.

    With a `roll`, in live mode, a source that cannot be opened or fails is entered there and tried again, and the
    others go on: a camera that is away takes nobody down.

    `signals` is told how each camera does; it reaches Redis, for sinks to show.

    `name` is a name of this process that it keeps over restarts: with it a restarted one need not wait until the
    leases of the one before run out.

    Every camera gets streams of its own, those of its shard, from `streams_for`, and the keeper of its lease
    others. `alive` is called, from any thread, whenever a loop turns. Nothing is appended unless every
    source could be opened, but with a `roll`.

    Raises:
        UsageError: the options are wrong.
        EmotionError: a source cannot be opened, or failed later; the others have been stopped.
    """
    mode, specs = plan(options, cameras, patient=roll is not None)
    if mode != "live":
        roll = None
    halt = threading.Event()
    known = signals or Signals()

    def tell(camera: str, state: State, reason: str | None = None, retry: float | None = None) -> None:
        known.tell(camera, state, reason, retry)
        if roll is not None and state == "lost":
            roll.away(camera, reason or "no signal")

    context = Context(halt, observer, alive, tell)
    tables = {camera.id: camera for camera in cameras}

    def make(spec: SourceSpec) -> Producer:
        table = tables.get(spec.name, Camera(spec.name))
        own = table.over(options)
        source = make_source(spec, mode, own, context)
        return Producer(source, streams_for(spec.name), own, mode, context, name, roll, table.settings)

    producers = [make(spec) for spec in specs]
    for n, (producer, spec) in enumerate(zip(producers, specs, strict=True)):
        producer.job.phase, producer.job.display_name = n / len(producers), spec.display_name
        known.expect(producer.job.camera, producer.job.source.url)
    keeper = Keeper(known)
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
            if producer.roll is None:
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
