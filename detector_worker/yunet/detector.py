"""The detector YuNet: looks at every frame as a whole, so that it need not remember anything."""

from copy import copy

import numpy as np

from emotion_stream.detector_worker.boxes import clip, rescale
from emotion_stream.detector_worker.contract import Found, Gray
from emotion_stream.detector_worker.ignored import NOTHING, Ignored
from emotion_stream.detector_worker.yunet.decode import Faces, Floats, joined, suppress
from emotion_stream.detector_worker.yunet.network import Network, padded
from emotion_stream.detector_worker.yunet.scale import LARGEST, NEAR, USUAL, fitted, has_closeups, scan_side
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.types import Box, FrameInfo, Landmarks
from emotion_stream.shared.settings.options import DetectorOptions

BOX = 0.862
"""Side of the network's box (the geometric mean of both) for a face that fills FER's square, measured on 1,085 of
them: 0.751 wide, 0.989 high, and in the middle of it but for a hundredth."""
HAAR = 0.979
"""Side of Haar's box for the same: what all boxes are."""


class YuNet:
    """A `detector_worker.contract.FaceDetector`."""

    def __init__(self, options: DetectorOptions, network: Network | None = None) -> None:
        """Load the network that ships, if none is given, and compile it for wide frames.

        Raises:
            EmotionError: a file is missing or damaged, or OpenVINO is not installed.
        """
        self._options = options
        self._ignored = NOTHING
        self._network = network or Network(options.detector_precision)
        self._network.look(np.zeros((180, 320), np.uint8), 320, 180, options.min_score)

    def tuned(self, options: DetectorOptions, ignored: Ignored = NOTHING) -> "YuNet":
        """See `FaceDetector.tuned`."""
        other = copy(self)
        other._options, other._ignored = options, ignored
        return other

    def scan(self, jpeg: GrayJpeg) -> list[Found]:
        """See `FaceDetector.scan`."""
        side = scan_side(jpeg.width, jpeg.height, self._options)
        longer = max(jpeg.width, jpeg.height)
        gray = jpeg.reduced(self._reduction(jpeg))
        if max(gray.shape) < side <= longer:
            side = max(gray.shape)  # near enough: better than to decode four times as many pixels
        width, height = fitted(gray.shape[1], gray.shape[0], side)
        left = self._ignored.left(Box(0, 0, width, height), min(width, height) / 2, width, height)
        if left is None:
            return []
        faces = self._look(gray, left, width, height)
        if has_closeups(width, height):
            faces = self._with_closeups(faces, gray, width, height)
        return self._found(faces.scaled(jpeg.width / width, jpeg.height / height), jpeg)

    def search(
        self, jpeg: GrayJpeg, info: FrameInfo, remembered: bytes | None
    ) -> tuple[list[Found], bytes | None]:
        """See `FaceDetector.search`."""
        return self.scan(jpeg), None

    def _look(self, gray: Gray, part: Box, width: int, height: int) -> Faces:
        """The faces of a part of a picture, seen at `width` x `height` pixels; all in these pixels."""
        if part == Box(0, 0, width, height):
            return self._network.look(gray, width, height, self._options.min_score)
        # The network sees a few sizes only: what it would see empty, it may as well see as it is.
        across, down = min(width, padded(part.width)), min(height, padded(part.height))
        part = Box(min(part.x, width - across), min(part.y, height - down), across, down)
        seen = rescale(part, gray.shape[1] / width, gray.shape[0] / height, gray.shape[1], gray.shape[0])
        cut = gray[seen.y : seen.y + seen.height, seen.x : seen.x + seen.width]
        faces = self._network.look(cut, part.width, part.height, self._options.min_score)
        return faces.moved(part.x, part.y)

    def detail(self, jpeg: GrayJpeg, info: FrameInfo, remembered: bytes | None) -> float:
        """See `FaceDetector.detail`."""
        return self._reduction(jpeg)

    def _reduction(self, jpeg: GrayJpeg) -> float:
        """How many times smaller a picture may be for a scan."""
        return max(jpeg.width, jpeg.height) / (NEAR * scan_side(jpeg.width, jpeg.height, self._options))

    def _with_closeups(self, faces: Faces, gray: Gray, width: int, height: int) -> Faces:
        """The faces of a scan of `width` x `height` pixels, those too large for it seen at a smaller scale."""
        across, down = fitted(width, height, USUAL)
        again = self._network.look(gray, across, down, self._options.min_score)
        again = again.scaled(width / across, height / down)
        both = joined(faces[_sides(faces) <= LARGEST], again[_sides(again) > LARGEST / 2])
        return suppress(both, self._options.min_score)

    def _found(self, faces: Faces, jpeg: GrayJpeg) -> list[Found]:
        """Faces in pixels of the frame, as all detectors give them; those whose middle lies outside are none."""
        options = self._options
        middle = faces.boxes[:, :2] + faces.boxes[:, 2:] / 2
        side = _sides(faces) * (HAAR / BOX)
        keep = ((middle >= 0) & (middle < (jpeg.width, jpeg.height))).all(axis=1) & np.isfinite(side)
        if options.min_face is not None:
            keep &= side >= options.min_face * min(jpeg.width, jpeg.height)
        kept = np.flatnonzero(keep)
        corners = (middle - side[:, None] / 2)[kept].tolist()
        found: list[Found] = []
        for n, (x, y) in zip(kept.tolist(), corners, strict=True):
            left, top, length = round(x), round(y), max(1, round(float(side[n])))
            box = clip((left, top, length, length), 1, 1, jpeg.width, jpeg.height)
            if self._ignored.hides(box, jpeg.width, jpeg.height):
                continue
            if len(found) == options.max_faces:
                break
            found.append(Found(box, float(faces.scores[n]), _landmarks(faces.landmarks[n].ravel().tolist())))
        return found


def _sides(faces: Faces) -> Floats:
    return np.asarray(np.sqrt(faces.boxes[:, 2] * faces.boxes[:, 3]), np.float32)


def _landmarks(flat: list[float]) -> Landmarks:
    return tuple(zip(flat[::2], flat[1::2], strict=True))
