"""Convolution and pooling for training, without copies where PyTorch computes. Choose Keras' back end first.

Keras copies what goes into each of them from "channels last" to "channels first" and back, and gradients likewise.
PyTorch needs neither: it takes channels last as a view. `benchmarks.network.training` measures what that is worth.
"""

import importlib
from typing import Any

import keras


def _torch() -> Any:
    """PyTorch's functions, where Keras computes with it; else None."""
    return importlib.import_module("torch").nn.functional if keras.backend.backend() == "torch" else None


@keras.saving.register_keras_serializable("emotion")
class Convolution(keras.layers.Conv2D):  # type: ignore[misc]
    """`keras.layers.Conv2D` with 3x3 kernels, padding "same" and a bias, over [n, height, width, channels]."""

    def __init__(self, filters: int, kernel_size: Any = 3, **settings: Any) -> None:
        super().__init__(filters, kernel_size, **{**settings, "padding": "same"})

    def call(self, inputs: Any) -> Any:
        """The convolution, on PyTorch by its own kernel, without copies between layouts."""
        functions = _torch()
        if functions is None:
            return super().call(inputs)
        kernel = keras.ops.convert_to_tensor(self.kernel, self.compute_dtype).permute(3, 2, 0, 1)
        bias = keras.ops.convert_to_tensor(self.bias, self.compute_dtype)
        middle = [side // 2 for side in self.kernel_size]
        # The kernel's own memory is laid out for neither way.
        last = importlib.import_module("torch").channels_last
        kernel = kernel.contiguous(memory_format=last)
        return functions.conv2d(inputs.permute(0, 3, 1, 2), kernel, bias, padding=middle).permute(0, 2, 3, 1)


@keras.saving.register_keras_serializable("emotion")
class Pooling(keras.layers.MaxPooling2D):  # type: ignore[misc]
    """`keras.layers.MaxPooling2D` of squares that do not overlap, over [n, height, width, channels]."""

    def call(self, inputs: Any) -> Any:
        """The largest value of each square."""
        functions = _torch()
        if functions is None:
            return super().call(inputs)
        return functions.max_pool2d(inputs.permute(0, 3, 1, 2), self.pool_size, self.strides).permute(0, 2, 3, 1)
