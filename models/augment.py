"""Variations of faces for training: what a detector's box and a camera may do to a face, and nothing else.

No vertical flips, no strong rotations: upside-down faces are not what the pipeline sees.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Arrays = dict[str, Floats]
"""Head -> an array with one row per image."""


@dataclass(frozen=True, slots=True)
class Jitter:
    """How far images are varied; each value is drawn evenly from plus or minus its bound.

    Scale and shift are those of the detector's boxes on faces of FER-2013 (benchmarks/jitter.py: 22 % of scale,
    6 % across and 8 % down).

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
    scale: float = 0.22
    shift: float = 0.07
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
    gains = rng.uniform(1 - jitter.contrast, 1 + jitter.contrast, (n,))
    offsets = 128 * (1 - gains) + rng.uniform(-jitter.brightness, jitter.brightness, (n,))
    result = np.empty((n, size, size), np.uint8)
    for i in range(n):
        out = cv2.warpAffine(
            pixels[i], maps[i], (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        cv2.addWeighted(out, gains[i], out, 0, offsets[i], dst=result[i])
    for at in np.flatnonzero(rng.random(n) < jitter.erase):
        height, width = (size * rng.uniform(jitter.erase_side / 3, jitter.erase_side, 2)).astype(int)
        top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
        result[at, top : top + height, left : left + width] = rng.integers(0, 256)
    return result


def mix(
    x: Floats, y: Arrays, weights: Arrays, kind: str, alpha: float, rng: np.random.Generator
) -> tuple[Floats, Arrays, Arrays]:
    """Each image with another of its batch in it, and their labels in the same proportion.

    Args:
        x: [n, size, size, 1].
        y: {head: [n, classes]}.
        weights: {head: [n]}; what counts nothing adds nothing to the label.
        kind: "mixup" blends them (Zhang et al. 2018), "cutmix" pastes a rectangle (Yun et al. 2019).
        alpha: the batch's share is drawn from Beta(alpha, alpha).
        rng: where chance comes from.
    """
    share = float(rng.beta(alpha, alpha))
    other = rng.permutation(len(x))
    if kind == "mixup":
        x = share * x + (1 - share) * x[other]
    else:
        side = x.shape[1]
        length = round(side * math.sqrt(1 - share))
        top, left = rng.integers(0, side - length + 1, 2).tolist()
        inside = np.s_[:, top : top + length, left : left + length]
        x = x.copy()
        x[inside] = x[other][inside]
        share = 1 - (length / side) ** 2
    mixed_y, mixed_weights = {}, {}
    for head, w in weights.items():
        own, added = share * w, (1 - share) * w[other]
        total = own + added
        blend = own[:, None] * y[head] + added[:, None] * y[head][other]
        mixed_y[head] = np.where(total[:, None] > 0, blend / np.maximum(total, 1e-6)[:, None], y[head])
        mixed_weights[head] = total
    return (
        x.astype(np.float32),
        {head: a.astype(np.float32) for head, a in mixed_y.items()},
        {head: a.astype(np.float32) for head, a in mixed_weights.items()},
    )


def resize(pixels: Pixels, size: int) -> Pixels:
    """Images [n, side, side] scaled to [n, size, size], without variation."""
    return pixels if pixels.shape[1] == size else augment(pixels, size, NONE, np.random.default_rng(0))
