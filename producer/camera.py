"""Cameras by index."""

import sys

import cv2
import numpy as np

from producer.grab import CaptureError
from producer.source import Image


class CameraCapture:
    """An open camera."""

    finite = False

    def __init__(self, index: int) -> None:
        """
        Raises:
            CaptureError: there is no such camera, or it is in use.
        """
        self._device = open_device(index)
        if not self._device.isOpened():
            raise CaptureError("not there, or in use by another program")
        self._device.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def read(self) -> Image | None:
        done, image = self._device.read()
        if not done or image is None or image.size == 0:
            raise CaptureError("it delivers nothing")
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        return np.asarray(image, np.uint8)

    def close(self) -> None:
        self._device.release()


def open_device(index: int) -> cv2.VideoCapture:
    """OpenCV's capture for a camera, whether or not it opens; OpenCV's own complaints are kept quiet."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Elsewhere OpenCV would go on to ask every back end, each with complaints of its own.
    backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
    return cv2.VideoCapture(index, backend)
