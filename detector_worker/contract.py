"""What every face detector gives and takes: the one thing that the stage knows of them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from emotion_stream.detector_worker.ignored import NOTHING, Ignored
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.types import Box, FrameInfo, Landmarks
from emotion_stream.shared.settings.options import DetectorOptions

Gray = npt.NDArray[np.uint8]
"""A gray picture, `[height, width]`."""


@dataclass(frozen=True, slots=True)
class Found:
    """One face.

    Attributes:
        box: pixels of the frame, wholly inside it: the square from the brows to the chin that FER-2013's pictures
            show, whichever detector found it (docs/how-to/detectors.md).
        score: how sure the detector is; higher is surer, comparable within one detector only.
        landmarks: five points in pixels of the frame, or None from a detector that knows none.
    """

    box: Box
    score: float
    landmarks: Landmarks | None = None


class FaceDetector(Protocol):
    """Finds the faces of frames. It remembers nothing of a camera itself: any worker may get any frame, so what is
    known comes and goes with each frame."""

    def tuned(self, options: DetectorOptions, ignored: Ignored = NOTHING) -> "FaceDetector":
        """This detector with the settings of one camera, and without the faces that it wants `ignored`. It loads
        nothing, so that each frame may have others."""
        ...

    def scan(self, jpeg: GrayJpeg) -> list[Found]:
        """All faces of a picture that has nothing to do with others, the surest first.

        Raises:
            JpegError: it cannot be decoded.
        """

    def search(
        self, jpeg: GrayJpeg, info: FrameInfo, remembered: bytes | None
    ) -> tuple[list[Found], bytes | None]:
        """The faces of a camera's next frame, the surest first, and what to remember of it; None: nothing.

        `remembered` is what an earlier frame left. It may be old, missing, from another detector, or garbage.

        Raises:
            JpegError: the frame cannot be decoded.
        """
        ...

    def detail(self, jpeg: GrayJpeg, info: FrameInfo, remembered: bytes | None) -> float:
        """How many times smaller the frame's picture may be where `search` begins, or `scan` where nothing is
        remembered. A guess, so that it can be decoded ahead: `remembered` may be of the frame before the last."""
        ...
