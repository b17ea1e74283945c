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


@dataclass(frozen=True, slots=True)
class Draws:
    """What chance does to each of n images.

    Attributes:
        maps: float64 [n, 2, 3], see `transforms`.
        gains: float64 [n], gray values are multiplied by it, and then
        offsets: float64 [n], added.
        boxes: int64 [n, 4], top, left, height and width of what is painted over; 0 high: nothing.
        shades: int64 [n], gray values that it is painted with.
    """

    maps: NDArray[np.float64]
    gains: NDArray[np.float64]
    offsets: NDArray[np.float64]
    boxes: NDArray[np.int64]
    shades: NDArray[np.int64]


def draw(n: int, side: int, size: int, jitter: Jitter, rng: np.random.Generator) -> Draws:
    """How n images of `side` pixels are varied into ones of `size`; the same state of `rng` gives the same."""
    maps = transforms(n, side, size, jitter, rng)
    gains = rng.uniform(1 - jitter.contrast, 1 + jitter.contrast, (n,))
    offsets = 128 * (1 - gains) + rng.uniform(-jitter.brightness, jitter.brightness, (n,))
    boxes, shades = np.zeros((n, 4), np.int64), np.zeros(n, np.int64)
    for at in np.flatnonzero(rng.random(n) < jitter.erase):
        height, width = (size * rng.uniform(jitter.erase_side / 3, jitter.erase_side, 2)).astype(int)
        top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
        boxes[at], shades[at] = (top, left, height, width), rng.integers(0, 256)
    return Draws(maps, gains, offsets, boxes, shades)


def augment(pixels: Pixels, size: int, jitter: Jitter, rng: np.random.Generator) -> Pixels:
    """Varied copies of square images, made by the processor; `models.data.on_device` does it on a GPU.

    Args:
        pixels: uint8 [n, side, side].
        size: side of the result, pixels.
        jitter: how far to go.
        rng: where chance comes from; the same state gives the same result.

    Returns:
        uint8 [n, size, size].
    """
    n, side = pixels.shape[:2]
    drawn = draw(n, side, size, jitter, rng)
    result = np.empty((n, size, size), np.uint8)
    for i, (top, left, height, width) in enumerate(drawn.boxes.tolist()):
        out = cv2.warpAffine(
            pixels[i], drawn.maps[i], (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        cv2.addWeighted(out, drawn.gains[i], out, 0, drawn.offsets[i], dst=result[i])
        result[i, top : top + height, left : left + width] = drawn.shades[i]
    return result


@dataclass(frozen=True, slots=True)
class Mixture:
    """What of another image of the batch comes into each.

    Attributes:
        other: int64 [n], which.
        own: share that an image keeps of its own gray values, outside of
        box: top, left and side of a square in which it keeps nothing.
        share: what it keeps over all, and so of its label.
    """

    other: NDArray[np.int64]
    own: float
    box: tuple[int, int, int]
    share: float


def draw_mixture(n: int, size: int, kind: str, alpha: float, rng: np.random.Generator) -> Mixture:
    """For n images of `size` pixels. `kind` "mixup" blends them (Zhang et al. 2018), "cutmix" pastes a rectangle
    (Yun et al. 2019), "none" leaves them alone; the share of the batch is drawn from Beta(alpha, alpha)."""
    if kind == "none":
        return Mixture(np.arange(n), 1.0, (0, 0, 0), 1.0)
    share = float(rng.beta(alpha, alpha))
    other = rng.permutation(n)
    if kind == "mixup":
        return Mixture(other, share, (0, 0, 0), share)
    length = round(size * math.sqrt(1 - share))
    top, left = rng.integers(0, size - length + 1, 2).tolist()
    return Mixture(other, 1.0, (top, left, length), 1 - (length / size) ** 2)


def mix_images(x: Floats, mixture: Mixture) -> Floats:
    """Images [n, size, size, 1] with others in them."""
    other, (top, left, length) = x[mixture.other], mixture.box
    mixed = x.copy() if mixture.own == 1 else mixture.own * x + (1 - mixture.own) * other
    inside = np.s_[:, top : top + length, left : left + length]
    mixed[inside] = other[inside]
    return mixed.astype(np.float32)


def mix_labels(y: Arrays, weights: Arrays, mixture: Mixture) -> tuple[Arrays, Arrays]:
    """Labels {head: [n, classes]} and weights {head: [n]} in the proportion of the images; what counts nothing
    adds nothing to the label."""
    mixed_y, mixed_weights = {}, {}
    for head, w in weights.items():
        own, added = mixture.share * w, (1 - mixture.share) * w[mixture.other]
        total = own + added
        blend = own[:, None] * y[head] + added[:, None] * y[head][mixture.other]
        mixed = np.where(total[:, None] > 0, blend / np.maximum(total, 1e-6)[:, None], y[head])
        mixed_y[head], mixed_weights[head] = mixed.astype(np.float32), total.astype(np.float32)
    return mixed_y, mixed_weights


def resize(pixels: Pixels, size: int) -> Pixels:
    """Images [n, side, side] scaled to [n, size, size], without variation."""
    return pixels if pixels.shape[1] == size else augment(pixels, size, NONE, np.random.default_rng(0))
