"""Faces and their emotions from Python: the stream's own detector and classifier, without Redis."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Event
from types import TracebackType

import numpy as np

from classifier_worker.classifier import Classifier
from detector_worker.detector import Detector
from producer.factory import make_source
from producer.folder import read_picture
from producer.header import Header
from producer.jpeg import to_jpeg
from producer.pixels import decode
from producer.source import Context, Image, Picture, Source, too_large
from producer.spec import parse_source, printable
from shared.errors import EmotionError, UsageError
from shared.manifest import DEFAULT_ARTIFACTS, load_manifest
from shared.messages import Box, Emotions, Frame, FrameInfo, Outcome
from shared.options import ClassifierOptions, DetectorOptions, ProducerOptions

__all__ = ["Analysis", "Analyzer", "Box", "Face", "analyze", "analyze_source"]


@dataclass(frozen=True, slots=True)
class Face:
    """One face.

    Attributes:
        box: where it is, pixels of the upright picture; `x`, `y` is the top left corner.
        emotion: the most probable label.
        confidence: its probability, 0 to 1.
        probabilities: label to probability, in the model's order; they add up to 1.
    """

    box: Box
    emotion: str
    confidence: float
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """One picture of a source.

    Attributes:
        index: number of the picture in its source, from 0.
        time: position in the medium, seconds.
        source: path that it was read from.
        width, height: pixels; 0 with an error.
        faces: the surest first.
        error: why the picture could not be read, or None.
        image: the upright picture, uint8 `[height, width, 3]`, BGR; None with an error.
    """

    index: int
    time: float
    source: str
    width: int
    height: int
    faces: tuple[Face, ...]
    error: str | None
    image: Image | None


class Analyzer:
    """Finds and labels faces. Models are loaded with the first picture, once, and freed by `close`.

    Not to be shared between threads. OpenCV is told to use one thread in this process.
    """

    def __init__(
        self,
        detector: DetectorOptions | None = None,
        classifier: ClassifierOptions | None = None,
        model: str | os.PathLike[str] | None = None,
    ) -> None:
        """
        Args:
            detector: how faces are found; None: as `emotion run` does.
            classifier: how they are labelled; None: as `emotion run` does.
            model: folder with `manifest.json` and weights; None: the model that comes along.

        Raises:
            EmotionError: there is no such model, or it has no such head.
        """
        manifest = load_manifest(DEFAULT_ARTIFACTS if model is None else Path(model))
        self.labels = manifest.labels
        self._detector = Detector(detector or DetectorOptions(), manifest.spec)
        self._classifier = Classifier(classifier or ClassifierOptions(), manifest)
        self._jpeg_quality = ProducerOptions().jpeg_quality
        self._is_open = False

    def __enter__(self) -> "Analyzer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the models. The next picture loads them again."""
        if self._is_open:
            self._is_open = False
            self._detector.close()
            self._classifier.close()

    def open(self) -> None:
        """Load the models now instead of with the first picture.

        Raises:
            EmotionError: a file of the model is missing or damaged.
            UsageError: there is no such cascade.
        """
        if not self._is_open:
            self._detector.open()
            self._classifier.open()
            self._is_open = True

    def analyze(self, image: str | os.PathLike[str] | np.ndarray) -> list[Face]:
        """The faces of one picture, the surest first; `[]` where there is none.

        Args:
            image: path of a JPEG, PNG, BMP, WebP or TIFF, or an upright picture, uint8 `[height, width, 3]`, BGR.

        Raises:
            EmotionError: the file cannot be read, or a model is missing.
            ValueError: the array is not such a picture, or larger than 16,384 pixels a side or 100 megapixels.
        """
        if isinstance(image, np.ndarray):
            emotions = self.label(_from_array(image), "array")
        else:
            emotions = self.label(read_picture(Path(image), 0.0), printable(os.fspath(image)))
        if emotions.outcome.status != "ok":
            raise EmotionError(f"{emotions.info.source}: {emotions.outcome.reason}")
        return list(_faces(emotions))

    def analyze_source(self, source: str, every: int = 1) -> Iterator[Analysis]:
        """The pictures of a file or folder, one after the other, as they are asked for.

        What cannot be read comes as an `Analysis` with an error, in its place.

        Args:
            source: a video file, an image folder or glob, a picture, or "sample" (the clip that comes along).
            every: analyse each n-th picture only and leave out the others.

        Raises:
            EmotionError: the source is not there or cannot be read, or a model is missing.
            UsageError: it is a camera or URL, which `emotion run` is for, or `every` is below 1.
        """
        if every < 1:
            raise UsageError(f"every={every}: it must be 1 or more")
        spec = parse_source(source)
        if spec.kind not in ("video", "pictures"):
            raise UsageError(f"{printable(source)}: only files and folders are read here; use `emotion run`")
        return self._each(make_source(spec, "lossless", ProducerOptions(), Context(Event(), Nobody())), every)

    def _each(self, source: Source, every: int) -> Iterator[Analysis]:
        source.open()
        try:
            index = 0
            while (picture := source.read()) is not None:
                if index % every == 0:
                    yield self._analysis(index, picture, picture.source or source.url)
                index += 1
        finally:
            source.close()

    def _analysis(self, index: int, picture: Picture, source: str) -> Analysis:
        emotions = self.label(picture, source, index)
        info, failed = emotions.info, emotions.outcome.status != "ok"
        return Analysis(
            index=index,
            time=picture.media_time,
            source=source,
            width=0 if failed else info.width,
            height=0 if failed else info.height,
            faces=_faces(emotions),
            error=emotions.outcome.reason,
            image=None if failed else pixels(picture),
        )

    def label(self, picture: Picture, source: str, seq: int = 0) -> Emotions:
        """The stream's result for one picture that a producer's reader made; errors lie in its outcome.

        Raises:
            EmotionError: a model is missing or damaged.
        """
        self.open()
        info = FrameInfo(
            camera="picture",
            source=source,
            epoch="",
            seq=seq,
            captured_at=picture.captured_at,
            media_time=picture.media_time,
            width=picture.width,
            height=picture.height,
            mode="lossless",
            still=picture.still,
        )
        failed = picture.error
        jpeg = b""
        if failed is None:
            try:
                # The stages take what travels in the stream: the same JPEG gives the same probabilities.
                jpeg = to_jpeg(picture, 0, self._jpeg_quality).data
            except ValueError as e:
                failed = f"cannot be encoded: {e}"
        frame = Frame(info, jpeg)
        if failed is None:
            (found,) = self._detector.process([frame])
        else:
            found = self._detector.pass_on(frame, Outcome.error(failed))
        if found.outcome.status != "ok":
            return self._classifier.pass_on(found, found.outcome)
        (emotions,) = self._classifier.process([found])
        return emotions


