"""Weights -> ONNX model, for other engines than OpenVINO. It takes and yields what `openvino_export` does.

Float32, in operations of opset 17 that every engine has.
"""

from collections.abc import Sequence

import numpy as np

from emotion_stream.models.network import DEPTHS, HEADS, MEAN, convolutions
from emotion_stream.models.weights import Weights, check, widths_of
from emotion_stream.shared.errors import EmotionError, to_install

OPSET = 17
"""Version of ONNX's operations (2022): the oldest that has them all, so that old engines read it."""
IR_VERSION = 8
"""Version of the file format that goes with it."""
ONNX_EXTRA = to_install("onnx", "onnxruntime")


def build(weights: Weights, size: int = 48, heads: Sequence[str] = HEADS) -> bytes:
    """The network as the bytes of an ONNX file: uint8 `crops` [n, size, size] -> float32 [n, classes] per head.

    Raises:
        EmotionError: `weights` are not complete for these `heads`, or the package onnx is missing.
    """
    check(weights, heads, "the export")
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as e:
        raise EmotionError(f"an ONNX model takes the package onnx to write: {ONNX_EXTRA}") from e
    constants, nodes = [], []

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def apply(kind: str, name: str, *inputs: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    x = apply("Cast", "float", "crops", to=TensorProto.FLOAT)
    x = apply("Unsqueeze", "image", x, constant("axis", np.array([1], np.int64)))
    x = apply("Sub", "centre", x, constant("mean", np.array(MEAN, np.float32)))
    for b, block in enumerate(convolutions(widths_of(weights)), start=1):
        for name, _, _ in block:
            kernel = constant(f"{name}/kernel", weights[f"{name}/kernel"].transpose(3, 2, 0, 1))
            bias = constant(f"{name}/bias", weights[f"{name}/bias"])
            x = apply("Conv", name, x, kernel, bias, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            x = apply("Relu", f"{name}/relu", x)
        if b < len(DEPTHS):
            x = apply("MaxPool", f"block{b}_pool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = apply("ReduceMean", "global_pool", x, axes=[2, 3], keepdims=0)
    for head in heads:
        kernel, bias = (constant(f"{head}/{part}", weights[f"{head}/{part}"]) for part in ("kernel", "bias"))
        apply("Gemm", head, x, kernel, bias)
    outputs = [
        helper.make_tensor_value_info(head, TensorProto.FLOAT, ["n", len(weights[f"{head}/bias"])])
        for head in heads
    ]
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", size, size])
    graph = helper.make_graph(nodes, "vgg16", [crops], outputs, constants)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="emotion-stream")
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
