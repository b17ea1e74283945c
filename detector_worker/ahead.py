"""Decoding the next frame of a batch in a thread, while this one is searched: OpenCV does both without Python."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from emotion_stream.shared.messages.jpeg import GrayJpeg, JpegError
from emotion_stream.shared.messages.types import Frame


class Ahead:
    """Opens the JPEGs of one batch after the other. Used by one thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "decode")
        self._reductions: dict[str, int] = {}

    def opened(self, batch: Sequence[Frame]) -> Iterator[tuple[Frame, GrayJpeg | JpegError]]:
        """Each frame with its JPEG, or with what is wrong with it.

        When a frame is handed out, the next one begins to be decoded, as fine as the camera's last one was in the
        end. Nobody knows what it will need: a finer one is then decoded again.
        """
        jpegs = [_opened(frame) for frame in batch]
        seen: dict[str, int] = {}
        for n, (frame, jpeg) in enumerate(zip(batch, jpegs, strict=True)):
            if n + 1 < len(batch):
                self._begin(batch[n + 1], jpegs[n + 1], {**self._reductions, **seen})
            yield frame, jpeg
            if isinstance(jpeg, GrayJpeg) and frame.info.analyzed:
                seen[frame.info.camera] = jpeg.reduction
        self._reductions = seen

    def _begin(self, frame: Frame, jpeg: GrayJpeg | JpegError, reductions: dict[str, int]) -> None:
        reduction = reductions.get(frame.info.camera)
        if reduction and frame.info.analyzed and isinstance(jpeg, GrayJpeg):
            jpeg.begin(self._thread, reduction)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


def _opened(frame: Frame) -> GrayJpeg | JpegError:
    try:
        return GrayJpeg(frame.jpeg)
    except JpegError as e:
        return e