def analyze(image: str | os.PathLike[str] | np.ndarray) -> list[Face]:
    """The faces of one picture, the surest first, with the default settings; see `Analyzer.analyze`.

    The first call loads the models, which then stay loaded. For other settings, several threads, or to free
    the memory, make an `Analyzer`.
    """
    return _default().analyze(image)


def analyze_source(source: str, every: int = 1) -> Iterator[Analysis]:
    """The pictures of a file or folder with their faces, with the default settings; see
    `Analyzer.analyze_source`."""
    return _default().analyze_source(source, every)


def pixels(picture: Picture) -> Image:
    """The upright pixels of a readable picture, uint8 `[height, width, 3]`, BGR.

    Raises:
        ValueError: there are none, or they cannot be decoded.
    """
    if picture.image is not None:
        return picture.image
    if picture.jpeg is None:
        raise ValueError("there is no picture")
    return decode(picture.jpeg, Header("jpeg", picture.width, picture.height))


class Nobody:
    """Takes no count: what could not be read is told in each `Analysis`."""

    def frames(self, n: int) -> None: ...
    def dropped(self, reason: str, n: int) -> None: ...
    def errors(self, n: int) -> None: ...
    def reconnects(self) -> None: ...


@cache
def _default() -> Analyzer:
    return Analyzer()


def _faces(emotions: Emotions) -> tuple[Face, ...]:
    faces = []
    for face in emotions.faces:
        probabilities = dict(zip(emotions.labels, face.probabilities, strict=True))
        best = max(probabilities, key=probabilities.__getitem__)
        faces.append(Face(face.box, best, probabilities[best], probabilities))
    return tuple(faces)


def _from_array(image: np.ndarray) -> Picture:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a picture is uint8 [height, width, 3], not {image.dtype} {list(image.shape)}")
    height, width = image.shape[:2]
    problem = too_large(width, height)
    if problem:
        raise ValueError(problem)
    return Picture(np.ascontiguousarray(image), None, width, height, 0.0, time.time(), still=True)
