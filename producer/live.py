"""Live mode: newest wins. Frames are appended as they come; while the server is away they are dropped."""

import logging
import secrets
import time
from dataclasses import replace

from redis.exceptions import RedisError

from emotion_stream.producer.link import Job
from emotion_stream.producer.pace import Pace
from emotion_stream.producer.pictures.source import Picture
from emotion_stream.producer.window import Window
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import first_line
from emotion_stream.shared.messages.sound import Sound
from emotion_stream.shared.messages.types import LEFT_OUT, MAX_LEFT_OUT, Frame, FrameInfo, Outcome
from emotion_stream.shared.streams.connection import FIRST_WAIT, LONGEST_WAIT

log = logging.getLogger(__name__)

OVERHEAD = 512
"""Bytes that an entry takes in Redis beside its JPEG."""
REASON = "redis"
"""Why frames are dropped while the server is away, or refuses them."""
SMOOTHING = 0.1
"""Weight of the newest frame in the average size."""


def new_epoch() -> str:
    """A name for this start of a producer, unlike any other."""
    return f"{int(time.time() * 1000):x}-{secrets.token_hex(4)}"


def run_live(job: Job) -> None:
    """Produce one opened source until it ends or the producer is told to stop.

    Raises:
        EmotionError: the source failed for good, or another producer has taken the camera over.
    """
    feed = LiveFeed(job)
    recorded = job.source.rate is not None
    pace = Pace(job.context.stop, job.options.fps, recorded, job.phase, job.source.rate)
    offset = media_time = 0.0
    fresh = False
    gap = 0.0
    while not job.context.stop.is_set():
        pace.before_read()
        picture = job.source.read()
        job.context.alive()
        if picture is None:
            if not (job.options.loop and fresh) or job.context.stop.is_set():
                break
            job.source.open()
            fresh = False
            offset = media_time + 1 / job.source.rate if job.source.rate else 0.0
            continue
        fresh = True
        job.seen()
        feed.pass_sound_on()
        media_time = offset + picture.media_time
        gap += picture.gap
        if not job.options.fps:  # else they are left out because somebody wants it
            feed.leave_out(picture.skipped)
        if pace.admit(media_time) and not job.context.stop.is_set():
            if feed.crowded():
                feed.leave_out(1)
                continue
            picture, gap = replace(picture, gap=gap), 0.0
            if recorded:
                picture = replace(picture, captured_at=time.time())  # it has waited for its turn
            feed.put(picture, media_time)
    feed.finish()


