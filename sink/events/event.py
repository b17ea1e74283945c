"""What an event is, and its documented form (`docs/reference/event.schema.json`)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from emotion_stream.shared.messages.types import Box
from emotion_stream.shared.words.words import ENGLISH, Words

VERSION = 1
Kind = Literal[
    "face_appeared", "face_left", "emotion_changed", "scene_cut", "camera_lost", "camera_back", "counts"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
UNCERTAIN = "uncertain"
"""Stands for the emotion of a face whose emotion cannot be told."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A frame: its place in the order, seconds in the medium, wall-clock seconds of its capture."""

    epoch: str
    seq: int
    time: float
    captured_at: float


@dataclass(frozen=True, slots=True)
class Subject:
    """The face that an event is about.

    Attributes:
        track: its number, unique within the camera.
        box: where it is, pixels.
        label: its emotion, or `uncertain`.
        probability: of that emotion, 0 to 1; of the likeliest one where it is uncertain.
        zones: the names of those in which it is; None where its camera has none.
    """

    track: int
    box: Box
    label: str
    probability: float
    zones: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has changed.

    Attributes:
        kind: one of KINDS.
        camera: the camera's id.
        name: what people call the camera.
        at: the first frame in which it was so; None for what no frame shows (a camera that is lost).
        told_at: wall-clock seconds since 1970.
        subject: the face that it is about, if any.
        duration: seconds of the medium that it has lasted: a face's stay, an emotion, what counts cover.
        more: what else its kind tells, ready for JSON.
    """

    kind: Kind
    camera: str
    name: str
    at: Moment | None
    told_at: float
    subject: Subject | None = None
    duration: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The same for the same event, also where a sink that was started again tells it once more."""
        track = self.subject.track if self.subject else None
        where = (self.at.epoch, self.at.seq) if self.at else (round(self.told_at * 1000),)
        text = "\n".join(map(str, (self.kind, self.camera, track, *where)))
        return blake2b(text.encode(), digest_size=12).hexdigest()


@runtime_checkable
class Listener(Protocol):
    """An output that is told of events."""

    def tell(self, event: Event) -> None:
        """Take note of an event; called after `write` of the frame that it was told with. Never waits."""


@runtime_checkable
class Sender(Protocol):
    """An output that sends on its way out what waits, for a moment."""

    def finish(self) -> None:
        """Nothing more comes: the moment begins now, so that several have theirs at once. `close` waits for it."""


@runtime_checkable
class EndListener(Protocol):
    """An output that is told of recordings at their end, which is no event."""

    def ended(self, camera: str) -> None:
        """All of it was written. May be called as often as one likes."""


def as_json(event: Event) -> dict[str, Any]:
    """The event in its documented form."""
    at, subject = event.at, event.subject
    told: dict[str, Any] = {
        "version": VERSION,
        "id": event.id,
        "kind": event.kind,
        "camera": event.camera,
        "name": event.name,
        "epoch": at and at.epoch,
        "seq": at and at.seq,
        "time": at and round(at.time, 6),
        "captured_at": at and stamp(at.captured_at),
        "told_at": stamp(event.told_at),
    }
    if subject is not None:
        box = subject.box
        told |= {
            "track": subject.track,
            "box": [box.x, box.y, box.width, box.height],
            "label": subject.label,
            "probability": round(subject.probability, 4),
        }
        if subject.zones is not None:
            told["zones"] = list(subject.zones)
    if event.duration is not None:
        told["duration"] = round(event.duration, 3)
    return told | dict(event.more)


def in_words(events: Mapping[str, int], words: Words = ENGLISH) -> str:
    """Numbers of events by kind, for people, the most frequent first. Pure."""
    ordered = sorted(events.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{words(f'events.{kind}')} {words.number(n)}" for kind, n in ordered)


def stamp(seconds: float) -> str:
    """A time of the wall clock as ISO 8601, UTC. Times that no calendar holds count as 1970."""
    if not (math.isfinite(seconds) and 0 <= seconds < 2e11):
        seconds = 0.0
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
