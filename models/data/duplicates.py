"""Copies among images: exact ones, near ones, and 64-bit hashes that tell both without the images."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_stream.models.data.fer2013 import Split

NEAR = 0.985
"""Correlation of two images, reduced to 16x16, from which on they count as the same picture."""

FLAT = 1.0
"""Standard deviation of gray values below which an image shows nothing."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Training images that are left, and why others went.

    Attributes:
        kept: what training may use.
        flat: images of one colour.
        in_tests: exact, near or mirrored copies of test images.
        conflicting: copies within training whose labels contradict each other; all of a group go.
        repeated: further exact copies within training; the first of each stays.
    """

    kept: Split
    flat: int
    in_tests: int
    conflicting: int
    repeated: int

    def summary(self) -> str:
        """One line for the log."""
        return (
            f"{len(self.kept)} training images; left out: {self.in_tests} copies or near copies of test images, "
            f"{self.repeated} repeated, {self.conflicting} with contradicting labels, {self.flat} blank"
        )


def unit(pixels: Pixels, side: int = 16) -> NDArray[np.float32]:
    """Each image reduced to side x side by means, centred, of length 1: float32 [n, side * side]."""
    n, height, width = pixels.shape
    blocks = pixels.reshape(n, side, height // side, side, width // side).astype(np.float32)
    flat = blocks.mean(axis=(2, 4)).reshape(n, -1)
    flat -= flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(lengths, 1e-6), np.float32)


def near_copies(pixels: Pixels, others: Pixels, threshold: float = NEAR, chunk: int = 2048) -> NDArray[np.bool_]:
    """Which of `pixels` are near copies of any of `others`, mirrored ones included: bool [n]."""
    if not len(others) or not len(pixels):
        return np.zeros(len(pixels), bool)
    targets = np.concatenate([unit(others), unit(others[:, :, ::-1])]).T
    parts = [pixels[i : i + chunk] for i in range(0, len(pixels), chunk)]
    return np.concatenate([(unit(part) @ targets).max(axis=1) >= threshold for part in parts])


def clean(training: Split, tests: Sequence[Split], threshold: float = NEAR) -> Cleaned:
    """Take out of `training` what would flatter the tests or teach nothing. Near copies within it stay."""
    flat = training.pixels.reshape(len(training), -1).std(axis=1) < FLAT
    in_tests = np.zeros(len(training), bool)
    for test in tests:
        in_tests |= near_copies(training.pixels, test.pixels, threshold)
    in_tests &= ~flat
    groups: dict[bytes, list[int]] = {}
    for i in np.flatnonzero(~(flat | in_tests)):
        groups.setdefault(training.pixels[i].tobytes(), []).append(int(i))
    repeated, conflicting = np.zeros(len(training), bool), np.zeros(len(training), bool)
    for group in groups.values():
        if len({int(training.labels[i]) for i in group}) > 1:
            conflicting[group] = True
        else:
            repeated[group[1:]] = True
    kept = training.take(~(flat | in_tests | conflicting | repeated))
    return Cleaned(kept, *(int(mask.sum()) for mask in (flat, in_tests, conflicting, repeated)))


def hashes(pixels: Pixels) -> NDArray[np.uint64]:
    """A perceptual hash of each image, uint64 [n]: the signs of its 64 lowest frequencies but the mean.

    Copies have the same hash; recompressed ones differ in a few bits.
    """
    bits = np.empty((len(pixels), 64), np.uint8)
    for i, image in enumerate(pixels):
        spectrum = cv2.dct(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32))
        low = spectrum[:9, :8].ravel()[1:65]  # without the mean
        bits[i] = low > np.median(low)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def near_hashes(
    some: NDArray[np.uint64], others: NDArray[np.uint64], bits: int = 0, chunk: int = 1024
) -> NDArray[np.bool_]:
    """Which of `some` differ from any of `others` in at most `bits` bits: bool [n]."""
    if bits == 0 or not len(others) or not len(some):
        return np.isin(some, others)
    parts = [some[i : i + chunk] for i in range(0, len(some), chunk)]
    return np.concatenate([np.bitwise_count(part[:, None] ^ others).min(axis=1) <= bits for part in parts])
