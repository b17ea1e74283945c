"""What Keras is fed with. Choose Keras' back end first."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from emotion_stream.models.data.augment import Arrays, Jitter, augment, draw, draw_mixture, mix_images, mix_labels
from emotion_stream.models.data.fer2013 import Split, soft_votes
from emotion_stream.models.data.on_device import packed
from emotion_stream.models.labels import LABELS, consensus

Prepare = Callable[[NDArray[Any], np.random.Generator], NDArray[np.float32]]


def class_weights(labels: NDArray[np.int64], kind: str) -> NDArray[np.float32]:
    """A weight per class whose mean over `labels` is 1: kind none, sqrt or balanced."""
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    weights = np.maximum(np.bincount(labels, minlength=len(LABELS)), 1).astype(np.float64) ** -power
    return np.asarray(weights / weights[labels].mean(), np.float32)


def targets(split: Split, heads: Sequence[str], soft: bool, weighting: str = "none") -> tuple[Arrays, Arrays]:
    """What the heads should say, and how much each image counts.

    Args:
        split: images with labels, and with votes where `heads` have `consensus`.
        heads: outputs of the network.
        soft: `consensus` gets the shares of the votes, to learn from; else the plurality, to be measured by.
        weighting: see `class_weights`; for `fer2013` only.

    Returns:
        {head: float32 [n, 7]} and {head: float32 [n]}.
    """
    one = np.eye(len(LABELS), dtype=np.float32)
    y = {"fer2013": one[split.labels]}
    weights = {"fer2013": class_weights(split.labels, weighting)[split.labels]}
    if "consensus" in heads:
        assert split.votes is not None
        if soft:
            y["consensus"], weights["consensus"] = soft_votes(split.votes)
        else:
            labels, clear = consensus(split.votes)
            y["consensus"], weights["consensus"] = one[labels], clear.astype(np.float32)
    return y, weights


def inputs(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network takes: float32 [n, size, size, 1]."""
    return crops[..., None].astype(np.float32)


def workers() -> int:
    """Threads that prepare batches: OpenCV runs outside Python's lock, but more than a few gain nothing."""
    return max(1, min(8, (os.cpu_count() or 1) - 2))


@dataclass(frozen=True, slots=True)
class Vary:
    """How training images are prepared.

    Attributes:
        size: side of what the network takes, pixels.
        jitter: how far they are varied.
        on_device: draw only; a `Student` does it inside its train step.
    """

    size: int
    jitter: Jitter
    on_device: bool = False

    def __call__(self, pixels: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float32]:
        """Pixels of a batch as the network takes them, varied here or on the device."""
        return inputs(augment(pixels, self.size, self.jitter, rng))


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled batches. Chance depends on seed, epoch and batch alone, so a resumed run sees the same.

    Args:
        x: [n, ..]; `prepare` makes of some of them, and of a source of chance, what the network takes.
        y: {head: [n, 7]}.
        weights: {head: [n]}.
        mixing: "none", "mixup" or "cutmix" (`models.data.augment.draw_mixture`), and its alpha.

    A batch is images, labels and weights. With `Vary.on_device` its images are the plain ones and what was drawn:
    {"pixels": uint8 [n, side, side], "draws": float32 [n, 18]}.
    """

    def __init__(
        self, x: NDArray[Any], y: Arrays, weights: Arrays, prepare: Prepare, *, batch: int, seed: int,
        mixing: tuple[str, float] = ("none", 1.0),
    ) -> None:  # fmt: skip
        super().__init__(workers=workers())
        self.x, self.y, self.weights, self.prepare = x, y, weights, prepare
        self.batch, self.seed, self.mixing = min(batch, len(x)), seed, mixing
        self.start_at(0)

    def start_at(self, epoch: int) -> None:
        """Draw as in this epoch, counted from 0."""
        self.epoch = epoch
        self.order = np.random.default_rng((self.seed, epoch)).permutation(len(self.x))

    def __len__(self) -> int:
        return len(self.x) // self.batch  # a last, smaller batch would disturb batch normalisation

    def __getitem__(self, index: int) -> tuple[Any, Arrays, Arrays]:
        chosen = self.order[index * self.batch : (index + 1) * self.batch]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        y, weights = ({head: a[chosen] for head, a in arrays.items()} for arrays in (self.y, self.weights))
        x, (kind, alpha) = self.x[chosen], self.mixing
        if isinstance(self.prepare, Vary) and self.prepare.on_device:
            size = self.prepare.size
            drawn = draw(len(x), x.shape[1], size, self.prepare.jitter, rng)
            mixture = draw_mixture(len(x), size, kind, alpha, rng)
            return {"pixels": x, "draws": packed(drawn, mixture)}, *mix_labels(y, weights, mixture)
        x = self.prepare(x, rng)
        if kind == "none":
            return x, y, weights
        mixture = draw_mixture(len(x), x.shape[1], kind, alpha, rng)
        return mix_images(x, mixture), *mix_labels(y, weights, mixture)

    def on_epoch_end(self) -> None:
        """Shuffle anew for the next epoch."""
        self.start_at(self.epoch + 1)


def tell_shapes(model: Any, feed: Batches, plain: tuple[Any, Arrays, Arrays]) -> None:
    """Let a compiled model see two plain images, where those of `feed` come with draws: Keras learns shapes so."""
    if isinstance(feed.prepare, Vary) and feed.prepare.on_device:
        x, *rest = plain
        model.test_on_batch(x[:2], *({head: a[:2] for head, a in arrays.items()} for arrays in rest))
