"""The detector stage: frames in, face crops out."""

from collections.abc import Sequence

import cv2
import numpy as np

from detector_worker.cascade import FaceFinder
from detector_worker.crop import crop_face
from detector_worker.memory import Memory
from detector_worker.search import Searcher
from shared.errors import DecodeError
from shared.jpeg import GrayJpeg, JpegError
from shared.messages import Box, Crop, Detections, Frame, Message, ModelSpec, Outcome
from shared.options import DetectorOptions
from shared.stage import Hints


class Detector:
    """A `shared.stage.HintedStage[Frame, Detections]`: decodes frames, finds faces, crops them for a model."""

    def __init__(self, options: DetectorOptions, model: ModelSpec) -> None:
        """`model` says how crops are cut, and travels with them."""
        self._options = options
        self._model = model
        self._searcher: Searcher | None = None

    def open(self) -> None:
        """Load the cascade.

        Raises:
            UsageError: there is no such cascade.
        """
        cv2.setNumThreads(1)  # a process per core scales better than threads inside OpenCV
        finder = FaceFinder(self._options)
        finder.find(np.zeros((240, 320), np.uint8))
        self._searcher = Searcher(finder, self._options, self._model.size / (1 + 2 * self._model.margin))

    def process(self, batch: Sequence[Frame]) -> list[Detections]:
        """One result for each frame, each scanned as a whole; an error for a JPEG that cannot be decoded."""
        return [self._detect(frame, None) for frame in batch]

    def process_hinted(self, batch: Sequence[Frame], hints: Hints) -> list[Detections]:
        """As `process`, but frames of videos are searched where faces are to be expected."""
        return [self._detect(frame, hints) for frame in batch]

    def pass_on(self, message: Message, outcome: Outcome) -> Detections:
        """The result without faces that keeps the frame's place in the order. Pure."""
        return Detections(message.info, message.frame_id, self._model, outcome=outcome)

    def close(self) -> None:
        """Free the cascade."""
        self._searcher = None

    def _detect(self, frame: Frame, hints: Hints | None) -> Detections:
        if self._searcher is None:
            raise RuntimeError("the detector is not open")
        info, model = frame.info, self._model
        try:
            jpeg = GrayJpeg(frame.jpeg)
            if (info.width or jpeg.width, info.height or jpeg.height) != (jpeg.width, jpeg.height):
                raise JpegError(
                    f"it is {jpeg.width} x {jpeg.height} pixels, announced as {info.width} x {info.height}"
                )
            if hints is None or frame.still or self._options.scan_every == 1:
                faces = self._searcher.scan(jpeg)
            else:
                faces, memory = self._searcher.search(jpeg, info, _recall(hints.get(info.camera)))
                hints[info.camera] = memory.to_bytes()
            crops = tuple(Crop(box, weight, self._crop(jpeg, box)) for box, weight in faces)
        except JpegError as e:
            return self.pass_on(frame, Outcome.error(f"frame cannot be decoded: {e}"))
        return Detections(info, frame.frame_id, model, crops)

    def _crop(self, jpeg: GrayJpeg, box: Box) -> bytes:
        """The face as the model wants it, cut from a resolution that has as many pixels as it wants."""
        model = self._model
        side = max(box.width, box.height) * (1 + 2 * model.margin)
        gray = jpeg.reduced(side / model.size)
        return crop_face(gray, box, model.size, model.margin, gray.shape[1] / jpeg.width)


def _recall(data: bytes | None) -> Memory | None:
    try:
        return Memory.from_bytes(data) if data else None
    except DecodeError:
        return None
