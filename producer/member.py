"""One camera of a producer: takes it on, opens it, and brings its frames into their stream."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from emotion_stream.producer.cameras.listen import Ear
from emotion_stream.producer.cameras.source import FIRST_WAIT, LONGEST_WAIT
from emotion_stream.producer.changes import Assignment, pass_name
from emotion_stream.producer.link import Job, Stopped, Streams
from emotion_stream.producer.live import new_epoch, run_live
from emotion_stream.producer.lossless import run_lossless
from emotion_stream.producer.pictures.source import Context
from emotion_stream.producer.roll import Roll
from emotion_stream.producer.signals import Signals
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import first_line
from emotion_stream.shared.messages.types import Mode
from emotion_stream.shared.streams.access import holding

log = logging.getLogger(__name__)

LATE = 5.0
"""Seconds that a camera may take to be opened again before it counts as away."""


@dataclass(frozen=True, slots=True)
class Base:
    """What all cameras of a process share.

    Attributes:
        mode: live or lossless.
        run: name of the lossless run.
        holder: by which name this process holds leases.
        streams_for: gives streams of one's own, those of a camera's shard.
        context: of the process; its `stop` ends all cameras.
        signals: is told how cameras do.
        roll: knows which of them are there; None: a camera that is not there at the start ends the process.
    """

    mode: Mode
    run: str
    holder: str
    streams_for: Callable[[str], Streams]
    context: Context
    signals: Signals
    roll: Roll | None


class Producer:
    """Brings one source into its stream: `acquire`, `open`, then `run`, in one thread after the other."""

    def __init__(
        self,
        assignment: Assignment,
        base: Base,
        stop: threading.Event,
        streams: Streams,
        phase: float,
        roll: Roll | None,
        keep: Callable[[Job], None],
    ) -> None:
        """`keep` is called once the camera is ours. With a `roll` the source is opened by `run`, and tried again
        for as long as it takes."""
        options, mode = assignment.options, base.mode
        context = replace(base.context, stop=stop)
        ear = Ear(assignment.spec.name) if options.sound else None
        source = make_source(assignment.spec, mode, options, context, ear=ear)
        epoch = base.run if mode == "lossless" else new_epoch()
        self.assignment = assignment
        self.job = Job(source, streams, options, mode, context, epoch, base.holder)
        self.job.phase, self.job.display_name = phase, assignment.spec.display_name
        self.job.settings, self.job.ear = assignment.settings, ear
        self.held = False
        """Whether the camera is ours."""
        self.roll = roll
        self._keep = keep
        self._base = base
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
        self.job.wait_for_lease(self._settle)
        self._keep(self.job)
        self.held = True

    def _settle(self) -> None:
        """Find out which pass over its files a lossless camera is in."""
        if self.job.mode == "lossless":
            self.job.epoch = pass_name(self._base.run, *self.job.streams.standing(self.job.camera))
            self.job.token = holding(self._base.holder, self.job.epoch)

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
                if not self.held:
                    self.acquire()
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
