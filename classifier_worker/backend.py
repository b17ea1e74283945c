"""What a classifier needs of an inference engine."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Crops per inference. Others are divided into these, because every new shape costs time once."""

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]


class Backend(Protocol):
    """An inference engine with one model, and one head of it that it serves."""

    def open(self) -> None:
        """Load and warm up.

        Raises:
            EmotionError: the engine or a file of the model is missing, damaged or does not fit the manifest.
        """

    def logits(self, crops: Pixels) -> Logits:
        """Logits float32 [n, classes] of gray crops uint8 [n, size, size]; any n, also 0."""
        ...

    def every_head(self, crops: Pixels) -> dict[str, Logits]:
        """The same of all heads of the model, by name: for measuring."""
        ...

    def close(self) -> None:
        """Free what `open` took."""


def chunks(count: int) -> list[tuple[int, int]]:
    """How to run `count` crops: (start, stop) of each inference. Pure."""
    parts, start = [], 0
    while start < count:
        stop = start + max(size for size in BATCH_SIZES if size <= count - start)
        parts.append((start, stop))
        start = stop
    return parts
