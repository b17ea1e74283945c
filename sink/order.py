"""Restores the order of frames per camera. Pure: it has no clock and no streams of its own."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from emotion_stream.shared.messages.types import Emotions

CAPACITY = 256
"""Messages held per live camera before the oldest gap is given up early."""
_OPEN_EPOCHS = 8
_KNOWN_EPOCHS = 1024


@dataclass(frozen=True, slots=True)
class Released:
    """What may be shown or acknowledged now.

    Attributes:
        camera, epoch: whose it is.
        message: the next frame in order; None for a gap or a duplicate.
        ids: stream ids to acknowledge once `message` is shown.
        missing: frames that were given up here, just before whatever is released next.
        left_out: frames that the producer left out here.
    """

    camera: str
    epoch: str
    message: Emotions | None
    ids: tuple[str, ...] = ()
    missing: int = 0
    left_out: int = 0


@dataclass(slots=True)
class _Held:
    """`message` is None for a frame that its producer has left out."""

    message: Emotions | None
    ids: list[str]
    arrived: float


@dataclass(slots=True)
class _Lane:
    """One epoch of one camera. `held` is in the order of arrival; `mark` is the stream id of one of its frames."""

    epoch: str
    next_seq: int
    mark: tuple[int, int] | None
    live: bool
    first: float
    last: float = float("-inf")
    begun: bool = False
    held: dict[int, _Held] = field(default_factory=dict)

    def ready(self, camera: str) -> Iterator[Released]:
        while (item := self.held.pop(self.next_seq, None)) is not None:
            self.next_seq += 1
            yield Released(camera, self.epoch, item.message, tuple(item.ids), left_out=int(item.message is None))

    def skip(self, camera: str) -> Iterator[Released]:
        """Give up the frames before the first one held, and release what follows."""
        seq = min(self.held)
        if seq > self.next_seq:
            yield Released(camera, self.epoch, None, missing=seq - self.next_seq)
        self.next_seq = seq
        yield from self.ready(camera)


class Reorder:
    """Restores the order of frames per (camera, epoch); every epoch begins at seq 0 unless resumed.

    Lossless: strictly waits for the next seq; epochs (runs) never discard one another. Live: a frame that is
    missing `hold_back` seconds after a later one came is given up and counted, and so is the rest of an epoch
    `hold_back` seconds after a newer one began. A newer epoch is one whose frames have higher stream ids; it is
    shown after the older one.

    Attributes:
        missing: frames given up so far.
        duplicates: entries so far whose place was taken or had passed; they are only acknowledged.
        arrived: for each camera the epoch, the seq behind the newest frame that came, in order or not, and how
            many of those that came had been dropped.
    """

    def __init__(self, hold_back: float = 1.0, capacity: int = CAPACITY) -> None:
        self.missing = 0
        self.duplicates = 0
        self.arrived: dict[str, tuple[str, int, int]] = {}
        self._hold_back = hold_back
        self._capacity = capacity
        self._lanes: dict[str, list[_Lane]] = {}
        self._starts: dict[str, dict[str, int]] = {}
        self._spare: list[Released] = []

    @property
    def holding(self) -> bool:
        """Whether frames are held back until some time has passed, so that `release` must be called soon even if
        nothing new comes."""
        return any(not x.begun or (x.live and x.held) for lanes in self._lanes.values() for x in lanes)

    def cameras(self) -> set[str]:
        """Live cameras of which frames are held back; those come out soon."""
        return {camera for camera, lanes in self._lanes.items() if any(x.live and x.held for x in lanes)}

    def resume(self, camera: str, epoch: str, next_seq: int) -> None:
        """Continue after a restart: everything of this epoch before `next_seq` has been shown.

        May be called for several epochs of a camera, in any order, before the first `add`.
        """
        self._starts.setdefault(camera, {})[epoch] = next_seq

    def forget(self, camera: str) -> None:
        """This camera is gone, and comes back with another epoch, if ever."""
        self._lanes.pop(camera, None)
        self._starts.pop(camera, None)
        self.arrived.pop(camera, None)

    def position(self, camera: str) -> tuple[str, int] | None:
        """Epoch and next seq of the newest epoch that is being shown; None where nothing is."""
        begun = [lane for lane in self._lanes.get(camera, ()) if lane.begun]
        return (begun[-1].epoch, begun[-1].next_seq) if begun else None

    def add(self, message: Emotions, stream_id: str, now: float) -> None:
        """Take in one entry. `now` is seconds of any clock that `release` is given, too."""
        info = message.info
        lane = self._lane(message, now)
        if lane is None and info.seq >= self._starts.get(info.camera, {}).get(info.epoch, math.inf):
            # It comes when a newer epoch is being shown already: too late, and counted like any that never came.
            self._spare.append(Released(info.camera, info.epoch, None, (stream_id,), missing=1))
            return
        if lane is None or info.seq < lane.next_seq:
            self._drop(info.camera, info.epoch, [stream_id])
            return
        lane.last = now
        epoch, seq, dropped = self.arrived.get(info.camera, ("", 0, 0))
        dropped += message.outcome.status == "dropped"
        self.arrived[info.camera] = info.epoch, max(info.seq + 1, seq if epoch == info.epoch else 0), dropped
        for seq in range(max(lane.next_seq, info.seq - min(info.left_out, self._capacity)), info.seq):
            lane.held.setdefault(seq, _Held(None, [], now))
        held = lane.held.get(info.seq)
        if held is None:
            lane.held[info.seq] = _Held(message, [stream_id], now)
        elif stream_id not in held.ids:  # else: the same entry delivered again, not to be acknowledged yet
            held.ids.append(stream_id)
            self.duplicates += 1

    def release(self, now: float) -> list[Released]:
        """What has come into order by `now`, per camera in order.

        `release(math.inf)` gives up every gap of live cameras, so that a drain shows all that is there.
        """
        out, self._spare = self._spare, []
        for camera, lanes in self._lanes.items():
            self._begin(camera, lanes, now, out)
            for lane in lanes:
                if lane.begun:
                    out += lane.ready(camera)
                    while lane.live and lane.held and self._expired(_oldest(lane), now):
                        out += lane.skip(camera)
            while sum(len(lane.held) for lane in lanes if lane.live) > self._capacity:
                self._shrink(camera, lanes, out)
            while len(lanes) > _OPEN_EPOCHS and not lanes[0].held:
                self._close(camera, lanes, lanes[0], out)
        self.missing += sum(item.missing for item in out)
        return out

    def _expired(self, since: float, now: float) -> bool:
        return now - since >= self._hold_back

    def _lane(self, message: Emotions, now: float) -> _Lane | None:
        """The lane a message belongs to; None if its epoch is over."""
        info, mark = message.info, _mark(message.frame_id)
        lanes = self._lanes.setdefault(info.camera, [])
        for lane in lanes:
            if lane.epoch == info.epoch:
                return lane
        later = [i for i, lane in enumerate(lanes) if mark and lane.mark and lane.mark > mark]
        place = later[0] if later else len(lanes)
        live = info.mode == "live"
        if live and any(lane.begun for lane in lanes[place:]):
            return None
        start = self._starts.get(info.camera, {}).get(info.epoch, 0)
        lanes.insert(place, _Lane(info.epoch, start, mark, live, now))
        return lanes[place]

    def _drop(self, camera: str, epoch: str, ids: list[str]) -> None:
        self.duplicates += 1
        self._spare.append(Released(camera, epoch, None, tuple(ids)))

    def _begin(self, camera: str, lanes: list[_Lane], now: float, out: list[Released]) -> None:
        """Begin newer epochs once the older ones are quiet or, in live mode, overdue."""
        for lane in list(lanes):
            older = lanes[: lanes.index(lane)]
            overdue = lane.live and self._expired(lane.first, now)
            if lane.begun or not all(self._expired(o.last, now) or (overdue and o.live) for o in older):
                continue
            for o in older:
                if o.live:
                    self._close(camera, lanes, o, out)
            lane.begun = True

    def _shrink(self, camera: str, lanes: list[_Lane], out: list[Released]) -> None:
        live = [lane for lane in lanes if lane.live]
        if len(live) > 1:
            self._close(camera, lanes, live[0], out)
            live[1].begun = True
        else:
            live[0].begun = True
            out += live[0].skip(camera)

    def _close(self, camera: str, lanes: list[_Lane], lane: _Lane, out: list[Released]) -> None:
        while lane.held:
            out += lane.skip(camera)
        lanes.remove(lane)
        starts = self._starts.setdefault(camera, {})
        starts[lane.epoch] = lane.next_seq
        if len(starts) > _KNOWN_EPOCHS:
            del starts[next(iter(starts))]


def _oldest(lane: _Lane) -> float:
    return next(iter(lane.held.values())).arrived


def _mark(frame_id: str) -> tuple[int, int] | None:
    """A stream id as two numbers that sort in the order of appending; None for what is no stream id."""
    ms, _, n = frame_id.partition("-")
    return (int(ms), int(n)) if ms.isdecimal() and n.isdecimal() else None
