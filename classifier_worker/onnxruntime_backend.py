"""The ONNX Runtime back end: the same network, float32, on processors that OpenVINO does not know, and on GPUs."""

from typing import Any

import numpy as np

from emotion_stream.classifier_worker.backend import BATCH_SIZES, Logits, Pixels, chunks
from emotion_stream.classifier_worker.openvino_backend import WARM, served_weights
from emotion_stream.models.onnx_export import ONNX_EXTRA, build
from emotion_stream.models.weights import reason
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.manifest import Manifest

UNWANTED = frozenset({"AzureExecutionProvider", "TensorrtExecutionProvider"})
"""Ways to run a model that the package offers unasked, but that call a server, or compile for minutes."""


class OnnxRuntimeBackend:
    """Runs the model's `onnx` file or, where there is none, the network built from its weights.

    It runs on whatever the installed package supports: onnxruntime on the CPU, onnxruntime-gpu on CUDA, and so on.
    """

    def __init__(self, manifest: Manifest, precision: str, head: str, threads: int = 1) -> None:
        """
        Args:
            manifest: the model; its checksums are verified by `open`.
            precision: the OpenVINO file to recover weights from where the model has neither an `onnx` nor a
                `weights` file; int8 where it has no such file.
            head: which of its outputs to compute.
            threads: for inference on the CPU.
        """
        self._manifest = manifest
        self._precision = precision
        self._head = head
        self._threads = threads
        self._session: Any = None

    def open(self) -> None:
        """See `Backend.open`."""
        try:
            import onnxruntime as ort
        except ImportError as e:
            raise EmotionError(
                f"--backend onnxruntime needs the package onnxruntime: {ONNX_EXTRA}; or choose --backend openvino"
            ) from e
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers = [name for name in ort.get_available_providers() if name not in UNWANTED]
        try:
            self._session = ort.InferenceSession(self._model(), options, providers=providers)
        except EmotionError:
            raise
        except Exception as e:  # the package's errors have no common ancestor
            raise EmotionError(f"the model cannot run on ONNX Runtime here: {reason(e)}") from e
        self._check()
        for size in BATCH_SIZES[:WARM]:
            self.logits(np.zeros((size, self._manifest.size, self._manifest.size), np.uint8))

    def logits(self, crops: Pixels) -> Logits:
        """See `Backend.logits`."""
        return self._run(crops, [self._head])[self._head]

    def every_head(self, crops: Pixels) -> dict[str, Logits]:
        """See `Backend.every_head`."""
        return self._run(crops, [head.name for head in self._manifest.heads])

    def close(self) -> None:
        """See `Backend.close`."""
        self._session = None

    def _run(self, crops: Pixels, heads: list[str]) -> dict[str, Logits]:
        results = {head: np.empty((len(crops), len(self._manifest.labels)), np.float32) for head in heads}
        for start, stop in chunks(len(crops)):
            found = self._session.run(heads, {"crops": crops[start:stop]})
            for head, values in zip(heads, found, strict=True):
                results[head][start:stop] = values
        return results

    def _model(self) -> bytes:
        if "onnx" in self._manifest.files:
            (path,) = self._manifest.paths("onnx")
            return path.read_bytes()
        weights, _ = served_weights(self._manifest, self._precision)
        return build(weights, self._manifest.size, [head.name for head in self._manifest.heads])

    def _check(self) -> None:
        side, classes = self._manifest.size, len(self._manifest.labels)
        (crops,) = self._session.get_inputs()
        if crops.shape[1:] != [side, side] or crops.type != "tensor(uint8)":
            raise EmotionError(f"the ONNX model takes {crops.type} {crops.shape}, not uint8 [n, {side}, {side}]")
        outputs = {output.name: output.shape for output in self._session.get_outputs()}
        for head in self._manifest.heads:
            if head.name not in outputs or outputs[head.name][1:] != [classes]:
                raise EmotionError(f"the ONNX model has no output {head.name!r} of {classes} classes")
