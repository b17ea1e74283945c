"""What Keras is fed with, and what happens between batches and epochs. Choose Keras' back end first."""

import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.augment import Arrays, mix
from models.data import Split, soft_votes
from models.labels import LABELS, consensus
from models.network import HEADS

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


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled batches. Chance depends on seed, epoch and batch alone, so a resumed run sees the same.

    Args:
        x: [n, ..]; `prepare` makes of some of them, and of a source of chance, what the network takes.
        y: {head: [n, 7]}.
        weights: {head: [n]}.
        mixing: "none", "mixup" or "cutmix" (`models.augment.mix`), and its alpha.
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

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], Arrays, Arrays]:
        chosen = self.order[index * self.batch : (index + 1) * self.batch]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        y, weights = ({head: a[chosen] for head, a in arrays.items()} for arrays in (self.y, self.weights))
        x = self.prepare(self.x[chosen], rng)
        kind, alpha = self.mixing
        return (x, y, weights) if kind == "none" else mix(x, y, weights, kind, alpha, rng)

    def on_epoch_end(self) -> None:
        self.start_at(self.epoch + 1)


class Facts(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds seconds and learning rate to the figures of each epoch. First among the callbacks.

    Where there is one head, Keras leaves its name away; it is put back here: all runs have the same columns.
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name in [n for n in logs if len(self.model.outputs) == 1 and not n.endswith("loss")]:
            part, plain = ("val_", name[4:]) if name.startswith("val_") else ("", name)
            logs[f"{part}{HEADS[0]}_{plain}"] = logs.pop(name)
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        logs["seconds"] = round(time.monotonic() - self.start, 2)


class Schedule(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends training in time, and brings the learning rate down: a warm-up, then half a cosine to 0.

    How far training is, is what has been used up more of: its steps, or its time.

    Args:
        peak: of the learning rate; None: it is left alone.
        steps: of all epochs.
        warm_up: share of training in which the rate rises.
        seconds: time for training, over all sessions; None: as long as it takes.
        spent: seconds of it used by earlier sessions.
    """

    def __init__(
        self, peak: float | None, steps: int, warm_up: float, seconds: float | None = None, spent: float = 0
    ) -> None:
        super().__init__()
        self.peak, self.steps, self.warm_up = peak, steps, warm_up
        self.seconds, self.spent = seconds, spent

    def on_train_begin(self, logs: Any = None) -> None:
        self.started = self.epoch_started = time.monotonic() - self.spent
        self.step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        self.set_rate()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch_started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self.set_rate()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        now = time.monotonic()
        # an epoch that would end late is not begun
        if self.seconds is not None and now - self.started + (now - self.epoch_started) > self.seconds:
            self.model.stop_training = True

    def progress(self) -> float:
        """From 0 to 1."""
        used = 0.0 if self.seconds is None else (time.monotonic() - self.started) / self.seconds
        return min(1.0, max(self.step / self.steps, used))

    def set_rate(self) -> None:
        if self.peak is None:
            return
        done = self.progress()
        if done < self.warm_up:
            rate = self.peak * max(done, 1 / self.steps) / self.warm_up
        else:
            rate = self.peak * 0.5 * (1 + math.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up)))
        self.model.optimizer.learning_rate = min(rate, self.peak)


class Average(keras.callbacks.Callback):  # type: ignore[misc]
    """A running average of all weights, batch normalisation's statistics included.

    It is in the model from validation to its own `on_epoch_end`: callbacks before this one see the average, those
    after it see the weights that training goes on with.

    Args:
        decay: of the average, once enough steps are done.
        path: .npz file that keeps the average between runs.
    """

    def __init__(self, decay: float, path: Path) -> None:
        super().__init__()
        self.decay, self.path = decay, path
        self.average: list[Any] = []
        self.raw: list[Any] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.average = [keras.ops.copy(keras.ops.stop_gradient(w.value)) for w in self.model.weights]
        if self.path.exists():
            with np.load(self.path) as archive:
                self.average = [keras.ops.convert_to_tensor(archive[name]) for name in archive.files]
        self.step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))  # counted: a GPU would wait

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        rate = 1 - min(self.decay, self.step / (self.step + 10))  # short at first: the start is soon forgotten
        self.average = [
            a + rate * (keras.ops.stop_gradient(w.value) - a) if "float" in w.dtype else keras.ops.copy(w.value)
            for a, w in zip(self.average, self.model.weights, strict=True)
        ]

    def on_test_begin(self, logs: Any = None) -> None:
        if self.average and self.raw is None:
            self.raw = self.model.get_weights()
            self.model.set_weights([keras.ops.convert_to_numpy(a) for a in self.average])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.raw is not None:
            self.model.set_weights(self.raw)
            self.raw = None
        draft = self.path.with_suffix(".part.npz")
        np.savez(draft, *(keras.ops.convert_to_numpy(a) for a in self.average))
        os.replace(draft, self.path)


class Publish(keras.callbacks.Callback):  # type: ignore[misc]
    """Renames what a ModelCheckpoint wrote, so that a file is there whole or not at all."""

    def __init__(self, draft: Path, path: Path) -> None:
        super().__init__()
        self.draft, self.path = draft, path

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.draft.exists():
            os.replace(self.draft, self.path)
