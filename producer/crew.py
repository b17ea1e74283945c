"""The cameras of a producer: a thread for each takes it on, changes it and lets it go while others go on."""

import contextlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from redis.exceptions import RedisError

from emotion_stream.producer.cameras.source import LONGEST_WAIT
from emotion_stream.producer.changes import Assignment, compare
from emotion_stream.producer.link import Keeper, Stopped, Streams, let_go
from emotion_stream.producer.member import Base, Producer
from emotion_stream.producer.roll import Roll
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import first_line

log = logging.getLogger(__name__)

STOP_PATIENCE = 5.0
"""Seconds that cameras get to come to an end; then the process leaves them behind."""


@dataclass(slots=True)
class _Post:
    """The place of one camera. `wanted` is what is to be produced there, None: nothing any more; `producer` does
    it, until `stop`, and `over` says that it has come to its end by itself."""

    wanted: Assignment | None
    phase: float
    producer: Producer | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    over: bool = False


class Crew:
    """All cameras of a process. The first ones are all there at the start, or none; others come and go later, and
    what befalls one of those is told, and ends nothing."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._halt = base.context.stop
        self._late_roll = base.roll or Roll()
        self._keeper = Keeper(base.signals)
        self._lock = threading.Lock()
        self._posts: dict[str, _Post] = {}
        self._threads: list[threading.Thread] = []
        self._ready: dict[str, Producer] = {}
        self._assignments: tuple[Assignment, ...] = ()
        self.failures: list[BaseException] = []

    def open(self, assignments: Sequence[Assignment]) -> bool:
        """Lease and open all cameras, or none. False: told to stop meanwhile.

        Raises:
            EmotionError: a source cannot be opened, or another producer uses a camera.
        """
        self._keeper.start()
        self._assignments = tuple(assignments)
        for n, assignment in enumerate(assignments):
            post = _Post(assignment, n / len(assignments))
            with self._lock:  # it may be told to halt already
                self._posts[assignment.name] = post
            streams = self._base.streams_for(assignment.name)
            self._ready[assignment.name] = self._make(assignment, post, streams, self._base.roll)
        producers, opened = self._ready.values(), False
        if self._halt.is_set():
            self.halt()
        try:
            for producer in producers:
                producer.acquire()
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

    def start(self) -> None:
        """Produce from now on."""
        for name, producer in self._ready.items():
            self._begin(name, self._posts[name], producer)
        self._ready.clear()

    @property
    def busy(self) -> bool:
        """Whether anything is produced, or may be."""
        with self._lock:
            return not all(post.over for post in self._posts.values())

    @property
    def empty(self) -> bool:
        """Whether there is no camera at all."""
        with self._lock:
            return not self._posts

    def change(self, assignments: Sequence[Assignment]) -> None:
        """From now on produce these: take on and let go of cameras, and begin those anew that have changed. All
        others go on."""
        change = compare(self._assignments, assignments)
        self._assignments = tuple(assignments)
        self._base.signals.place({camera.name: n for n, camera in enumerate(assignments)})
        with self._lock:
            for name in change.removed:
                self._want(self._posts[name], None)
            for assignment in (*change.added, *change.changed):
                post = self._posts.get(assignment.name)
                if post is not None:
                    self._want(post, assignment)
                    continue  # it is there, or is about to leave
                phase = assignments.index(assignment) / len(assignments)
                post = self._posts[assignment.name] = _Post(assignment, phase)
                self._begin(assignment.name, post, None)
        log.info("cameras: %s", change)

    def halt(self) -> None:
        """End all cameras."""
        self._halt.set()
        with self._lock:
            for post in self._posts.values():
                post.stop.set()

    def close(self) -> None:
        """End all cameras, wait for them, and give leases back.

        Raises:
            EmotionError: one of those that were there at the start failed.
        """
        self.halt()
        for thread in self._threads:
            thread.join(STOP_PATIENCE)
            if thread.is_alive():
                log.warning("%s does not stop: leaving it behind", thread.name)
        self._keeper.end()
        if self.failures:
            first = self.failures[0]
            if not isinstance(first, EmotionError):
                log.error("a camera failed unexpectedly", exc_info=first)
            raise first

    # --- one camera, in its thread ---------------------------------------------------------------------------

    def _begin(self, name: str, post: _Post, ready: Producer | None) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        serve = partial(self._serve, name, post, ready)
        thread = threading.Thread(target=serve, name=f"camera-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _want(self, post: _Post, wanted: Assignment | None) -> None:
        before, post.wanted = post.wanted, wanted
        if before and wanted and post.producer and replace(before, settings=wanted.settings) == wanted:
            post.producer.job.settings = wanted.settings  # they travel with the next frame
            return
        post.over = False
        post.stop.set()

    def _serve(self, name: str, post: _Post, ready: Producer | None) -> None:
        try:
            producer = ready or self._successor(name, post, None)
            while producer is not None:
                self._produce(producer, late=producer is not ready)
                with self._lock:
                    post.over = not post.stop.is_set()
                post.stop.wait()
                producer = self._successor(name, post, producer)
        except BaseException as e:
            self.failures.append(e)
            self.halt()

    def _produce(self, producer: Producer, *, late: bool) -> None:
        """Until its end, or until something else is wanted."""
        if not late:
            producer.run()
            return
        job = producer.job
        try:
            if producer.roll is None:
                producer.acquire()
                producer.open()
            producer.run()
        except Stopped:
            log.debug("camera %s: stopped", job.camera)
        except Exception as e:
            known = isinstance(e, EmotionError)
            log.error("camera %s: %s", job.camera, first_line(e), exc_info=None if known else e)
            job.context.tell(job.camera, "lost", first_line(e))
            with contextlib.suppress(RedisError):
                if producer.held:
                    job.streams.finish(job.camera, job.epoch, job.streams.position(job.camera, job.epoch))
        finally:
            producer.close()

    def _successor(self, name: str, post: _Post, last: Producer | None) -> Producer | None:
        """What is to be produced next at this post; None: nothing, ever. `last` is what was produced before, if
        the camera is still ours."""
        while not self._halt.is_set():
            with self._lock:
                wanted, post.stop = post.wanted, threading.Event()
                if self._halt.is_set():
                    return None  # whoever set it has seen the event before this one
                if wanted is None and last is None:
                    del self._posts[name]
                    return None
            lossless = self._base.mode == "lossless"
            if last is not None and (wanted is None or (lossless and not wanted.goes_on(last.assignment))):
                self._let_go(last)
                last = None
            elif wanted is not None:
                try:
                    streams = last.job.streams if last else self._base.streams_for(name)
                except EmotionError as e:
                    log.warning("camera %s: %s; trying again", name, first_line(e))
                    self._halt.wait(LONGEST_WAIT)
                    continue
                producer = self._make(wanted, post, streams, None if lossless else self._late_roll)
                with self._lock:
                    if post.wanted is not None:  # they may have become others meanwhile
                        producer.job.settings = post.wanted.settings
                return producer
        return None

    def _make(self, assignment: Assignment, post: _Post, streams: Streams, roll: Roll | None) -> Producer:
        base = self._base
        keep = partial(self._keeper.keep, streams=base.streams_for)
        producer = Producer(assignment, base, post.stop, streams, post.phase, roll, keep)
        place = next((n for n, other in enumerate(self._assignments) if other.name == assignment.name), None)
        base.signals.expect(assignment.name, producer.job.source.url, place)
        post.producer = producer
        return producer

    def _let_go(self, producer: Producer) -> None:
        """The camera is not ours any more, once what is on its way has arrived."""
        self._keeper.hush(producer.job.camera)
        self._late_roll.forget(producer.job.camera)
        # One that was changed just before may not have taken it over yet.
        kept = self._keeper.kept(producer.job.camera)
        job = kept or producer.job
        if kept is not None:
            job.context = replace(job.context, stop=self._halt)
            with contextlib.suppress(Stopped):
                let_go(job)
        self._keeper.drop(job.camera)
        job.streams.close()