class LiveFeed:
    """Appends the frames of one camera, numbered without gaps, and keeps the stream within its bytes."""

    def __init__(self, job: Job) -> None:
        self.seq = 0
        self._job = job
        self._size: float | None = None
        self._room: int | None = None
        self._away = False
        self._retry_at = 0.0
        self._wait = FIRST_WAIT
        self._in_doubt = 0
        self._left_out = 0
        self._window = Window()
        self._lost = 0
        self._untold = 0
        self._info: FrameInfo | None = None
        self._deaf = False

    def put(self, picture: Picture, media_time: float) -> None:
        """Append one picture, or drop it while the server is away.

        Raises:
            EmotionError: another producer has taken the camera over.
        """
        if (self._away or self._untold) and not self._back():
            self._drop()
            return
        job, step = self._job, self._left_out + 1
        frame = job.frame(picture, self.seq + self._left_out, media_time, self._left_out)
        self._info = frame.info
        try:
            limit = self._entries(len(frame.jpeg))
            if job.streams.append_frame(frame, job.token, limit) is None:
                # Cannot be unless somebody wrote in our name; begin anew rather than argue.
                self._begin_anew()
                self._drop()
                return
        except RedisError as e:
            self._in_doubt = step
            self._leave(e)
        except EmotionError:
            # Ours ran out while this process stood still, or the server forgot it. If it is free, go on.
            self._drop()
            self._away, self._retry_at = True, 0.0
            self._back()
        else:
            self._appended(step)

    def _appended(self, step: int) -> None:
        self.seq += step
        self._left_out = 0
        self._window.sent(self.seq, time.monotonic())
        self._job.context.observer.frames(1)

    def leave_out(self, count: int) -> None:
        """Leave so many pictures out, because they came faster than they are worked off. The next frame tells."""
        self._left_out = min(self._left_out + count, MAX_LEFT_OUT)
        if count:
            self._job.context.observer.dropped(LEFT_OUT, count)

    def pass_sound_on(self) -> None:
        """Append what was heard. What the server does not take is lost; frames do not wait for it."""
        job = self._job
        if job.ear is None or self._away:
            return
        for track, pieces in job.ear.take():
            try:
                job.streams.append_sound(Sound(job.camera, job.epoch, track, pieces))
            except RedisError as e:
                if not self._deaf:
                    log.warning("camera %s: Redis: %s; sound is lost", job.camera, first_line(e))
                self._deaf = True
                return
            self._deaf = False

    def crowded(self) -> bool:
        """Whether the pipeline has enough to do with the frames of this camera that it has."""
        now = time.monotonic()
        if self._away or not self._window.wants_look(now):
            return False
        try:
            told = self._job.streams.arrived(self._job.camera, self._job.epoch)
        except RedisError:
            return False  # appending will find out what the matter is
        return self._window.is_full(told, now)

    def finish(self) -> None:
        """Say how many frames there were, if the server listens."""
        job = self._job
        try:
            if self._away or self._untold:
                self._resume(last=True)
            if self._left_out and self._info is not None:
                seq, before = self.seq + self._left_out - 1, self._left_out - 1
                info = replace(self._info, epoch=job.epoch, seq=seq, left_out=before, captured_at=time.time())
                last = Frame(info, b"", outcome=Outcome.dropped(LEFT_OUT))
                job.streams.append_frame(last, job.token, self._entries(0))
                self.seq += self._left_out
            job.streams.finish(job.camera, job.epoch, self.seq)
        except (RedisError, EmotionError) as e:
            if self._in_doubt:
                self._drop()
            also = f"; {self._untold} frames before it were dropped, and are in no summary" if self._untold else ""
            log.warning("camera %s: its end could not be told: %s%s", job.camera, first_line(e), also)

    def _entries(self, size: int) -> int:
        """How many entries of about this size may stay in the stream: half of the server's memory at the most."""
        if self._room is None:
            options, limit = self._job.options, self._job.streams.memory_limit()
            self._room = min(options.frames_bytes, limit // 2) if limit else options.frames_bytes
        size += OVERHEAD
        average = size if self._size is None else self._size + SMOOTHING * (size - self._size)
        self._size = average
        return max(1, int(self._room / max(average, size)))

    def _leave(self, error: RedisError) -> None:
        if not self._away:
            log.warning("camera %s: Redis: %s; frames are dropped", self._job.camera, first_line(error))
        self._away = True
        self._retry_at = time.monotonic() + self._wait
        self._wait = min(self._wait * 2, LONGEST_WAIT)

    def _back(self) -> bool:
        """Try to go on, when it is time to."""
        if time.monotonic() < self._retry_at:
            return False
        try:
            self._resume()
        except RedisError as e:
            self._leave(e)
            return False
        return True

    def _resume(self, *, last: bool = False) -> None:
        """Hold the lease again, find out whether the frame in doubt was appended, and pass over those that were
        not, so that the sink counts them. After the `last` frame no other would show it the gap: one of them is
        sent as dropped."""
        job = self._job
        job.hold_lease()
        position = job.streams.position(job.camera, job.epoch)
        if self._in_doubt:
            step, self._in_doubt = self._in_doubt, 0
            if position == self.seq + step:
                self._appended(step)
            else:
                self._drop()
        if position < self.seq:
            log.warning("camera %s: Redis has lost its memory; beginning anew", job.camera)
            self._begin_anew()
        if self._untold:
            next_seq = self.seq + self._untold
            sent = next_seq - (last and self._info is not None)
            job.streams.skip_frames(job.camera, job.epoch, self.seq, sent, job.token)
            if sent < next_seq and self._info is not None:
                info = replace(self._info, epoch=job.epoch, seq=sent, captured_at=time.time())
                job.streams.append_frame(
                    Frame(info, b"", outcome=Outcome.dropped(REASON)), job.token, self._entries(0)
                )
            self.seq, self._untold = next_seq, 0
        if self._lost:
            log.info("camera %s: Redis answers again; %d frames were dropped", job.camera, self._lost)
        self._away, self._wait, self._lost, self._room = False, FIRST_WAIT, 0, None

    def _begin_anew(self) -> None:
        self._job.epoch, self.seq = new_epoch(), 0
        self._window.begin_anew()

    def _drop(self) -> None:
        self._lost += 1
        self._untold += 1
        self._job.context.observer.dropped(REASON, 1)
