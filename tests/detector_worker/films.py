"""Pictures of a camera, one after the other, for a search that remembers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from emotion_stream.detector_worker.contract import Gray
from emotion_stream.detector_worker.haar.cascade import SMALL, Face, FaceFinder, Sizes
from emotion_stream.detector_worker.haar.memory import Memory
from emotion_stream.detector_worker.haar.search import Searcher
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.types import Box, Mode, ModelSpec
from emotion_stream.shared.settings.options import DetectorOptions
from tests.conftest import make_frame
from tests.support.pictures import Image, encode, portraits

MODEL = ModelSpec("test", 48, 0.1)
RATE = 25


class CountingFinder(FaceFinder):
    """Notes what it scanned, as fractions of the cost of a whole picture."""

    def __init__(self, options: DetectorOptions) -> None:
        super().__init__(options)
        self.scanned: list[float] = []
        self.small = 0

    def find(self, gray: Gray, area: Box | None = None) -> list[Face]:
        self.scanned.append(1.0)
        return super().find(gray, area)

    def find_sizes(
        self, sizes: Sizes, gray: Gray, area: Box, scale: float, known: Sequence[Face] = ()
    ) -> list[Face]:
        self.small += sizes is SMALL
        self.scanned.append(sizes.cost * area.width * area.height / gray.size)
        return super().find_sizes(sizes, gray, area, scale, known)


class Film:
    """A camera's pictures, searched one after the other."""

    def __init__(
        self, every: int = 100_000, camera: str = "cam", min_neighbors: int = 3, mode: Mode = "lossless"
    ) -> None:
        options = DetectorOptions(scan_every=every, min_neighbors=min_neighbors)
        self.finder = CountingFinder(options)
        self.searcher = Searcher(self.finder, options, 40)
        self.memory: Memory | None = None
        self.camera = camera
        self.seq = 0
        self.mode = mode

    def show(self, image: Image) -> list[Box]:
        """The faces found in the next picture."""
        info = make_frame(self.seq, self.camera).info
        info = replace(
            info, media_time=self.seq / RATE, height=image.shape[0], width=image.shape[1], mode=self.mode
        )
        self.seq += 1
        self.finder.scanned.clear()
        faces, self.memory = self.searcher.search(GrayJpeg(encode(image)), info, self.memory)
        return [box for box, _ in faces]


def scene(*places: tuple[int, int], size: tuple[int, int] = (640, 360)) -> Image:
    """A calm picture with a portrait, 160 x 160 pixels, at each place (left, top)."""
    across = np.linspace(90, 160, size[0])
    picture = np.repeat(np.tile(across, (size[1], 1))[:, :, None], 3, axis=2).astype(np.uint8)
    for x, y in places:
        picture[y : y + 160, x : x + 160] = portraits()[0]
    return picture
