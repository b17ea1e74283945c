"""What a viewer gets over one connection, as fast as it can take it: what it misses meanwhile, it skips."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from emotion_stream.shared.words.words import Words
from emotion_stream.sink.events.event import as_json as event_as_json
from emotion_stream.sink.results.output import Result, as_json
from emotion_stream.sink.web.flight import Flight
from emotion_stream.sink.web.hub import Hub
from emotion_stream.sink.web.lane import Lane
from emotion_stream.sink.web.pictures import Gallery

STATUS_EVERY = 1.0
LATE_POLL = 0.1
EARLY = 0.85
"""Share of the time between two pictures after which the next may go: frames do not come on the dot."""
BOUNDARY = "frame"
UNBUFFERED = {"X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform"}
"""Asks proxies to pass a stream on as it comes."""


@dataclass(frozen=True, slots=True)
class Message:
    """`kind` is status, result, timeline, event, picture, restart or end; `body` is the JPEG of a picture."""

    kind: str
    data: Any
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a viewer wants: cameras (none named: all), how wide pictures are at the most, how often, and in which
    language faces are drawn in them; None: they are clean."""

    cameras: frozenset[str] = frozenset()
    results: bool = True
    pictures: bool = False
    width: int = 0
    fps: float = 30.0
    annotated: Words | None = None

    def includes(self, lane: Lane) -> bool:
        """Whether the viewer wants this camera."""
        return not self.cameras or lane.name in self.cameras


class Bell:
    """Wakes all viewers of an event loop; may be rung from any thread, and as often as one likes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._next: asyncio.Future[None] = loop.create_future()
        self._rung = False

    def ring(self) -> None:
        """Wake the viewers; does nothing once their event loop has ended."""
        if not self._rung:
            self._rung = True
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                return  # the loop has ended

    def _wake(self) -> None:
        self._rung = False
        done, self._next = self._next, self._loop.create_future()
        done.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Until it is rung, `seconds` at the most."""
        await asyncio.wait([self._next], timeout=max(0.0, seconds))


def outlines(result: Result) -> list[dict[str, Any]]:
    """What is drawn over the picture of this very frame, for each face; boxes and landmarks in pixels of the whole
    frame. Pure."""
    return [
        {
            "track": face.track,
            "box": [face.box.x, face.box.y, face.box.width, face.box.height],
            "landmarks": face.landmarks and [[round(x, 1), round(y, 1)] for x, y in face.landmarks],
            "emotion": result.emotion(face),
            "confidence": round(face.confidence, 4),
            "uncertain": face.uncertain,
            "missed": face.missed > 0,
        }
        for face in result.drawn
    ]


@dataclass(slots=True)
class _Seen:
    """What a viewer has had of one camera."""

    lane: Lane
    number: int = 0
    shot: int = 0
    due: float = 0.0
    age: int = -1
    closed: int = 0
    told: int = 0


@dataclass(slots=True)
class _Follower:
    hub: Hub
    gallery: Gallery
    wish: Wish
    seen: dict[str, _Seen] = field(default_factory=dict)

    def _of(self, lane: Lane) -> _Seen:
        """What the viewer has had of a camera: nothing of one that has come back."""
        seen = self.seen.get(lane.name)
        if seen is None or seen.lane is not lane:
            seen = self.seen[lane.name] = _Seen(lane)
        return seen

    @property
    def forlorn(self) -> bool:
        """Whether the only camera that the viewer wants has gone."""
        wanted = self.wish.cameras
        return self.wish.annotated is not None and bool(wanted) and not any(self.hub.find(name) for name in wanted)

    def due(self, now: float, over: bool) -> tuple[list[tuple[Lane, _Seen]], float]:
        """The cameras with news whose turn it is, and the seconds until the turn of the next."""
        found = []
        wait = STATUS_EVERY
        for lane in self.hub.lanes():
            seen = self._of(lane)
            if not self.wish.includes(lane) or lane.number <= seen.number:
                continue
            if over or now >= seen.due:
                seen.due = now + EARLY / self.wish.fps
                found.append((lane, seen))
            else:
                wait = min(wait, seen.due - now)
        return found, wait

    async def news(self, lane: Lane, seen: _Seen) -> AsyncIterator[Message]:
        """The newest result and picture of one camera."""
        result, shot, seen.number = lane.result, lane.shot, lane.number
        picture = None
        if self.wish.pictures and shot is not None and shot.number > seen.shot:
            seen.shot = shot.number
            info = shot.result.info
            jpeg = await self.gallery.jpeg(shot, self.wish.width, self.wish.annotated)
            told = {"camera": info.camera, "epoch": info.epoch, "seq": info.seq, "width": info.width}
            # The newest result may be of a later frame: what is to be drawn in this one, the picture says itself.
            told["faces"] = outlines(shot.result)
            picture = Message("picture", told, jpeg)
        if self.wish.results and result is not None:
            yield Message("result", as_json(result))  # only now, so that it comes together with its picture
        if picture is not None:
            yield picture

    def summary(self) -> list[Message]:
        """How the run does, what is new on the timelines, and what has happened."""
        messages = [Message("status", self.hub.status().model_dump())]
        for lane in self.hub.lanes():
            seen = self._of(lane)
            if not self.wish.includes(lane):
                continue
            timeline, points = self.hub.timeline(lane.name, seen.age, seen.closed)
            if points or timeline.age != seen.age:
                told = {"camera": lane.name, "axis": timeline.axis, "anew": timeline.age != seen.age}
                told["points"] = [[at, *(values or ())] for at, values in points]
                seen.age, seen.closed = timeline.age, timeline.closed
                messages.append(Message("timeline", told))
            seen.told, events = self.hub.events(lane.name, seen.told)
            for event in events:
                messages.append(Message("event", {"camera": lane.name, "event": event_as_json(event)}))
        return messages


