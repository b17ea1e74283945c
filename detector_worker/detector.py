"""The detector stage: frames in, face crops out."""

from collections.abc import Sequence

import cv2
import numpy as np

from detector_worker.cascade import FaceFinder
from detector_worker.crop import crop_face
from shared.jpeg import JpegError, decode_jpeg, jpeg_size
from shared.messages import Crop, Detections, Frame, Message, ModelSpec, Outcome
from shared.options import DetectorOptions


class Detector:
    """A `shared.stage.Stage[Frame, Detections]`: decodes frames, finds faces, crops them for a model."""

    def __init__(self, options: DetectorOptions, model: ModelSpec) -> None:
        """`model` says how crops are cut, and travels with them."""
        self._options = options
        self._model = model
        self._finder: FaceFinder | None = None

    def open(self) -> None:
        """Load the cascade.

        Raises:
            UsageError: there is no such cascade.
        """
        cv2.setNumThreads(1)  # a process per core scales better than threads inside OpenCV
        self._finder = FaceFinder(self._options)
        self._finder.find(np.zeros((240, 320), np.uint8))

    def process(self, batch: Sequence[Frame]) -> list[Detections]:
        """One result for each frame; a JPEG that cannot be decoded makes an error result."""
        return [self._detect(frame) for frame in batch]

    def pass_on(self, message: Message, outcome: Outcome) -> Detections:
        """The result without faces that keeps the frame's place in the order. Pure."""
        return Detections(message.info, message.frame_id, self._model, outcome=outcome)

    def close(self) -> None:
        """Free the cascade."""
        self._finder = None

    def _detect(self, frame: Frame) -> Detections:
        if self._finder is None:
            raise RuntimeError("the detector is not open")
        info, model = frame.info, self._model
        try:
            width, height = jpeg_size(frame.jpeg) or (0, 0)
            if width and (info.width or width, info.height or height) != (width, height):
                raise JpegError(f"it is {width} x {height} pixels, announced as {info.width} x {info.height}")
            gray = decode_jpeg(frame.jpeg, color=False)
        except JpegError as e:
            return self.pass_on(frame, Outcome.error(f"frame cannot be decoded: {e}"))
        faces = tuple(
            Crop(box, weight, crop_face(gray, box, model.size, model.margin))
            for box, weight in self._finder.find(gray)
        )
        return Detections(info, frame.frame_id, model, faces)
