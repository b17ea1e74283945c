"""The networks as they are trained. At the export they become `models.network.build_vgg16`.

Beside its convolutions the trained form has batch normalisation, dropout, a constant that brings features to a
size at which heads learn well, and softmax. `fold` computes all of that into kernels and biases.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotion_stream.models.network import HEADS, WIDTHS, convolutions, trunk
from emotion_stream.models.weights import Weights
from emotion_stream.shared.errors import EmotionError

FEATURES = 0.1
"""Pooled features are multiplied by this before the heads, where no batch normalisation keeps them small."""

MOMENTUM = 0.9
"""What batch normalisation's running statistics keep of themselves in a step, where weights are not averaged."""

FROZEN_SIZE = 64
"""Side of the frozen recipe's input, pixels."""

CHUNK = 256


def scaled_widths(width: float) -> tuple[int, ...]:
    """Channels of the five blocks at this share of VGG16's."""
    return tuple(max(2, round(w * width)) for w in WIDTHS)


def build_trainable(
    size: int = 48,
    heads: Sequence[str] = HEADS,
    widths: Sequence[int] = WIDTHS,
    batch_norm: bool = True,
    dropout: float = 0.5,
    classes: int = 7,
    model: Any = None,
    momentum: float = MOMENTUM,
) -> Any:
    """VGG16 as it is trained, with He-initialised weights.

    Args:
        size: side of the square input, pixels.
        heads: names of the outputs.
        widths: channels of the five blocks.
        batch_norm: normalise after each convolution.
        dropout: share of features dropped before the heads.
        classes: outputs of each head.
        model: the class to make; None: `keras.Model`.
        momentum: what the running statistics of batch normalisation keep of themselves in a step.

    Returns:
        `keras.Model`: float32 [n, size, size, 1], gray 0..255 -> {head: probabilities float32 [n, classes]}.
    """
    from keras import Input, Model, layers

    from emotion_stream.models.training.layers import Convolution, Pooling
    from emotion_stream.models.training.normalisation import Normalisation

    def normalise(name: str) -> Any:
        return Normalisation(momentum=momentum, epsilon=1e-3, name=name)

    pixels = Input((size, size, 1), name="crops")
    x = trunk(pixels, widths, normalise if batch_norm else None, Convolution, Pooling)
    x = layers.Rescaling(1.0 if batch_norm else FEATURES, name="features")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    outputs = {}
    for head in heads:
        logits = layers.Dense(classes, kernel_initializer="glorot_uniform", name=head)(x)
        outputs[head] = layers.Softmax(dtype="float32", name=f"{head}_probabilities")(logits)
    return (model or Model)(pixels, outputs, name="vgg16_training")


def fold(model: Any) -> Weights:
    """The weights of `build_vgg16` with which it computes the same logits as a model of `build_trainable`."""
    layers = {layer.name: layer for layer in model.layers}
    features = float(layers["features"].scale)
    weights: Weights = {}
    for name, layer in layers.items():
        if layer.__class__.__name__ not in ("Convolution", "Conv2D", "Dense"):
            continue
        kernel, bias = (np.asarray(w, np.float32) for w in layer.get_weights())
        if norm := layers.get(f"{name}_bn"):
            gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.get_weights()[:4])
            gain = gamma / np.sqrt(variance + norm.epsilon)
            kernel, bias = kernel * gain, (bias - mean) * gain + beta
        elif kernel.ndim == 2:
            kernel = kernel * features
        weights[f"{name}/kernel"] = kernel.astype(np.float32)
        weights[f"{name}/bias"] = bias.astype(np.float32)
    return weights


def imagenet(weights: str, size: int) -> Any:
    """The convolutions of VGG16 with ImageNet weights: `keras.Model`, [n, size, size, 3] to its last pooling.

    Args:
        weights: "imagenet" to download them, or the path of Keras' file without the top layers.
        size: side of the input, pixels.

    Raises:
        EmotionError: they cannot be had or read.
    """
    import keras

    file = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    if weights != "imagenet" and not Path(weights).is_file():
        raise EmotionError(f"no file {weights}: --weights takes imagenet, none, or a copy of {file}")
    try:
        return keras.applications.VGG16(weights=weights, include_top=False, input_shape=(size, size, 3))
    except Exception as e:  # h5py, urllib and Keras each raise their own
        line = (str(e).splitlines() or [type(e).__name__])[0][:200]
        if weights == "imagenet":
            raise EmotionError(
                f"ImageNet weights cannot be downloaded ({line}). Without a network: copy Keras' {file} here and"
                " give its path with --weights, or start from nothing with --weights none"
            ) from e
        raise EmotionError(f"{weights} does not hold VGG16's convolutions ({line}): it should be {file}") from e


def start_from(model: Any, base: Any) -> None:
    """Copy the convolutions of `imagenet` into a model of `build_trainable`, three colours summed into gray."""
    for block in convolutions():
        for name, _, _ in block:
            kernel, bias = base.get_layer(name).get_weights()
            if name == "block1_conv1":
                kernel = kernel.sum(axis=2, keepdims=True)
            model.get_layer(name).set_weights([kernel, bias])


def go_on_from(model: Any, weights: Weights) -> None:
    """Copy folded weights into a model of `build_trainable` without batch normalisation: the inverse of `fold`."""
    features = float(model.get_layer("features").scale)
    for name in {key.partition("/")[0] for key in weights}:
        kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
        model.get_layer(name).set_weights([kernel / features if kernel.ndim == 2 else kernel, bias])


def freeze(model: Any, blocks: int) -> None:
    """Leave the first `blocks` of VGG16's five as they are. Before the model is compiled."""
    for layer in model.layers:
        if layer.name.startswith(tuple(f"block{b}_" for b in range(1, blocks + 1))):
            layer.trainable = False


def frozen_features(base: Any, pixels: Any) -> Any:
    """What the original recipe's head sees: features of gray / 255 in three channels, float32 [n, 4 * 512].

    The base never changes, so this is computed once instead of in every epoch.
    """
    parts = []
    for i in range(0, len(pixels), CHUNK):
        batch = np.repeat(pixels[i : i + CHUNK, :, :, None].astype(np.float32) / 255, 3, axis=3)
        parts.append(np.asarray(base.predict_on_batch(batch)).reshape(len(batch), -1))
    return np.concatenate(parts)


def build_frozen_head(features: int, classes: int = 7) -> Any:
    """Three dense layers of 32: `keras.Model`, [n, features] -> {"fer2013": [n, 7]}."""
    from keras import Input, Model, layers

    x = inputs = Input((features,), name="features")
    for i in (1, 2, 3):
        x = layers.Dense(32, activation="relu", name=f"dense{i}")(x)
    return Model(
        inputs, {"fer2013": layers.Dense(classes, activation="softmax", name="fer2013")(x)}, name="frozen"
    )
