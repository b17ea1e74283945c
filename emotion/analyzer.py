"""Faces and their emotions from Python: the stream's own detector and classifier, without Redis."""

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from threading import Event
from types import TracebackType

from emotion_stream.classifier_worker.classifier import Classifier
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.emotion.python.results import RULES, Analysis, Face, Faces, Top, told
from emotion_stream.emotion.python.taking import Picturelike, take
from emotion_stream.emotion.runner.hosts import check_hosts
from emotion_stream.producer.pictures.jpeg import to_jpeg
from emotion_stream.producer.pictures.pixels import pixels
from emotion_stream.producer.pictures.source import Context, Nobody, Picture, Source
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import check_cameras, parse_source
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.manifest import load_manifest, model_directory
from emotion_stream.shared.messages.types import Box, Emotions, Frame, FrameInfo, Outcome
from emotion_stream.shared.process.stage import Hints
from emotion_stream.shared.settings.options import ClassifierOptions, DetectorOptions, ProducerOptions
from emotion_stream.sink.results.output import Face as Followed
from emotion_stream.sink.tracking.follow import Followed as FollowedFaces
from emotion_stream.sink.tracking.follow import Follower

__all__ = ["Analysis", "Analyzer", "Box", "Face", "Faces", "Top", "analyze", "analyze_source"]


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
        manifest = load_manifest(model_directory(None if model is None else str(model)))
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

    def analyze(self, image: Picturelike) -> Faces:
        """The faces of one picture, the surest first; empty where there is none.

        Args:
            image: path of a JPEG, PNG, BMP, WebP, TIFF, AVIF or HEIC; the bytes of one; an upright array, uint8,
                `[height, width]` (gray), `[height, width, 3]` (BGR) or `[height, width, 4]` (BGRA, over white); or
                a picture of Pillow.

        Raises:
            EmotionError: it cannot be read, or a model is missing.
            ValueError: the array is not such a picture, or larger than 16,384 pixels a side or 100 megapixels.
            TypeError: it is nothing of all this.
        """
        picture, name = take(image)
        emotions = self.label(picture, name)
        if emotions.outcome.status != "ok":
            source, reason = str(emotions.info.source), str(emotions.outcome.reason)
            raise EmotionError(f"{source}: {reason.removeprefix(f'{Path(source).name}: ')}")
        below = RULES.threshold(emotions)
        found = (Followed.alone(n, face, below) for n, face in enumerate(emotions.faces, 1))
        return Faces((told(face, emotions.labels) for face in found), emotions.labels or self.labels)

    def analyze_source(self, source: str | os.PathLike[str] | int, every: int = 1) -> Iterator[Analysis]:
        """The pictures of a source, one after the other, with their faces followed and averaged as in the stream.

        Files are read as they are asked for. Of cameras and URLs each answer is about their newest picture; one
        that is lost is opened again. Leaving the loop closes the source. What cannot be read comes as an
        `Analysis` with an error, in its place.

        Args:
            source: a camera's index, an rtsp:// or http:// URL, a video file, an image folder or glob, a picture,
                or "sample" (the clip that comes along).
            every: analyse each n-th picture only and leave out the others.

        Raises:
            EmotionError: the source is not there or cannot be read, or a model is missing.
            UsageError: it is none, or `every` is below 1.
        """
        if every < 1:
            raise UsageError(f"every={every}: it must be 1 or more")
        spec = parse_source(os.fspath(source) if isinstance(source, os.PathLike) else str(source))
        check_cameras([spec])
        check_hosts([spec])
        context = Context(Event(), Nobody())
        return self._each(make_source(spec, spec.mode, ProducerOptions(), context, required=True), every)

    def _each(self, source: Source, every: int) -> Iterator[Analysis]:
        follower, hints = Follower(RULES), dict[str, bytes]()
        index, last = 0, None
        try:
            source.open()
            while (picture := source.read()) is not None:
                if index % every == 0:
                    time = picture.media_time
                    # As a producer tells it: of the first picture, what the medium's rate says.
                    passed = every / (source.rate or math.inf) if last is None else time - last
                    name = picture.source or source.url
                    emotions = self.label(
                        picture, name, index, camera=source.name, interval=max(0.0, passed), hints=hints
                    )
                    last = time
                    yield _analysis(index, picture, emotions, follower.follow(emotions))
                index += 1
        finally:
            source.close()

    def label(
        self,
        picture: Picture,
        source: str,
        seq: int = 0,
        *,
        camera: str = "picture",
        interval: float = 0.0,
        hints: Hints | None = None,
    ) -> Emotions:
        """The stream's result for one picture that a producer's reader made; errors lie in its outcome. With
        `hints`, a picture of a clip is searched where the last ones had faces, as in the stream.

        Raises:
            EmotionError: a model is missing or damaged.
        """
        self.open()
        info = FrameInfo(
            camera=camera,
            source=source,
            epoch="",
            seq=seq,
            captured_at=picture.captured_at,
            media_time=picture.media_time,
            width=picture.width,
            height=picture.height,
            mode="lossless",
            still=picture.still,
            interval=interval,
            length=picture.length,
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
            work = self._detector
            (found,) = work.process([frame]) if hints is None else work.process_hinted([frame], hints)
        else:
            found = self._detector.pass_on(frame, Outcome.error(failed))
        if found.outcome.status != "ok":
            return self._classifier.pass_on(found, found.outcome)
        (emotions,) = self._classifier.process([found])
        return emotions


def analyze(image: Picturelike) -> Faces:
    """The faces of one picture, the surest first, with the default settings; see `Analyzer.analyze`.

    The first call loads the models, which then stay loaded. For other settings, several threads, or to free
    the memory, make an `Analyzer`.
    """
    return _default().analyze(image)


def analyze_source(source: str | os.PathLike[str] | int, every: int = 1) -> Iterator[Analysis]:
    """The pictures of a source with their faces, with the default settings; see `Analyzer.analyze_source`."""
    return _default().analyze_source(source, every)


@cache
def _default() -> Analyzer:
    return Analyzer()


def _analysis(index: int, picture: Picture, emotions: Emotions, followed: FollowedFaces) -> Analysis:
    info, failed = emotions.info, emotions.outcome.status != "ok"
    by_state = {
        state: tuple(told(face, emotions.labels) for face in followed.faces if face.confirmed is state)
        for state in (True, False)
    }
    return Analysis(
        index=index,
        time=picture.media_time,
        source=info.source,
        width=0 if failed else info.width,
        height=0 if failed else info.height,
        faces=by_state[True],
        error=emotions.outcome.reason,
        image=None if failed else pixels(picture),
        unconfirmed=by_state[False],
        cut=followed.cut,
    )
