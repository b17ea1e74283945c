"""Ten training steps from one state, on whatever back end Keras runs on; prints each step's loss as JSON.

Usage: python -m tests.support.ten_steps

Weights and images come from NumPy, nothing is dropped out, and what is drawn is drawn by NumPy, so all back ends
compute the same but for rounding. Beside the losses stands that of other images after the last step, by the
average of the weights. Both optimizers are tried.
"""

import json
from typing import Any

import numpy as np

from emotion_stream.models.network import HEADS
from emotion_stream.models.training import trainable
from emotion_stream.models.training.backend import choose_backend
from emotion_stream.models.training.train import compile_model
from emotion_stream.shared.settings.command_options import TrainOptions

STEPS, BATCH, SIZE, SIDE = 10, 14, 32, 8


def weigh(model: Any, rng: np.random.Generator) -> None:
    """The same weights on every back end; those of the normalisation stay as they are."""
    for layer in model.layers:
        if layer.__class__.__name__ in ("Convolution", "Dense"):
            kernel, bias = layer.get_weights()
            scale = np.sqrt(2 / np.prod(kernel.shape[:-1]))
            layer.set_weights([rng.normal(0, scale, kernel.shape), rng.normal(0, 0.1, bias.shape)])


def faces(count: int, rng: np.random.Generator) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Gray pictures, what each head should say of them, and how much that counts."""
    coarse = rng.integers(0, 200, (count, SIDE, SIDE)).repeat(SIZE // SIDE, axis=1).repeat(SIZE // SIDE, axis=2)
    pixels = (coarse + rng.integers(0, 56, coarse.shape)).astype(np.uint8)  # no two alike side by side
    labels = np.eye(7, dtype=np.float32)[rng.integers(0, 7, count)]
    votes = rng.dirichlet(np.ones(7), count).astype(np.float32)
    y = {HEADS[0]: labels, HEADS[1]: votes}
    w = {HEADS[0]: np.ones(count, np.float32), HEADS[1]: rng.uniform(0, 1, count).astype(np.float32)}
    return pixels, y, w


def losses(optimizer: str) -> tuple[list[float], float]:
    """That of each step, and that of other images at the end."""
    import keras

    from emotion_stream.models.training.distil import Student, teachers
    from emotion_stream.models.training.feeding import Batches, inputs
    from emotion_stream.models.training.keeping import Averaged

    rng = np.random.default_rng(0)
    widths = trainable.scaled_widths(0.06)
    teacher = trainable.build_trainable(SIZE, HEADS, widths)
    model = trainable.build_trainable(SIZE, HEADS, widths, dropout=0, momentum=0.9, model=Student)
    weigh(teacher, rng)
    weigh(model, rng)
    options = TrainOptions(optimizer=optimizer, average=0.9, learning_rate=5e-3 if optimizer == "sgd" else 1e-3)
    compile_model(model, options, HEADS, STEPS)
    model.share, model.teach = 0.3, teachers({"teacher": teacher}, SIZE, HEADS)
    feed = Batches(
        *faces(STEPS * BATCH, rng), lambda x, _: inputs(x), batch=BATCH, seed=1, mixing=("mixup", 0.2)
    )  # fmt: skip
    x_other, y_other, w_other = faces(28, rng)
    means: list[float] = []
    told = model.fit(
        feed, epochs=1, shuffle=False, verbose=0,
        validation_data=(inputs(x_other), y_other, w_other), validation_batch_size=28,
        callbacks=[
            keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: means.append(float(logs["loss"]))),
            Averaged(),
        ],
    )  # fmt: skip
    sums = np.arange(1, STEPS + 1) * means  # Keras tells the mean of all steps until now
    return np.diff(sums, prepend=0).round(5).tolist(), round(told.history["val_loss"][0], 5)


if __name__ == "__main__":
    backend = choose_backend()
    print(json.dumps({"backend": backend, **{name: losses(name) for name in ("sgd", "adamw")}}))
