"""The detector stage: frames in, face crops out."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2

from emotion_stream.detector_worker.contract import FaceDetector, Found
from emotion_stream.detector_worker.crop import crop_face, upright
from emotion_stream.detector_worker.haar.detector import Haar
from emotion_stream.detector_worker.ignored import ignoring
from emotion_stream.shared.messages import scene
from emotion_stream.shared.messages.camera import GENERAL
from emotion_stream.shared.messages.jpeg import GrayJpeg, JpegError
from emotion_stream.shared.messages.types import Crop, Detections, Frame, Message, ModelSpec, Outcome
from emotion_stream.shared.process.stage import Hints
from emotion_stream.shared.settings.cameras import tuned
from emotion_stream.shared.settings.options import DetectorOptions


class Detector:
    """A `shared.stage.HintedStage[Frame, Detections]`: decodes frames, finds faces, crops them for a model."""

    def __init__(self, options: DetectorOptions, model: ModelSpec) -> None:
        """`model` says how crops are cut, and travels with them. What a frame's camera wants done otherwise than
        `options` say comes with the frame."""
        self._options = options
        self._model = model
        self._finder: FaceDetector | None = None
        self._thread: ThreadPoolExecutor | None = None

    def open(self) -> None:
        """Load the face detector.

        Raises:
            EmotionError: what it needs is missing or damaged.
            UsageError: there is no such cascade.
        """
        cv2.setNumThreads(1)  # a process per core scales better than threads inside OpenCV
        self._finder = make_finder(self._options, self._model)
        self._thread = ThreadPoolExecutor(1, "decode")

    def process(self, batch: Sequence[Frame]) -> list[Detections]:
        """One result for each frame, each scanned as a whole; an error for a JPEG that cannot be decoded."""
        return self._detected(batch, None)

    def process_hinted(self, batch: Sequence[Frame], hints: Hints) -> list[Detections]:
        """As `process`, but a detector may search frames of videos where faces are to be expected."""
        return self._detected(batch, hints)

    def pass_on(self, message: Message, outcome: Outcome) -> Detections:
        """The result without faces that keeps the frame's place in the order. Pure."""
        return Detections(message.info, message.frame_id, self._model, outcome=outcome)

    def close(self) -> None:
        """Free the face detector."""
        self._finder = None
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _detected(self, batch: Sequence[Frame], hints: Hints | None) -> list[Detections]:
        """One result for each frame. While one is searched, the next is decoded in a thread: OpenCV does both
        without Python."""
        if self._finder is None or self._thread is None:
            raise RuntimeError("the detector is not open")
        jpegs = [_opened(frame) for frame in batch]
        ways = [self._way(self._finder, frame, hints) for frame in batch]
        results = []
        for n, (frame, jpeg) in enumerate(zip(batch, jpegs, strict=True), 1):
            following = jpegs[n] if n < len(jpegs) else None
            if isinstance(following, GrayJpeg):
                following.begin(self._thread, _detail(ways[n], batch[n], following))
            results.append(self._detect(ways[n - 1], frame, jpeg))
        return results

    def _way(self, finder: FaceDetector, frame: Frame, hints: Hints | None) -> "_Way":
        """How a frame is searched: as its camera wants it."""
        options, own = self._options, frame.info.settings
        if own != GENERAL:
            options = tuned(options, own)
            finder = finder.tuned(options, ignoring(own.ignore))
        return _Way(finder, None if frame.still or options.scan_every == 1 else hints)

    def _detect(self, way: "_Way", frame: Frame, jpeg: GrayJpeg | JpegError) -> Detections:
        info, finder, hints = frame.info, way.finder, way.hints
        faces: list[Found]
        try:
            if isinstance(jpeg, JpegError):
                raise jpeg
            if (info.width or jpeg.width, info.height or jpeg.height) != (jpeg.width, jpeg.height):
                raise JpegError(
                    f"it is {jpeg.width} x {jpeg.height} pixels, announced as {info.width} x {info.height}"
                )
            if not info.analyzed:
                faces = []
            elif hints is None:
                faces = finder.scan(jpeg)
            else:
                faces, remember = finder.search(jpeg, info, hints.get(info.camera))
                if remember is not None:
                    hints[info.camera] = remember
            crops = tuple(Crop(f.box, f.score, self._crop(jpeg, f), f.landmarks) for f in faces)
            seen = scene.packed(jpeg.thumbnail())  # the sink gets frames in order, and can tell cuts from it
        except JpegError as e:
            return self.pass_on(frame, Outcome.error(f"frame cannot be decoded: {e}"))
        return Detections(replace(info, scene=seen), frame.frame_id, self._model, crops)

    def _crop(self, jpeg: GrayJpeg, face: Found) -> bytes:
        """The face as the model wants it, cut from a resolution that has as many pixels as it wants."""
        model = self._model
        square = upright(face.landmarks, model.margin) if self._options.align and face.landmarks else None
        if square is not None and square.fits(face.box):
            gray = jpeg.reduced(square.side / model.size)
            return square.cut(gray, model.size, gray.shape[1] / jpeg.width)
        side = max(face.box.width, face.box.height) * (1 + 2 * model.margin)
        gray = jpeg.reduced(side / model.size)
        return crop_face(gray, face.box, model.size, model.margin, gray.shape[1] / jpeg.width)


@dataclass(frozen=True, slots=True)
class _Way:
    """By what a frame is searched, and what is known of the cameras; None: it is scanned as a whole."""

    finder: FaceDetector
    hints: Hints | None


def _detail(way: _Way, frame: Frame, jpeg: GrayJpeg) -> float:
    """How many times smaller a frame may be at first, as far as that is known while the one before it is still to
    be searched."""
    if not frame.info.analyzed:
        return jpeg.for_thumbnail
    known = None if way.hints is None else way.hints.get(frame.info.camera)
    return way.finder.detail(jpeg, frame.info, known)


def _opened(frame: Frame) -> GrayJpeg | JpegError:
    try:
        return GrayJpeg(frame.jpeg)
    except JpegError as e:
        return e


def make_finder(options: DetectorOptions, model: ModelSpec) -> FaceDetector:
    """The face detector that `--detector` names, loaded.

    Raises:
        EmotionError: what it needs is missing or damaged.
        UsageError: there is no such cascade.
    """
    if options.detector == "yunet":
        from emotion_stream.detector_worker.yunet.detector import (
            YuNet,  # only here: a Haar worker never loads OpenVINO
        )

        return YuNet(options)
    return Haar(options, model.size / (1 + 2 * model.margin))
