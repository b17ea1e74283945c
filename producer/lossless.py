"""Lossless mode: every picture once, at the pipeline's pace; goes on where an earlier producer stopped."""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from emotion_stream.producer.link import LINGER, Job
from emotion_stream.producer.pace import Pace
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import first_line
from emotion_stream.shared.messages.types import Frame
from emotion_stream.shared.streams.connection import LONGEST_WAIT
from emotion_stream.shared.streams.frames import Flown

log = logging.getLogger(__name__)

STEP = 1 / 8
"""Part of the room that is to be used up, or to become free, between two looks."""
LOOK_AGAIN = 0.01
"""Seconds between two looks at how far the sinks are, while there is no room."""
LONG, LOOK_LATER = 64, 0.025
"""The same where so many frames are on their way: there is enough to do meanwhile, and each look costs."""


@dataclass(slots=True)
class Flight:
    """Frames that were appended and not yet shown by every sink.

    `done` is what the sinks last told, when `told` frames had been appended; `known` are those that are to be
    deleted.
    """

    max_frames: int
    max_bytes: int
    next_seq: int = 0
    done: int = 0
    told: int = 0
    bytes: int = 0
    known: deque[Flown] = field(default_factory=deque)

    def add(self, frame: Flown) -> None:
        """Note a frame that was appended."""
        self.known.append(frame)
        self.bytes += frame.size
        self.next_seq += 1

    def settle(self, done: int) -> list[Flown]:
        """Note that all frames below `done` have been shown; returns those that can be deleted."""
        self.done, self.told = done, self.next_seq
        landed = []
        while self.known and self.known[0].seq < done:
            landed.append(self.known.popleft())
            self.bytes -= landed[-1].size
        return landed

    def restart(self, seq: int, known: Sequence[Flown]) -> None:
        """Go on with `seq` where an earlier producer stopped, or where the server's memory ends. `known`: what
        is on its way."""
        self.next_seq, self.done, self.told = seq, 0, 0
        self.known = deque(known)
        self.bytes = sum(frame.size for frame in known)

    def filled(self, part: float = 1.0) -> bool:
        """Whether this part of the room is taken."""
        frames = self.next_seq - self.done
        return frames >= part * self.max_frames or self.bytes >= part * self.max_bytes

    def ripe(self) -> bool:
        """Whether it is time to look how far the sinks are: often enough to keep memory well below the limit,
        seldom enough to cost no round trip for each frame."""
        return self.filled(0.5) and (self.filled() or self.next_seq - self.told >= STEP * self.max_frames)


def run_lossless(job: Job, start: int) -> None:
    """Produce one source, opened at picture number `start`, to its end.

    Raises:
        EmotionError: the source failed, or another producer has taken the camera over.
        Stopped: told to stop before the end.
    """
    flight = Flight(job.options.in_flight, job.options.in_flight_bytes)
    if start:
        flight.restart(start, _left(job, start))
    pace = Pace(job.context.stop, None, recorded=job.options.paced)
    while not job.context.stop.is_set():
        _wait_for_room(job, flight)
        picture = job.source.read()
        if picture is None:
            if job.context.stop.is_set() or _finish(job, flight):
                return
            continue
        job.context.alive()
        pace.admit(picture.media_time)
        frame = job.frame(picture, flight.next_seq, picture.media_time)
        if _append(job, flight, frame):
            job.context.observer.frames(1)


def _wait_for_room(job: Job, flight: Flight) -> None:
    if flight.ripe():
        _look(job, flight)
    least = 1.0
    while flight.filled(least):
        least = 1 - STEP
        job.pause(LOOK_LATER if flight.max_frames >= LONG else LOOK_AGAIN)
        # A server that was emptied meanwhile would keep us waiting for ever.
        position = job.patiently(lambda: job.streams.position(job.camera, job.epoch))
        if position != flight.next_seq:
            _go_back(job, flight, position)
        _look(job, flight)


