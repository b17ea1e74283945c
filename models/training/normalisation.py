"""Batch normalisation for training: one kernel where PyTorch computes. Choose Keras' back end first."""

import importlib
from typing import Any

import keras
from keras import ops

SOON = 10
"""Running means are short at first, so that they soon forget the start: after n steps they keep n / (n + SOON)."""


def kept(step: Any, decay: float) -> Any:
    """What a running mean keeps of itself at this step, counted from 1: at the most `decay`."""
    return ops.minimum(decay, step / (step + SOON))


@keras.saving.register_keras_serializable("emotion")
class Normalisation(keras.layers.BatchNormalization):  # type: ignore[misc]
    """`keras.layers.BatchNormalization` over the last axis of [n, height, width, channels].

    On PyTorch it calls `torch.nn.functional.batch_norm`: Keras takes the operation apart into a dozen, which costs
    half of a training step. Its running statistics are as slow as `momentum` says, but soon forget the start
    (`kept`); with the decay of the weights' average they are the statistics that belong to that average.
    """

    def build(self, input_shape: Any) -> None:
        """Make the variables. Keras calls this with the shape of the first input."""
        super().build(input_shape)
        self.seen = self.add_weight(
            name="seen", shape=(), initializer="zeros", dtype="float32", trainable=False, autocast=False
        )

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise float `inputs` [n, height, width, channels]; the result has the same shape and dtype."""
        learning = bool(training) and self.trainable
        if keras.backend.backend() == "torch":
            return self._fused(inputs, learning)
        if not learning:
            return super().call(inputs, training=False)
        x = ops.cast(inputs, "float32")
        mean, variance = ops.moments(x, axes=(0, 1, 2))
        self._follow(mean, variance)
        result = ops.batch_normalization(
            x, mean, variance, axis=-1, offset=self.beta, scale=self.gamma, epsilon=self.epsilon
        )
        return ops.cast(result, self.compute_dtype)

    def _fused(self, inputs: Any, learning: bool) -> Any:
        batch_norm = importlib.import_module("torch").nn.functional.batch_norm
        x = inputs.permute(0, 3, 1, 2)  # a view: "channels last" in PyTorch's words
        gain, bias = self.gamma.value, self.beta.value
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if not learning:
            return batch_norm(x, mean, variance, gain, bias, False, 0.0, self.epsilon).permute(0, 2, 3, 1)
        # A running mean that keeps nothing of itself is that of the batch. PyTorch divides by n - 1, Keras by n.
        mean, variance = mean.new_zeros(mean.shape), mean.new_zeros(mean.shape)
        result = batch_norm(x, mean, variance, gain, bias, True, 1.0, self.epsilon)
        n = x.numel() // x.shape[1]
        self._follow(mean, variance * ((n - 1) / n))
        return result.permute(0, 2, 3, 1)

    def _follow(self, mean: Any, variance: Any) -> None:
        """Move the running statistics towards those of a batch."""
        step = ops.add(self.seen, 1)
        keep = kept(step, self.momentum)
        self.seen.assign(step)
        self.moving_mean.assign(keep * self.moving_mean + (1 - keep) * mean)
        self.moving_variance.assign(keep * self.moving_variance + (1 - keep) * variance)
