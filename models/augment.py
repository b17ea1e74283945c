"""Variations of faces for training: what a detector's box and a camera may do to a face, and nothing else.

No vertical flips, no strong rotations: upside-down faces are not what the pipeline sees.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Jitter:
    """How far images are varied; each value is drawn evenly from plus or minus its bound.

    Attributes:
        flip: probability of mirroring left and right.
        rotation: degrees.
        scale: relative size, 0.15 for 85 % to 115 %.
        shift: of the centre, as a fraction of the side.
        contrast: relative.
        brightness: gray values.
        erase: probability that a rectangle is painted over.
        erase_side: its sides at most, as a fraction of the image's; at least a third of that.
    """

    flip: float = 0.5
    rotation: float = 12.0
    scale: float = 0.15
    shift: float = 0.08
    contrast: float = 0.3
    brightness: float = 25.0
    erase: float = 0.4
    erase_side: float = 0.33


NONE = Jitter(0, 0, 0, 0, 0, 0, 0, 0)
"""Leaves images as they are."""


def transforms(n: int, side: int, size: int, jitter: Jitter, rng: np.random.Generator) -> NDArray[np.float64]:
    """Affine maps [n, 2, 3] from images of `side` to crops of `size` pixels, for `cv2.warpAffine`."""
    angle = np.deg2rad(rng.uniform(-jitter.rotation, jitter.rotation, n))
    scale = size / side * (1 + rng.uniform(-jitter.scale, jitter.scale, n))
    mirror = np.where(rng.random(n) < jitter.flip, -1.0, 1.0)
    shift = rng.uniform(-jitter.shift, jitter.shift, (n, 2)) * size
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    linear = np.stack([np.stack([cos * mirror, -sin], 1), np.stack([sin * mirror, cos], 1)], 1)
    # pixel centres lie at whole numbers: the middle of n pixels is (n - 1) / 2
    offset = (size - 1) / 2 + shift - linear @ np.full(2, (side - 1) / 2)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def augment(pixels: Pixels, size: int, jitter: Jitter, rng: np.random.Generator) -> Pixels:
    """Varied copies of square images.

    Args:
        pixels: uint8 [n, side, side].
        size: side of the result, pixels.
        jitter: how far to go.
        rng: where chance comes from; the same state gives the same result.

    Returns:
        uint8 [n, size, size].
    """
    n, side = pixels.shape[:2]
    maps = transforms(n, side, size, jitter, rng)
    result = np.empty((n, size, size), np.uint8)
    for image, matrix, out in zip(pixels, maps, result, strict=True):
        cv2.warpAffine(
            image, matrix, (size, size), dst=out, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    gain = 1 + rng.uniform(-jitter.contrast, jitter.contrast, (n, 1, 1))
    offset = rng.uniform(-jitter.brightness, jitter.brightness, (n, 1, 1))
    result = np.clip((result - 128.0) * gain + 128 + offset + 0.5, 0, 255).astype(np.uint8)
    for i in np.flatnonzero(rng.random(n) < jitter.erase):
        height, width = (size * rng.uniform(jitter.erase_side / 3, jitter.erase_side, 2)).astype(int)
        top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
        result[i, top : top + height, left : left + width] = rng.integers(0, 256)
    return result


def resize(pixels: Pixels, size: int) -> Pixels:
    """Images [n, side, side] scaled to [n, size, size], without variation."""
    return pixels if pixels.shape[1] == size else augment(pixels, size, NONE, np.random.default_rng(0))