def _go_back(job: Job, flight: Flight, position: int) -> None:
    """The server has forgotten frames: send them again. Sinks leave out what they have shown before."""
    log.warning("camera %s: Redis knows %d frames, not %d: going back", job.camera, position, flight.next_seq)
    flight.restart(position, _flying(job))
    job.source.open(position)


def _flying(job: Job) -> list[Flown]:
    """The frames of this run that an earlier producer, or an append without an answer, has sent."""
    flown = job.patiently(lambda: job.streams.flight(job.camera))
    return [frame for frame in flown if frame.epoch == job.epoch]


def _left(job: Job, start: int) -> list[Flown]:
    """What is on its way when the run goes on with `start`. Later frames were thrown away by a sink, because
    another run had come between: they are sent again, and their first copies deleted."""
    flown = _flying(job)
    job.patiently(lambda: job.streams.land(job.camera, [frame for frame in flown if frame.seq >= start]))
    return [frame for frame in flown if frame.seq < start]


def _look(job: Job, flight: Flight) -> int | None:
    """Ask how far the sinks are and delete what they have shown."""
    done = job.patiently(lambda: job.streams.done(job.camera, job.epoch))
    landed = flight.settle(done or 0)
    if landed:
        job.patiently(lambda: job.streams.land(job.camera, landed))
    return done


def _append(job: Job, flight: Flight, frame: Frame) -> bool:
    """Append the frame, once, whatever happens in between. False: the server had forgotten earlier frames, and
    the source was opened anew to send them again."""
    wait = LOOK_AGAIN
    while True:
        try:
            stream_id = job.streams.append_frame(frame, job.token, None)
        except (RedisError, EmotionError) as e:
            # It may have been appended or not: the position tells. A lease that only ran out is taken again.
            level = logging.WARNING if wait == LOOK_AGAIN else logging.DEBUG
            log.log(level, "camera %s: %s; trying again", job.camera, first_line(e))
        else:
            if stream_id is not None:
                flight.add(Flown(job.epoch, flight.next_seq, stream_id, len(frame.jpeg)))
                _wait_for_replicas(job)
                return True
        position = job.patiently(lambda: _reclaim(job))
        if position == flight.next_seq + 1:
            flight.restart(position, _flying(job))
            return True
        if position != flight.next_seq:
            _go_back(job, flight, position)
            return False
        job.pause(wait)
        wait = min(wait * 2, LONGEST_WAIT)
        _look(job, flight)  # what is shown can go: perhaps the server's memory is full


def _wait_for_replicas(job: Job) -> None:
    """Until as many replicas as wanted have what was written. If the master dies meanwhile, the next append finds
    out whether its successor knows the frame."""
    wanted = job.options.replicas
    told = False
    while wanted and not job.patiently(lambda: job.streams.replicated(wanted)):
        if not told:
            log.warning("camera %s: fewer than %d replicas answer; waiting for them", job.camera, wanted)
        told = True
        job.pause(LOOK_AGAIN)


def _reclaim(job: Job) -> int:
    """Hold the lease again; returns the seq that comes next."""
    job.hold_lease()
    return job.streams.position(job.camera, job.epoch)


def _finish(job: Job, flight: Flight) -> bool:
    """Tell the end, then wait for the last frames to be shown, to delete them. False: the server had forgotten
    frames, and the source was opened anew to send them again."""
    count = flight.next_seq
    job.patiently(lambda: job.streams.finish(job.camera, job.epoch, count))
    _wait_for_replicas(job)
    log.info("camera %s: all %d frames are sent", job.camera, count)
    while flight.known:
        position = job.patiently(lambda: job.streams.position(job.camera, job.epoch))
        if position != count:
            _go_back(job, flight, position)
            return False
        if _look(job, flight) is None:
            return True  # nobody is there who would show them
        if flight.known:
            job.pause(LINGER)
    # What earlier runs of this camera left behind when they were killed: it was shown before, or never will be.
    left = job.patiently(lambda: job.streams.flight(job.camera))
    job.patiently(lambda: job.streams.land(job.camera, left))
    return True
