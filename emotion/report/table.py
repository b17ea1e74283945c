"""Results as columns, one camera at a time, so that an hour of video (100,000 frames) takes a few megabytes."""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from emotion_stream.emotion.report.read import Record
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.types import Box

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """What is known of one camera.

    Attributes:
        name: its name.
        labels: names of the emotions, in the order of the model.
        sources: paths or URLs; `source` says of each frame which.
        epoch, seq: of each frame; the epoch as a number from 0.
        time, captured, latency: of each frame; seconds in the medium, since 1970, and from capture to result.
        errors: why frames could not be read, and how many.
        unread: the places of these frames in the columns above.
        frame: of each confirmed face, its frame's place in the columns above.
        track, label, confidence, uncertain, shares, box: of each confirmed face; `shares` is `[faces, labels]`,
            the probabilities, `box` is `[faces, 4]`: x, y, width, height in pixels.
        unconfirmed: how many faces were left out because they were never seen often enough to be believed.
    """

    name: str
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    source: Whole
    epoch: Whole
    seq: Whole
    time: Floats
    captured: Floats
    latency: Floats
    errors: Counter[str]
    unread: frozenset[int]
    frame: Whole
    track: Whole
    label: Whole
    confidence: Floats
    uncertain: NDArray[np.bool_]
    shares: Floats
    box: Whole
    unconfirmed: int

    def place(self, face: int) -> Box:
        """The box of a face."""
        x, y, width, height = (int(v) for v in self.box[face])
        return Box(x, y, width, height)


class _Columns:
    """One camera while it is read."""

    def __init__(self) -> None:
        self.sources: dict[str, int] = {}
        self.epochs: dict[str, int] = {}
        self.frames = array("d")
        """Source, epoch, seq, time, captured, latency of each frame."""
        self.faces = array("d")
        """Frame, track, label, confidence, uncertain, box of each face."""
        self.shares = array("f")
        self.errors: Counter[str] = Counter()
        self.unread: set[int] = set()
        self.unconfirmed = 0
        self.count = 0

    def add(self, record: Record, labels: dict[str, int], most: int) -> None:
        source = self.sources.setdefault(record["source"], len(self.sources))
        epoch = self.epochs.setdefault(record["epoch"], len(self.epochs))
        captured = datetime.fromisoformat(record["captured_at"]).timestamp()
        about = record["seq"], record["time"], captured, record["latency_ms"] / 1000
        self.frames.extend((source, epoch, *about))
        if record["status"] != "ok":
            self.errors[record["error"] or "unknown"] += 1
            self.unread.add(self.count)
        for face in record["faces"]:
            if not face["confirmed"]:
                self.unconfirmed += 1
                continue
            row = [0.0] * most
            for name, share in face["probabilities"].items():
                row[_index(name, labels, most)] = share
            label = _index(face["emotion"], labels, most)
            self.faces.extend(
                (self.count, face["track"], label, face["confidence"], face["uncertain"], *face["box"])
            )
            self.shares.extend(row)
        self.count += 1


MOST_LABELS = 16


def _index(name: str, labels: dict[str, int], most: int) -> int:
    index = labels.setdefault(name, len(labels))
    if index >= most:
        raise ValueError("too many labels")
    return index


def tabulate(records: Iterable[Record]) -> list[Camera]:
    """The cameras by name.

    Raises:
        EmotionError: there are no frames, or what a frame says makes no sense.
    """
    labels: dict[str, int] = {}
    columns: dict[str, _Columns] = {}
    number = 0
    for number, record in enumerate(records, 1):
        try:
            columns.setdefault(record["camera"], _Columns()).add(record, labels, MOST_LABELS)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
            raise EmotionError(f"frame {number} of the results is not as this version writes them ({e!r})") from e
    if not number:
        raise EmotionError("there are no frames in these results: nothing to report")
    return [_camera(name, columns[name], tuple(labels)) for name in sorted(columns)]


def _camera(name: str, found: _Columns, labels: tuple[str, ...]) -> Camera:
    frames = np.asarray(found.frames, np.float64).reshape(-1, 6)
    faces = np.asarray(found.faces, np.float64).reshape(-1, 9)
    shares = np.asarray(found.shares, np.float32).astype(np.float64).reshape(-1, MOST_LABELS)[:, : len(labels)]
    source, epoch, seq = frames[:, :3].T.astype(np.int64)
    frame, track, label = faces[:, :3].T.astype(np.int64)
    return Camera(
        name,
        labels,
        tuple(found.sources),
        source,
        epoch,
        seq,
        frames[:, 3],
        frames[:, 4],
        frames[:, 5],
        found.errors,
        frozenset(found.unread),
        frame,
        track,
        label,
        faces[:, 3],
        faces[:, 4] != 0,
        shares,
        faces[:, 5:].astype(np.int64),
        found.unconfirmed,
    )
