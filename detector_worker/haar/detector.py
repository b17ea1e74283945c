"""The Haar detector: the cascade and its search behind the contract of all detectors."""

import numpy as np

from emotion_stream.detector_worker.contract import Found
from emotion_stream.detector_worker.haar.cascade import Face, FaceFinder
from emotion_stream.detector_worker.haar.memory import Memory
from emotion_stream.detector_worker.haar.search import Searcher
from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.types import FrameInfo
from emotion_stream.shared.settings.options import DetectorOptions


class Haar:
    """A `detector_worker.contract.FaceDetector`."""

    def __init__(self, options: DetectorOptions, crop_side: float) -> None:
        """Load the cascade. `crop_side`: pixels of a face from which on it need not be seen at full resolution.

        Raises:
            UsageError: there is no such cascade.
        """
        finder = FaceFinder(options)
        finder.find(np.zeros((240, 320), np.uint8))
        self._searcher = Searcher(finder, options, crop_side)

    def scan(self, jpeg: GrayJpeg) -> list[Found]:
        """See `FaceDetector.scan`."""
        return _found(self._searcher.scan(jpeg))

    def search(
        self, jpeg: GrayJpeg, info: FrameInfo, remembered: bytes | None
    ) -> tuple[list[Found], bytes | None]:
        """See `FaceDetector.search`."""
        faces, memory = self._searcher.search(jpeg, info, _recall(remembered))
        return _found(faces), memory.to_bytes()


def _found(faces: list[Face]) -> list[Found]:
    return [Found(box, weight) for box, weight in faces]


def _recall(data: bytes | None) -> Memory | None:
    try:
        return Memory.from_bytes(data) if data else None
    except DecodeError:
        return None
