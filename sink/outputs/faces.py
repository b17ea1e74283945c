"""The output `faces=DIR`: a few telling pictures of faces, for the contact sheet of `emotion report`.

Of each camera and emotion, the surest face of each of at most `MOST` tracks, as
`DIR/<camera>/<emotion>-<confidence>-<track>-<seq>-<milliseconds>.jpg`: the name says all that is known of it.
"""

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.outputs.blocks import room, rounded
from emotion_stream.sink.outputs.images import comment, folder, make_folder, marked, store
from emotion_stream.sink.results.output import Image, Result

MOST = 12
BETTER = 0.02
"""How much surer a face must be to take another's place: one that grows surer is not written with each frame."""
MARGIN = 0.2
"""How much of its surroundings is shown on each side, as a share of the box."""
SIDE = 144
"""Pixels of a picture at the most."""
SMALLEST = 20
"""Pixels; of smaller faces nothing can be seen."""
QUALITY = 88
NAME = re.compile(r"(\w+)-([0-9]{4})-([0-9]+)-([0-9]+)-([0-9]+)\.jpg")


@dataclass(frozen=True, slots=True)
class Sample:
    """A face that stands for others: `confidence` is 0 to 1, `time` is seconds in the medium."""

    camera: str
    emotion: str
    confidence: float
    track: int
    seq: int
    time: float

    @property
    def name(self) -> str:
        """Its file's name."""
        word = re.sub(r"\W", "_", self.emotion) or "_"
        return f"{word}-{round(self.confidence * 1000):04}-{self.track}-{self.seq}-{round(self.time * 1000)}.jpg"


class Choice:
    """The faces chosen so far."""

    def __init__(self, known: Iterable[Sample] = ()) -> None:
        self._chosen: dict[tuple[str, str], dict[int, Sample]] = {}
        for sample in known:
            self.offer(sample)

    @property
    def samples(self) -> list[Sample]:
        """All that are chosen, by camera and emotion, the surest first."""
        groups = sorted(self._chosen.items())
        return [s for _, group in groups for s in sorted(group.values(), key=lambda s: (-s.confidence, s.track))]

    def offer(self, sample: Sample) -> tuple[bool, Sample | None]:
        """Whether this one is chosen, and the one that it takes the place of."""
        group = self._chosen.setdefault((sample.camera, sample.emotion), {})
        other = group.get(sample.track)
        if other is None and len(group) >= MOST:
            other = min(group.values(), key=lambda s: s.confidence)
        if other is not None:
            if sample.confidence < other.confidence + BETTER:
                return False, None
            del group[other.track]
        group[sample.track] = sample
        return True, other


class Faces:
    """Keeps the surest faces in a folder; those of a killed run stay, and count.

    Attributes:
        size: bytes that its pictures have taken since it began, without those that have gone.

    Raises:
        EmotionError: the folder cannot be made.
    """

    needs_image = True

    def __init__(self, directory: Path) -> None:
        self.size = 0
        self._directory = directory
        make_folder(directory)
        self._choice = Choice(load(directory))

    def write(self, result: Result, image: Image | None) -> None:
        """Keep those faces of the frame that are surer than the ones kept so far."""
        if image is None or result.outcome.status != "ok" or not result.info.analyzed:
            return
        info = result.info
        for face in result.shown:
            if face.uncertain or min(face.box.width, face.box.height) < SMALLEST:
                continue
            about = result.emotion(face), face.confidence, face.track, info.seq, info.media_time
            sample = Sample(info.camera, *about)
            chosen, other = self._choice.offer(sample)
            if not chosen:
                continue
            place = folder(self._directory, info.camera)
            make_folder(place)
            jpeg = marked(cut(image, face.box), f"{info.epoch} {info.seq}".encode())
            store(place / sample.name, jpeg)
            self.size += rounded(len(jpeg))
            if other is not None and other.name != sample.name:
                self.size -= room(place / other.name)
                with contextlib.suppress(OSError):
                    (place / other.name).unlink()

    def flush(self) -> None:
        """Nothing to do: each picture goes to the operating system at once."""

    def close(self) -> None:
        """Nothing to do."""


def cut(image: Image, box: Box) -> bytes:
    """A JPEG, square, of a face and what is around it; black where that is out of the picture. Pure."""
    side = max(1, round(max(box.width, box.height) * (1 + 2 * MARGIN)))
    left, top = box.x + (box.width - side) // 2, box.y + (box.height - side) // 2
    height, width = image.shape[:2]
    inside = image[max(0, top) : max(0, min(height, top + side)), max(0, left) : max(0, min(width, left + side))]
    out = np.zeros((side, side, 3), np.uint8)
    y, x = max(0, -top), max(0, -left)
    out[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    if side > SIDE:
        out = np.asarray(cv2.resize(out, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    done, jpeg = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError("the face cannot be encoded")
    return jpeg.tobytes()


def paths(directory: Path) -> dict[Sample, Path]:
    """The pictures of faces in a folder, with what their names say. Anything else is passed over."""
    found = {}
    for place in sorted(p for p in directory.glob("*") if p.is_dir() and not p.is_symlink()):
        camera = place.name[1:] if place.name in ("_.", "_..") else place.name
        for path in sorted(place.iterdir()):
            match = NAME.fullmatch(path.name)
            if match and not path.is_symlink() and path.is_file() and comment(path) is not None:
                emotion, confidence, track, seq, time = match.groups()
                about = int(confidence) / 1000, int(track), int(seq), int(time) / 1000
                found[Sample(camera, emotion, *about)] = path
    return found


def load(directory: Path) -> list[Sample]:
    """What the pictures in a folder show."""
    return list(paths(directory))


def remove(directory: Path) -> None:
    """Remove the pictures of faces in a folder, and the folders that become empty.

    Raises:
        OSError: a file cannot be removed.
    """
    for path in paths(directory).values():
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
