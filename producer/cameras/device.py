"""Cameras by index."""

import sys
import time
import zlib

import cv2
import numpy as np

from emotion_stream.producer.cameras.grab import CaptureError, Sample
from emotion_stream.producer.cameras.permission import denied

SOME_ROWS = 16


class CameraCapture:
    """An open camera."""

    finite = False
    waits = None

    def __init__(self, index: int) -> None:
        """
        Raises:
            CaptureError: there is no such camera, or it is in use.
        """
        self._device = open_device(index)
        if not self._device.isOpened():
            raise CaptureError(denied(index) or "not there, or in use by another program")
        self._device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self.heard = time.monotonic()

    def read(self) -> Sample | None:
        """The next picture, uint8 [height, width, 3], BGR, and what tells it from others.

        Raises:
            CaptureError: the camera delivers nothing.
        """
        done, image = self._device.read()
        if not done or image is None or image.size == 0:
            raise CaptureError("it delivers nothing")
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        self.heard = time.monotonic()
        pixels = np.asarray(image, np.uint8)
        # Noise is everywhere: a part of the rows tells whether a picture is another one.
        return Sample(pixels, zlib.crc32(np.ascontiguousarray(pixels[::SOME_ROWS]).data))

    def close(self) -> None:
        """Release the device."""
        self._device.release()


def open_device(index: int) -> cv2.VideoCapture:
    """OpenCV's capture for a camera, whether or not it opens; OpenCV's own complaints are kept quiet."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Elsewhere OpenCV would go on to ask every back end, each with complaints of its own.
    backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
    return cv2.VideoCapture(index, backend)
