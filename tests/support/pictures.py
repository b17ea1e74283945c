"""Real pictures for tests: frames of the sample clip, and what is made from them."""

from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

SAMPLE = Path(__file__).parents[2] / "samples" / "sample.mp4"
SHARED_DATA = Path(__file__).parents[2].parent / "shared" / "data"


@cache
def sample_frames() -> tuple[Image, ...]:
    """All frames of the sample clip, BGR."""
    with av.open(str(SAMPLE)) as clip:
        return tuple(np.asarray(f.to_ndarray(format="bgr24"), np.uint8) for f in clip.decode(video=0))


def portraits() -> tuple[Image, Image]:
    """Two square pictures of 160 and 200 pixels, each with one face in its middle."""
    frame = sample_frames()[115]
    return frame[90:250, 95:255], frame[70:270, 360:560]


def to_gray(image: Image) -> Image:
    """The picture, BGR, in gray."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def encode(image: Image, suffix: str = ".jpg") -> bytes:
    """The picture as a file's bytes."""
    ok, data = cv2.imencode(suffix, image)
    assert ok
    return data.tobytes()
