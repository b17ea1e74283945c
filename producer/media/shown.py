"""From a decoded frame to the picture that a player shows: cut, with square pixels, upright, not mirrored."""

import struct
from collections.abc import Sequence
from typing import Any, cast

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from emotion_stream.producer.media.container import Edges, cropping
from emotion_stream.producer.pictures.pixels import upright
from emotion_stream.producer.pictures.source import Image, too_large

WIDEST_PIXEL = 16.0
"""Ratio of a pixel's sides beyond which it is nonsense and taken as square."""
_EXIF = {
    # swapped, first axis turned round, second axis turned round
    (False, False, False): 1,
    (False, True, False): 2,
    (False, True, True): 3,
    (False, False, True): 4,
    (True, False, False): 5,
    (True, True, False): 6,
    (True, True, True): 7,
    (True, False, True): 8,
}


class Shown:
    """Makes pictures of one stream's frames. Used by one thread.

    One converter for all frames of a stream takes half the time of a new one for each; threads do not help.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._converter = VideoReformatter()
        self._cut = cropping(container, stream)
        self._codec = stream.codec_context
        # The container's word counts more than the codec's, as in FFmpeg; only the codec's may change on the way.
        told, coded = stream.sample_aspect_ratio, self._codec.sample_aspect_ratio
        self._told = float(told) if told and told != coded else None

    def image(self, frame: av.VideoFrame) -> Image:
        """The picture, uint8 `[height, width, 3]`, BGR.

        Raises:
            ValueError: it is too large.
        """
        problem = too_large(frame.width, frame.height)
        if problem:
            raise ValueError(problem)
        image = np.asarray(self._converter.reformat(frame, format="bgr24", threads=1).to_ndarray(), np.uint8)
        if any(self._cut):
            image = cut(image, self._cut)
        image = square(image, self.pixel())
        orientation = turned(frame)
        return upright(image, orientation) if orientation != 1 else image

    def pixel(self) -> float:
        """Width of a pixel divided by its height; 1 where nobody tells."""
        ratio = self._told or float(self._codec.sample_aspect_ratio or 1)
        return ratio if 1 / WIDEST_PIXEL <= ratio <= WIDEST_PIXEL else 1.0


def cut(image: Image, edges: Edges) -> Image:
    """The picture without its `edges`; whole where nothing would be left. Pure."""
    left, right, top, bottom = edges
    height, width = image.shape[:2]
    if left + right >= width or top + bottom >= height:
        return image
    return np.ascontiguousarray(image[top : height - bottom, left : width - right])


def square(image: Image, pixel: float) -> Image:
    """The picture, whose pixels are `pixel` times as wide as high, with square ones: its width changes, as in
    players. Pure.

    Raises:
        ValueError: it becomes too large.
    """
    height, width = image.shape[:2]
    shown = max(1, round(width * pixel))
    if shown == width:
        return image
    problem = too_large(shown, height)
    if problem:
        raise ValueError(problem)
    how = cv2.INTER_AREA if shown < width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (shown, height), interpolation=how), np.uint8)


def turned(frame: av.VideoFrame) -> int:
    """The EXIF orientation, 1 to 8, of a frame, by its display matrix (MP4, Matroska, HEVC and H.264 messages)."""
    # Not `frame.side_data`: the frame would keep that, which keeps the frame with its picture, until Python looks
    # for such circles, hundreds of megabytes later.
    side = cast(Any, SideDataContainer)(frame).get("DISPLAYMATRIX")
    return 1 if side is None else orientation(struct.unpack("=9i", bytes(cast(Any, side))))


def orientation(matrix: Sequence[int]) -> int:
    """The EXIF orientation, 1 to 8, that is nearest to a display matrix (ISO/IEC 14496-12, 8.3.2), nine numbers of
    which the first, second, fourth and fifth turn and mirror: x' = a x + c y, y' = b x + d y. Pure."""
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _EXIF[False, a < 0, d < 0]
    return _EXIF[True, c < 0, b < 0]
