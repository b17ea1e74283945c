"""Measure how fast `emotion train` is on PyTorch: images a second, beside plain PyTorch with the same network.

Usage: python -m benchmarks.network.training [--width W] [--batch N] [--steps N] [--rounds N] [--bfloat16]

Needs an environment with PyTorch and Keras (`make train-env BACKEND=torch`). Both sides train VGG16 with batch
normalisation and two heads on the same made images, varied by `Batches` as always, with the same losses, Nesterov
momentum, weight decay, clipping and running average. `emotion train` computes its metrics beside that. Rounds take
turns, and each row tells its fastest, because other work on the machine only ever slows it; the seconds of
processor time that a thousand images took depend less on other work.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import numpy as np
import torch
from torch import nn

from emotion_stream.benchmarks.harness.script import script
from emotion_stream.models.data.augment import Jitter
from emotion_stream.models.evaluation.runlog import table
from emotion_stream.models.network import HEADS, MEAN, convolutions
from emotion_stream.models.training import trainable
from emotion_stream.models.training.feeding import Batches, Vary
from emotion_stream.models.training.train import compile_model
from emotion_stream.shared.settings.command_options import TrainOptions

SIZE = 48
OPTIONS = TrainOptions(learning_rate=0.01, schedule="plateau")
"""As `emotion train` has it by default, but at an even rate."""


class Plain(nn.Module):  # type: ignore[misc]
    """The network of `build_trainable`, as one writes it in PyTorch."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        blocks = convolutions(widths)
        for number, block in enumerate(blocks, start=1):
            for _, channels, width in block:
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1),
                    nn.BatchNorm2d(width, eps=1e-3),
                    nn.ReLU(True),
                ]
            if number < len(blocks):
                layers.append(nn.MaxPool2d(2))
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(widths[-1], 7) for _ in HEADS)

    def forward(self, x: Any) -> list[Any]:
        """Logits of each head, for pictures [n, 1, height, width]."""
        features = nn.functional.dropout(self.trunk(x - MEAN).mean(dim=(2, 3)), OPTIONS.dropout, self.training)
        return [head(features) for head in self.heads]


def plain_steps(feed: Batches, widths: tuple[int, ...], bfloat16: bool) -> Iterator[None]:
    """One step of plain PyTorch each time."""
    model = Plain(widths).to(memory_format=torch.channels_last).train()
    weights = list(model.parameters())
    average = [w.detach().clone() for w in weights]
    kernels, others = [w for w in weights if w.ndim > 1], [w for w in weights if w.ndim == 1]
    groups = [{"params": kernels, "weight_decay": OPTIONS.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True)
    smoothing = {HEADS[0]: OPTIONS.label_smoothing, HEADS[1]: 0.0}
    while True:
        for index in range(len(feed)):
            pixels, y, w = feed[index]
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2)  # one channel: that is "channels last" already
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                answers = model(x)
            loss = torch.zeros(())
            for head, logits in zip(HEADS, answers, strict=True):
                labels, counts = torch.from_numpy(y[head]), torch.from_numpy(w[head])
                each = nn.functional.cross_entropy(
                    logits.float(), labels, reduction="none", label_smoothing=smoothing[head]
                )
                loss = loss + (each * counts).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 5.0)
            optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, weights, 1 - OPTIONS.average)
            loss.item()
            yield


def our_steps(feed: Batches, widths: tuple[int, ...], bfloat16: bool) -> Callable[[], Any]:
    """What `emotion train` does in an epoch of this feed."""
    import keras

    keras.mixed_precision.set_global_policy("mixed_bfloat16" if bfloat16 else "float32")
    model = trainable.build_trainable(SIZE, HEADS, widths, momentum=OPTIONS.average)
    compile_model(model, OPTIONS, HEADS, len(feed))
    return lambda: model.fit(feed, epochs=1, shuffle=False, verbose=0)


def made(count: int, batch: int) -> Batches:
    """Random images with random labels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, SIZE, SIZE), np.uint8)
    y = {HEADS[0]: np.eye(7, dtype=np.float32)[rng.integers(0, 7, count)]}
    y[HEADS[1]] = rng.dirichlet(np.ones(7), count).astype(np.float32)
    w = {head: np.ones(count, np.float32) for head in HEADS}
    return Batches(pixels, y, w, Vary(SIZE, Jitter()), batch=batch, seed=1)


def main(given: argparse.Namespace) -> None:
    """Print the table."""
    widths = trainable.scaled_widths(given.width)
    images = given.batch * given.steps
    plain = plain_steps(made(images, given.batch), widths, given.bfloat16)
    ours = our_steps(made(images, given.batch), widths, given.bfloat16)
    ways: dict[str, Callable[[], Any]] = {
        "plain PyTorch": lambda: [next(plain) for _ in range(given.steps)],
        "emotion train": ours,
    }
    for way in ways.values():  # not measured: memory is taken, kernels are chosen
        way()
    best: dict[str, tuple[float, float]] = {}
    for _ in range(given.rounds):
        for name, way in ways.items():
            started, used = time.perf_counter(), time.process_time()
            way()
            found = time.perf_counter() - started, time.process_time() - used
            old = best.get(name, found)
            best[name] = min(found[0], old[0]), min(found[1], old[1])
    rows = [["", "images/s", "processor s for 1,000 images"]]
    rows += [[name, f"{images / wall:.1f}", f"{1000 * cpu / images:.2f}"] for name, (wall, cpu) in best.items()]
    (wall, cpu), (our_wall, our_cpu) = best.values()
    rows.append(["emotion train / plain", f"{wall / our_wall:.2f} x", f"{our_cpu / cpu:.2f} x"])
    kind = "bfloat16" if given.bfloat16 else "float32"
    print(
        f"width {given.width:g}, batch {given.batch}, {given.steps} steps, fastest of {given.rounds} rounds,"
        f" {kind}; PyTorch {torch.__version__}, {torch.get_num_threads()} threads\n"
    )
    print(table(rows))


if __name__ == "__main__":
    with script("network.training", __doc__) as parser:
        parser.add_argument("--width", type=float, default=1.0)
        parser.add_argument("--batch", type=int, default=64)
        parser.add_argument("--steps", type=int, default=6)
        parser.add_argument("--rounds", type=int, default=4)
        parser.add_argument("--bfloat16", action="store_true")
        main(parser.parse_args())
