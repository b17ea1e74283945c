"""Makes the network that ships out of the authors' ONNX file: gray input, prepared inside, and three outputs.

Usage: python -m emotion_stream.detector_worker.yunet.convert yunet_n_dynamic.onnx [FOLDER]

The authors' network takes three float channels and gives twelve tensors. In a gray picture the three channels are
alike, so that the first convolution can take one channel and the sum of its three kernels: the same numbers for a
third of the work. Scores, boxes and landmarks of all strides are joined.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

STRIDES = (8, 16, 32)
NAME = "yunet"


def convert(source: Path) -> Any:
    """The `openvino.Model` that ships: uint8 `[height, width]`, multiples of 32, to float32 `scores` [n], `boxes`
    [n, 4] and `landmarks` [n, 10], an anchor a row, stride by stride and row by row."""
    import openvino as ov
    from openvino import opset13 as op
    from openvino._offline_transformations import apply_moc_transformations

    model = ov.Core().read_model(source)
    pixels = op.parameter(ov.PartialShape([-1, -1]), np.uint8, name="pixels")
    pixels.output(0).get_tensor().set_names({"pixels"})
    gray = op.unsqueeze(op.convert(pixels, "f32"), op.constant(np.array([0, 1])))
    old = model.get_parameters()[0]
    (first,) = (target.get_node() for target in old.output(0).get_target_inputs() if _is_convolution(target))
    kernel = first.input_value(1).get_node().get_data().sum(axis=1, keepdims=True)
    first.input(0).replace_source_output(gray.output(0))
    first.input(1).replace_source_output(op.constant(np.ascontiguousarray(kernel)).output(0))
    for target in old.output(0).get_target_inputs():
        target.replace_source_output(gray.output(0))

    def joined(kind: str) -> Any:
        parts = [model.output(f"{kind}_{stride}").get_node().input_value(0) for stride in STRIDES]
        return op.concat(parts, 1)

    scores = op.sqrt(op.multiply(joined("cls"), joined("obj")))
    results = []
    for name, values, columns in (
        ("scores", scores, None),
        ("boxes", joined("bbox"), 4),
        ("landmarks", joined("kps"), 10),
    ):
        shape = np.array([-1] if columns is None else [-1, columns])
        flat = op.reshape(values, op.constant(shape), False, name=name)
        flat.output(0).get_tensor().set_names({name})
        results.append(op.result(flat))
    made = ov.Model(results, [pixels], NAME)
    apply_moc_transformations(made, cf=True, smart_reshape=True)  # two thirds of it compute constants
    return made


def _is_convolution(target: Any) -> bool:
    return str(target.get_node().get_type_name()) == "Convolution"


def main(source: Path, folder: Path) -> None:
    """Write `FOLDER/yunet.xml` and `.bin`."""
    import openvino as ov

    folder.mkdir(parents=True, exist_ok=True)
    ov.save_model(convert(source), folder / f"{NAME}.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "weights")
