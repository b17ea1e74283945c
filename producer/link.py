"""How a producer talks to its streams: what it needs of them, its camera's lease, patience with the server."""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from redis.exceptions import RedisError

from emotion_stream.producer.cameras.listen import Ear
from emotion_stream.producer.pace import Budget
from emotion_stream.producer.pictures.jpeg import to_jpeg
from emotion_stream.producer.pictures.source import Context, Picture, Source
from emotion_stream.producer.signals import Signals
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import first_line
from emotion_stream.shared.messages.camera import GENERAL, CameraSettings
from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.sound import Sound
from emotion_stream.shared.messages.types import OK, Frame, FrameInfo, Mode, Outcome
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.streams.connection import FIRST_WAIT, LONGEST_WAIT
from emotion_stream.shared.streams.frames import Flown

log = logging.getLogger(__name__)
T = TypeVar("T")

LEASE_TTL = 5.0
LINGER = 0.1
"""Seconds between two looks at whether the last frames of a camera have been shown."""
ARRIVE_SECONDS = 5.0
"""Seconds after which live frames do not arrive any more."""
TURN = 0.25
"""Seconds between two looks at whether there is something to pass on."""
LEASE_PATIENCE = 6.0
"""Seconds to wait for a lease, and for the server at the start: a killed producer's lease runs out meanwhile."""


