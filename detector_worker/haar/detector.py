"""The Haar detector: the cascade and its search behind the contract of all detectors."""

from copy import copy

import numpy as np

from emotion_stream.detector_worker.contract import Found
from emotion_stream.detector_worker.haar.cascade import Face, FaceFinder
from emotion_stream.detector_worker.haar.memory import Memory
from emotion_stream.detector_worker.haar.search import Searcher
from emotion_stream.detector_worker.ignored import NOTHING, Ignored
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
        self._finder = FaceFinder(options)
        self._finder.find(np.zeros((240, 320), np.uint8))
        self._crop_side = crop_side
        self._searcher = Searcher(self._finder, options, crop_side)
        self._latest: tuple[bytes, Memory] | None = None

    def tuned(self, options: DetectorOptions, ignored: Ignored = NOTHING) -> "Haar":
        """See `FaceDetector.tuned`."""
        other = copy(self)
        other._finder = self._finder.tuned(options, ignored)
        other._searcher = Searcher(other._finder, options, self._crop_side)
        return other

    def scan(self, jpeg: GrayJpeg) -> list[Found]:
        """See `FaceDetector.scan`."""
        return _found(self._searcher.scan(jpeg))

    def search(
        self, jpeg: GrayJpeg, info: FrameInfo, remembered: bytes | None
    ) -> tuple[list[Found], bytes | None]:
        """See `FaceDetector.search`."""
        faces, memory = self._searcher.search(jpeg, info, self._recall(remembered))
        data = memory.to_bytes()
        self._latest = data, memory
        return _found(faces), data

    def detail(self, jpeg: GrayJpeg, info: FrameInfo, remembered: bytes | None) -> float:
        """See `FaceDetector.detail`."""
        return self._searcher.detail(jpeg, info, self._recall(remembered))

    def _recall(self, data: bytes | None) -> Memory | None:
        """What was remembered; read only once, because it is asked for in one frame after the other."""
        if not data:
            return None
        if self._latest is None or self._latest[0] is not data:
            try:
                self._latest = data, Memory.from_bytes(data)
            except DecodeError:
                return None
        return self._latest[1]


def _found(faces: list[Face]) -> list[Found]:
    return [Found(box, weight) for box, weight in faces]
