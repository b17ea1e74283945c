"""Weights -> OpenVINO model, built with OpenVINO's own operations: neither Keras nor PyTorch is needed.

The exported model takes uint8 gray crops [n, size, size] as they are and yields one tensor of logits per head,
named like the head. Layers keep their names, so that `models.weights.from_openvino` can find them again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_stream.models.network import DEPTHS, HEADS, MEAN, convolutions
from emotion_stream.models.weights import Weights, check, widths_of
from emotion_stream.shared.errors import TRAIN_ENV, EmotionError

Pixels = NDArray[np.uint8]


def build(weights: Weights, size: int = 48, heads: Sequence[str] = HEADS) -> Any:
    """The network as `openvino.Model`: uint8 [n, size, size] -> float32 [n, classes] per head, n free.

    Raises:
        EmotionError: `weights` are not complete for these `heads`.
    """
    import openvino as ov
    from openvino import opset13 as op

    check(weights, heads, "the export")
    crops = op.parameter([-1, size, size], np.uint8, name="crops")
    crops.output(0).get_tensor().set_names({"crops"})
    x = op.unsqueeze(op.convert(crops, "f32"), op.constant(np.int64(1)))
    x = op.subtract(x, op.constant(np.float32(MEAN)), name="centre")
    for b, block in enumerate(convolutions(widths_of(weights)), start=1):
        for name, _, width in block:
            kernel = op.constant(np.ascontiguousarray(weights[f"{name}/kernel"].transpose(3, 2, 0, 1)))
            bias = op.constant(weights[f"{name}/bias"].reshape(1, width, 1, 1))
            x = op.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1], name=name)
            x = op.relu(op.add(x, bias, name=f"{name}/bias"))
        if b < len(DEPTHS):
            x = op.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], name=f"block{b}_pool").output(0)
    x = op.reduce_mean(x, op.constant(np.array([2, 3])), False, name="global_pool")
    results = []
    for head in heads:
        logits = op.matmul(x, op.constant(weights[f"{head}/kernel"]), False, False, name=head)
        logits = op.add(logits, op.constant(weights[f"{head}/bias"].reshape(1, -1)), name=f"{head}/bias")
        logits.output(0).get_tensor().set_names({head})
        results.append(op.result(logits))
    return ov.Model(results, [crops], "vgg16")


def quantize(model: Any, crops: Pixels) -> Any:
    """The int8 form of `model`, its ranges taken from `crops` (uint8 [n, size, size]; a few hundred are enough).

    Raises:
        EmotionError: NNCF is not installed.
    """
    try:
        import nncf
    except ImportError as e:
        raise EmotionError(f"quantising needs NNCF: {TRAIN_ENV}") from e
    batches = np.array_split(crops, max(1, len(crops) // 25))
    return nncf.quantize(
        model,
        nncf.Dataset(batches),
        subset_size=len(batches),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        fast_bias_correction=False,  # the fast one leaves errors in the logits that are five times as large
    )


def save(model: Any, path: Path, half: bool = True) -> tuple[Path, Path]:
    """Write `model` as `path` (.xml) and its .bin; with `half`, float constants are stored as float16."""
    import openvino as ov

    path.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(model, path, compress_to_fp16=half)
    return path, path.with_suffix(".bin")
