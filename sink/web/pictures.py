"""JPEGs of the newest pictures, clean or annotated: made only when somebody looks, and once for all who do."""

import asyncio
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2

from emotion_stream.shared.words.words import ENGLISH, Words
from emotion_stream.sink.drawing.draw import annotate, plate
from emotion_stream.sink.drawing.resize import resized
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.web.lane import Shot

WIDTHS = (320, 480, 640, 960, 1280, 1920)
"""Pixels; 0 is the frame's own width. Few of them, so that viewers share pictures."""
QUALITY = 82
SNAPSHOT_QUALITY = 93
THREADS = 2
PLATE = (640, 360)
"""Size of a picture that says why there is none, where the camera's is unknown."""


def step(width: int) -> int:
    """The next width of `WIDTHS`; 0 beyond the last, and for 0."""
    place = bisect_left(WIDTHS, width)
    return WIDTHS[place] if width > 0 and place < len(WIDTHS) else 0


def render(shot: Shot, width: int, annotated: Words | None, quality: int, notice: str) -> bytes:
    """A JPEG at most `width` pixels wide (0: as wide as the frame). Pure.

    Args:
        annotated: the language, where it stands alone, so that faces, camera, age and `notice` have to be told in
            it. The page draws them itself, over a clean picture.
        quality: of the JPEG, 1 to 100.
    """
    result, image = shot.result, shot.image
    if image is None:
        info = result.info
        size = (info.width, info.height) if info.width and info.height else PLATE
        image = plate(*size, result, words=annotated or ENGLISH)
    else:
        if width and image.shape[1] > width:
            image, result = shrink(image, result, width)
        if annotated is not None:
            image = annotate(image, result, notice=result.notice(notice), words=annotated)
    ok, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError("the picture cannot be encoded")
    return jpeg.tobytes()


def shrink(image: Image, result: Result, width: int) -> tuple[Image, Result]:
    """Picture and boxes scaled down to this width, before anything is drawn: letters stay readable. Pure."""
    return resized(image, result, width, max(1, round(image.shape[0] * width / image.shape[1])))


class Gallery:
    """Makes JPEGs on a few threads of its own. Used within one event loop."""

    def __init__(self, notice: str = "") -> None:
        self._notice = notice
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")
        self._made: dict[tuple[str, int, str, int], tuple[int, asyncio.Future[bytes]]] = {}

    async def jpeg(
        self, shot: Shot, width: int = 0, annotated: Words | None = None, quality: int = QUALITY
    ) -> bytes:
        """The picture at the next width of `WIDTHS`."""
        width = step(width)
        key = shot.result.info.camera, width, annotated.code if annotated else "", quality
        number, made = self._made.get(key, (-1, None))
        if made is None or number < shot.number:
            work = partial(render, shot, width, annotated, quality, self._notice)
            made = asyncio.get_running_loop().run_in_executor(self._pool, work)
            self._made[key] = shot.number, made
        return await asyncio.shield(made)  # a viewer who leaves does not take it away from the others

    def close(self) -> None:
        """Let the threads end; does not wait for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)
