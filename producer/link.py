"""How a producer talks to its streams: what it needs of them, its camera's lease, patience with the server."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from redis.exceptions import RedisError

from producer.jpeg import to_jpeg
from producer.source import Context, Picture, Source
from shared.connection import FIRST_WAIT, LONGEST_WAIT
from shared.errors import EmotionError
from shared.log import first_line
from shared.messages import OK, Frame, FrameInfo, Mode, Outcome
from shared.options import ProducerOptions
from shared.streams import Flown

log = logging.getLogger(__name__)
T = TypeVar("T")

LEASE_TTL = 5.0
LEASE_PATIENCE = 6.0
"""Seconds to wait for a lease, and for the server at the start: a killed producer's lease runs out meanwhile."""


class Streams(Protocol):
    """What a producer needs of `shared.streams.Streams`."""

    def lease(self, name: str, token: str, ttl: float) -> bool: ...
    def release(self, name: str, token: str) -> None: ...
    def position(self, camera: str, epoch: str) -> int: ...
    def append_frame(self, frame: Frame, token: str, max_entries: int | None = None) -> str | None: ...
    def finish(self, camera: str, epoch: str, count: int) -> None: ...
    def done(self, camera: str, epoch: str) -> int | None: ...
    def flight(self, camera: str) -> list[Flown]: ...
    def land(self, camera: str, frames: Sequence[Flown]) -> None: ...
    def memory_limit(self) -> int: ...
    def replicated(self, replicas: int) -> bool: ...


class Stopped(Exception):
    """The producer was told to stop while it waited."""


@dataclass(slots=True)
class Job:
    """One camera to be produced: its source, its streams, and who we are. Used by one thread at a time."""

    source: Source
    streams: Streams
    options: ProducerOptions
    mode: Mode
    context: Context
    epoch: str
    token: str

    @property
    def camera(self) -> str:
        return self.source.name

    @property
    def lease_name(self) -> str:
        return f"camera:{self.camera}"

    def frame(self, picture: Picture, seq: int, media_time: float) -> Frame:
        """The message for one picture; one that cannot be shown travels as an error and keeps its place."""
        outcome, jpeg, width, height = OK, b"", 0, 0
        if picture.error is None:
            try:
                made = to_jpeg(picture, self.options.max_width, self.options.jpeg_quality)
                jpeg, width, height = made.data, made.width, made.height
            except ValueError as e:
                name = Path(picture.source or self.source.url).name
                outcome = Outcome.error(f"{name}: cannot be decoded: {e}")
        else:
            outcome = Outcome.error(picture.error)
        if outcome is not OK:
            self.context.observer.errors(1)
            log.warning("camera %s, frame %d: %s", self.camera, seq, outcome.reason)
        info = FrameInfo(
            camera=self.camera,
            source=picture.source or self.source.url,
            epoch=self.epoch,
            seq=seq,
            captured_at=picture.captured_at,
            media_time=media_time,
            width=width,
            height=height,
            mode=self.mode,
            still=picture.still,
        )
        return Frame(info, jpeg, outcome=outcome)

    def hold_lease(self) -> None:
        """Take or renew the leases at once: that of the camera, and that of the mode, which all producers of one
        mode share. Live frames are trimmed by length, which must not happen to lossless ones.

        Raises:
            EmotionError: another producer has the camera, or others write frames in the other mode.
        """
        if not hold_mode(self.streams, self.mode):
            raise EmotionError(
                f"camera {self.camera}: other producers of this namespace are not {self.mode}, and both modes"
                " cannot share one: use another --namespace"
            )
        if not self.streams.lease(self.lease_name, self.token, LEASE_TTL):
            raise EmotionError(f"camera {self.camera} is in use by another producer")

    def wait_for_lease(self) -> None:
        """Take the lease, waiting for that of a producer that has died.

        Raises:
            EmotionError: another producer uses this camera, or the server cannot be reached.
            Stopped: told to stop meanwhile.
        """
        deadline = time.monotonic() + LEASE_PATIENCE
        while True:
            try:
                self.hold_lease()
                return
            except EmotionError:
                if time.monotonic() > deadline:
                    raise
            except RedisError as e:
                if time.monotonic() > deadline:
                    raise EmotionError(f"Redis cannot be reached: {first_line(e)}") from e
            self.context.alive()
            if self.context.stop.wait(0.1):
                raise Stopped

    def patiently(self, call: Callable[[], T]) -> T:
        """What `call` returns, tried again, with growing pauses, while the server is away. `call` may run twice.

        Raises:
            Stopped: told to stop meanwhile.
        """
        wait = FIRST_WAIT
        while True:
            try:
                result = call()
            except RedisError as e:
                level = logging.WARNING if wait == FIRST_WAIT else logging.DEBUG
                log.log(level, "camera %s: Redis: %s; waiting for it", self.camera, first_line(e))
                self.pause(wait)
                wait = min(wait * 2, LONGEST_WAIT)
            else:
                if wait > FIRST_WAIT:
                    log.info("camera %s: Redis answers again", self.camera)
                return result

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: told to stop meanwhile.
        """
        self.context.alive()
        if self.context.stop.wait(seconds):
            raise Stopped


class Keeper(threading.Thread):
    """Renews the leases of all cameras of a process, also while one waits long for a picture or for room."""

    def __init__(self) -> None:
        super().__init__(name="leases", daemon=True)
        self._jobs: list[tuple[Job, Streams]] = []
        self._end = threading.Event()

    def keep(self, job: Job, streams: Streams) -> None:
        """From now on renew the leases of `job` over `streams`, which nobody else uses meanwhile."""
        self._jobs.append((job, streams))

    def run(self) -> None:
        while not self._end.wait(LEASE_TTL / 4):
            for job, streams in tuple(self._jobs):
                # An error is reported by the camera's own thread.
                with contextlib.suppress(RedisError):
                    if hold_mode(streams, job.mode):
                        streams.lease(job.lease_name, job.token, LEASE_TTL)

    def end(self) -> None:
        """Stop renewing, and give the leases back where the server answers."""
        self._end.set()
        if self.ident is not None:
            self.join(LEASE_TTL)
        try:
            for job, streams in self._jobs:
                streams.release(job.lease_name, job.token)
        except RedisError:
            log.debug("leases are left to run out: the server is away")


def hold_mode(streams: Streams, mode: Mode) -> bool:
    """Take or renew the lease on the way frames are written here. It is never given back, because others may hold
    it, too: it runs out."""
    return streams.lease("mode", mode, LEASE_TTL)
