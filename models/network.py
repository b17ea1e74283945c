"""The network: VGG16's thirteen convolutions, global pooling instead of the 4096-wide layers, two heads.

Constant preprocessing is part of the network (`MEAN` is subtracted inside it), so every back end takes the same
raw gray pixels and nothing has to be scaled outside. Pooling: four 2x2 maxima, then the mean over what is left.
Keras is imported only where a Keras model is built; the layer table serves all back ends.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

HEADS = ("fer2013", "consensus")
"""`fer2013` reproduces the benchmark's labels, `consensus` what most of ten FER+ annotators chose."""

MEAN = 117.0
"""Subtracted from every gray value (0..255) inside the network."""

FOLDED = (
    f"uint8 gray 0..255 as it is; the network itself converts to float and subtracts {MEAN:g}. ImageNet's three "
    "colour channels are summed into the first kernel, and constant factors into the heads"
)
"""Note for the manifest: what callers must do to their pixels (nothing)."""

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the five blocks."""

DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions in each of the five blocks."""

Shape = tuple[int, ...]


def convolutions(widths: Sequence[int] = WIDTHS) -> list[list[tuple[str, int, int]]]:
    """For each block its convolutions: name, channels in, channels out."""
    blocks, channels = [], 1
    for b, (depth, width) in enumerate(zip(DEPTHS, widths, strict=True), start=1):
        block = []
        for c in range(1, depth + 1):
            block.append((f"block{b}_conv{c}", channels, width))
            channels = width
        blocks.append(block)
    return blocks


def shapes(heads: Sequence[str] = HEADS, widths: Sequence[int] = WIDTHS, classes: int = 7) -> Mapping[str, Shape]:
    """Name and shape of every weight, in Keras' layout: kernels (height, width, in, out) or (in, out)."""
    table: dict[str, Shape] = {}
    for block in convolutions(widths):
        for name, channels, width in block:
            table[f"{name}/kernel"] = (3, 3, channels, width)
            table[f"{name}/bias"] = (width,)
    for head in heads:
        table[f"{head}/kernel"] = (widths[-1], classes)
        table[f"{head}/bias"] = (classes,)
    return table


def build_vgg16(
    size: int = 48, heads: Sequence[str] = HEADS, widths: Sequence[int] = WIDTHS, classes: int = 7
) -> Any:
    """The network as a Keras 3 model, untrained, on whatever back end Keras runs on.

    Args:
        size: side of the square input, pixels.
        heads: names of the outputs; each is a Dense layer of that name.
        widths: channels of the five blocks.
        classes: outputs of each head.

    Returns:
        `keras.Model`: float32 [n, size, size, 1], gray 0..255 -> {head: logits float32 [n, classes]}.
    """
    from keras import Input, Model, layers

    pixels = Input((size, size, 1), name="crops")
    x = trunk(pixels, widths)
    return Model(pixels, {head: layers.Dense(classes, name=head)(x) for head in heads}, name="vgg16")


def trunk(
    pixels: Any,
    widths: Sequence[int] = WIDTHS,
    normalise: Callable[[str], Any] | None = None,
    convolution: Any = None,
    pooling: Any = None,
) -> Any:
    """What both heads see, on a Keras tensor.

    Args:
        pixels: float32 [n, size, size, 1], gray 0..255.
        widths: channels of the five blocks.
        normalise: makes the layer of this name that follows each convolution; for training, see
            `models.training.trainable`.
        convolution: class to make instead of `keras.layers.Conv2D`, and
        pooling: instead of `keras.layers.MaxPooling2D`.

    Returns:
        pooled features [n, widths[-1]].
    """
    from keras import layers

    x = layers.Rescaling(1.0, offset=-MEAN, name="centre")(pixels)
    for b, block in enumerate(convolutions(widths), start=1):
        for name, _, width in block:
            make = convolution or layers.Conv2D
            x = make(width, 3, padding="same", kernel_initializer="he_normal", name=name)(x)
            if normalise:
                x = normalise(f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        if b < len(DEPTHS):
            x = (pooling or layers.MaxPooling2D)(2, name=f"block{b}_pool")(x)
    return layers.GlobalAveragePooling2D(name="global_pool")(x)


def load_into(model: Any, weights: Mapping[str, Any]) -> None:
    """Copy named weights (`models.weights`) into a model of `build_vgg16`."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}/kernel"], weights[f"{layer.name}/bias"]])