async def follow(
    hub: Hub, gallery: Gallery, bell: Bell, wish: Wish, flight: Flight | None = None
) -> AsyncGenerator[Message]:
    """Messages until the run ends, or this process does: each camera's newest result and picture at most `fps`
    times a second, and once a second how the run does. Where `flight` says that they come too late, they wait,
    and what is old by then is skipped."""
    follower = _Follower(hub, gallery, wish)
    next_status = 0.0
    if wish.pictures:
        hub.watch(1)
    try:
        while True:
            if follower.forlorn:
                return
            if hub.left:
                yield Message("restart", {})
                return
            over = hub.ended
            if flight is not None and flight.is_late and not over:
                await bell.wait(LATE_POLL)
                continue
            now = time.monotonic()
            if wish.results and (over or now >= next_status):
                next_status = now + STATUS_EVERY
                for message in follower.summary():
                    yield message
            found, wait = follower.due(now, over)
            for lane, seen in found:
                async for message in follower.news(lane, seen):
                    yield message
            if over:
                yield Message("end", {})
                return
            await bell.wait(min(wait, next_status - time.monotonic()) if wish.results else wait)
    finally:
        if wish.pictures:
            hub.watch(-1)


def as_event(message: Message) -> bytes:
    """A server-sent event; `data` is one line of JSON."""
    return f"event: {message.kind}\ndata: {_json(message.data)}\n\n".encode()


def as_record(message: Message) -> bytes:
    """Two lengths (32 bits, big-endian), a JSON object with the message's `kind`, and the JPEG of a picture."""
    head = _json({"kind": message.kind, **message.data}).encode()
    return len(head).to_bytes(4) + len(message.body).to_bytes(4) + head + message.body


def as_part(message: Message) -> bytes:
    """A part of `multipart/x-mixed-replace`, its ending boundary included: browsers wait for that."""
    if message.kind != "picture":
        return b""
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(message.body)}\r\n\r\n"
    return head.encode() + message.body + f"\r\n--{BOUNDARY}\r\n".encode()


async def written(
    messages: AsyncGenerator[Message],
    form: Callable[[Message], bytes],
    before: bytes = b"",
    flight: Flight | None = None,
) -> AsyncGenerator[bytes]:
    """The messages in the form of a stream, which begins with `before`; `flight` counts them."""
    async with aclosing(messages):
        if before:
            yield before
        async for message in messages:
            if data := form(message):
                if flight is not None:
                    flight.send(len(data))
                yield data


class Seats:
    """Room for so many streams at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def take(self) -> bool:
        """Take a seat, if one is free."""
        free = self.taken < self.most
        self.taken += free
        return free

    def leave(self) -> None:
        """Give a seat back."""
        self.taken -= 1


class LiveResponse(StreamingResponse):
    """A stream for somebody who has taken a seat. Its generators end with it, not when somebody collects them."""

    def __init__(self, content: AsyncGenerator[bytes], media_type: str, seats: Seats) -> None:
        super().__init__(content, media_type=media_type, headers=UNBUFFERED)
        self._content = content
        self._seats = seats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, and give the seat back at its end."""
        try:
            async with aclosing(self._content):
                await super().__call__(scope, receive, send)
        finally:
            self._seats.leave()


def _json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))