class Streams(Protocol):
    """What a producer needs of `shared.streams.Streams`."""

    def lease(self, name: str, token: str, ttl: float) -> bool:
        """Take or renew a lease for `ttl` seconds; False: somebody else holds it."""
        ...

    def release(self, name: str, token: str) -> None:
        """Give a lease back."""

    def close(self) -> None:
        """Hang up."""

    def standing(self, camera: str) -> tuple[str, bool]:
        """The epoch of the camera's newest frame, empty where there is none; and whether it was let go since."""
        ...

    def take_on(self, camera: str, *, anew: bool) -> None:
        """Say that a camera is there; `anew`: and has not come to its end."""

    def let_go(self, camera: str, epoch: str, count: int) -> None:
        """Say that a camera is let go for good after `count` frames."""

    def position(self, camera: str, epoch: str) -> int:
        """The seq that comes next; 0 if nothing was appended."""
        ...

    def append_frame(self, frame: Frame, token: str, max_entries: int | None = None) -> str | None:
        """Append a frame and return its stream id; None: this seq has been appended before."""
        ...

    def append_sound(self, sound: Sound) -> None:
        """Append sound of a camera."""

    def skip_frames(self, camera: str, epoch: str, seq: int, next_seq: int, token: str) -> None:
        """Tell the sinks that the frames from `seq` to before `next_seq` will not come."""

    def finish(self, camera: str, epoch: str, count: int) -> None:
        """Tell the sinks that a camera has ended after `count` frames."""

    def done(self, camera: str, epoch: str) -> int | None:
        """How far the slowest sink is; None: there is none."""
        ...

    def flight(self, camera: str) -> list[Flown]:
        """The frames that were appended and not yet shown by every sink."""
        ...

    def land(self, camera: str, frames: Sequence[Flown]) -> None:
        """Delete frames that every sink has shown."""

    def memory_limit(self) -> int:
        """Bytes that the server may hold; 0: no limit."""
        ...

    def tell_signal(self, camera: str, signal: Signal) -> None:
        """Tell the sinks how a camera does."""

    def arrived(self, camera: str, epoch: str) -> tuple[int, int] | None:
        """How many frames have come out of the pipeline, and how many ever that had been dropped; None: nobody has
        told."""
        ...

    def replicated(self, replicas: int) -> bool:
        """Whether so many replicas have what was written."""
        ...


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
    seen: Callable[[], None] = lambda: None
    """Called with each picture that the source has delivered, in live mode."""
    last: float | None = None
    """Media time of the last frame that was made."""
    display_name: str = ""
    """What people call the camera; empty: as the source is named."""
    phase: float = 0.0
    """See `Pace`."""
    settings: CameraSettings = GENERAL
    """What travels with its frames. May be replaced at any time; the next frame has the new ones."""
    ear: Ear | None = None
    """Hears the camera, where its sound is wanted."""
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        self.budget = Budget(self.options.analyze_fps)

    @property
    def camera(self) -> str:
        """Name of the camera."""
        return self.source.name

    @property
    def _budget_phase(self) -> float:
        """Where frames are capped, their slots and the budget's must be the same."""
        return self.phase if self.mode == "live" and not self.options.fps else 0.0

    @property
    def lease_name(self) -> str:
        """Name of the lease that only one producer of this camera holds."""
        return f"camera:{self.camera}"

    def frame(self, picture: Picture, seq: int, media_time: float, left_out: int = 0) -> Frame:
        """The message for one picture, before which `left_out` were left out. One that cannot be shown travels as
        an error and keeps its place."""
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
        interval = 1 / (self.source.rate or math.inf) if self.last is None else media_time - self.last
        self.last = media_time
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
            interval=max(0.0, interval),
            length=picture.length,
            analyzed=picture.still or self.budget.allows(media_time, self._budget_phase),
            gap=picture.gap,
            left_out=left_out,
            display_name=self.display_name,
            settings=self.settings,
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

    def wait_for_lease(self, before: Callable[[], None] = lambda: None) -> None:
        """Take the lease, waiting for that of a producer that has died. `before` is called before each try.

        Raises:
            EmotionError: another producer uses this camera, or the server cannot be reached.
            Stopped: told to stop meanwhile.
        """
        deadline = time.monotonic() + LEASE_PATIENCE
        while True:
            try:
                before()
                self.hold_lease()
                self.streams.take_on(self.camera, anew=self.mode == "live")
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
    """Renews the leases of all cameras of a process, also while one waits long for a picture or for room, and
    passes on how they do."""

    def __init__(self, signals: Signals) -> None:
        super().__init__(name="leases", daemon=True)
        self._signals = signals
        self._jobs: dict[str, tuple[Job, Streams]] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()

    def keep(self, job: Job, streams: Callable[[str], Streams]) -> None:
        """From now on renew the leases of `job`, over `streams` of our own; of a camera that is kept already, over
        those that it has."""
        kept = self._jobs.get(job.camera)
        own = kept[1] if kept else streams(job.camera)
        with self._lock:
            self._jobs[job.camera] = job, own

    def kept(self, camera: str) -> Job | None:
        """What was produced last under the lease of a camera; None: there is none."""
        with self._lock:
            found = self._jobs.get(camera)
            return found and found[0]

    def hush(self, camera: str) -> None:
        """Tell no more of how a camera does; nothing is on its way to the server when this returns."""
        with self._lock:
            self._signals.forget(camera)

    def drop(self, camera: str) -> None:
        """Give the lease of a camera back, if the server answers, and renew it no more."""
        with self._lock:
            kept = self._jobs.pop(camera, None)
        if kept is not None:
            with contextlib.suppress(RedisError):
                kept[1].release(kept[0].lease_name, kept[0].token)
            kept[1].close()

    def run(self) -> None:
        """Renew the leases until `stop` is called."""
        due = 0.0
        while not self._end.wait(TURN):
            self._signals.remind()
            lease = time.monotonic() >= due
            due = time.monotonic() + LEASE_TTL / 4 if lease else due
            for camera in tuple(self._jobs):
                # An error is reported by the camera's own thread.
                with self._lock, contextlib.suppress(RedisError):
                    if camera not in self._jobs:
                        continue
                    job, streams = self._jobs[camera]
                    if lease and hold_mode(streams, job.mode):
                        streams.lease(job.lease_name, job.token, LEASE_TTL)
                    self._pass_on(camera, streams)

    def _pass_on(self, camera: str, streams: Streams) -> None:
        signal = self._signals.news(camera)
        if signal is not None:
            streams.tell_signal(camera, signal)
            self._signals.sent(camera, signal)

    def end(self) -> None:
        """Stop renewing, and give the leases back where the server answers."""
        self._end.set()
        if self.ident is not None:
            self.join(LEASE_TTL)
        try:
            for job, streams in self._jobs.values():
                self._pass_on(job.camera, streams)
                streams.release(job.lease_name, job.token)
        except RedisError:
            log.debug("leases are left to run out: the server is away")


def hold_mode(streams: Streams, mode: Mode) -> bool:
    """Take or renew the lease on the way frames are written here. It is never given back, because others may hold
    it, too: it runs out."""
    return streams.lease("mode", mode, LEASE_TTL)


def let_go(job: Job) -> None:
    """Wait until what is on its way of a camera has been shown, in lossless mode delete it, and say that no more
    will come, for good.

    Raises:
        Stopped: told to stop meanwhile.
    """
    camera, epoch, until = job.camera, job.epoch, time.monotonic() + ARRIVE_SECONDS
    while True:
        count = job.patiently(lambda: job.streams.position(camera, epoch))
        done = job.patiently(lambda: job.streams.done(camera, epoch))
        shown = count if done is None else done  # else nobody is there who would show them
        if job.mode == "lossless":
            flown = job.patiently(lambda: job.streams.flight(camera))
            landed = [frame for frame in flown if frame.epoch != epoch or frame.seq < shown]
            job.patiently(partial(job.streams.land, camera, landed))
        if shown >= count or (job.mode == "live" and time.monotonic() > until):
            break
        job.pause(LINGER)
    job.patiently(lambda: job.streams.let_go(camera, epoch, count))
