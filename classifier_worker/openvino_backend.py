"""The default back end: OpenVINO on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np

from emotion_stream.classifier_worker.backend import BATCH_SIZES, Logits, Pixels, chunks
from emotion_stream.models.openvino_export import build
from emotion_stream.models.weights import Weights, from_openvino, load, reason
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.manifest import Manifest

WARM = 4
"""Batch sizes that are met before the first real crop. A larger one takes some 20 ms more when it comes up first;
all of them together would take a third of a second of every start."""
REBUILT = ("fp32", "bf16")
"""Precisions that need no file of their own: they are built from a `weights` file or, without one, from int8."""


class OpenVinoBackend:
    """Runs one exported precision of a model.

    One compiled model with a free batch size: measured as fast as one compiled per batch size, at a sixth of the
    memory and start-up time. It is tuned for latency, because there is one inference at a time; to use more cores,
    give it threads, or start more classifiers.
    """

    def __init__(
        self, manifest: Manifest, precision: str, head: str, threads: int = 1, cache: Path | None = None
    ) -> None:
        """
        Args:
            manifest: the model; its checksums are verified by `open`.
            precision: which of its exported files to run, "int8" or another; "fp32" and "bf16", where there is no
                file of their own, are built from its `weights` file or from int8.
            head: which of its outputs to compute.
            threads: for inference.
            cache: folder where OpenVINO may keep the compiled model for a faster start; None: nowhere.
        """
        self._manifest = manifest
        self._precision = precision
        self._head = head
        self._threads = threads
        self._cache = cache
        self._request: Any = None
        self._outputs: dict[str, Any] = {}

    def open(self) -> None:
        """See `Backend.open`."""
        import openvino as ov

        model, origin = self._model()
        # OpenVINO would pick bf16 by itself where the CPU has it. What an int8 file leaves in float stays float32.
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if self._precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": self._threads,
            "PERFORMANCE_HINT": "LATENCY",
            # Else the first thread of each process is tied to the first core, however many of them there are.
            "ENABLE_CPU_PINNING": False,
        }
        if self._cache is not None:
            config["CACHE_DIR"] = str(self._cache)
        try:
            compiled = ov.Core().compile_model(model, "CPU", config)
        except RuntimeError as e:
            raise EmotionError(f"model {origin} is not an OpenVINO model that can run here: {reason(e)}") from e
        self._check(compiled, origin)
        self._outputs = {name: compiled.output(name) for name in self._heads()}
        self._request = compiled.create_infer_request()
        for size in BATCH_SIZES[:WARM]:
            self.logits(np.zeros((size, self._manifest.size, self._manifest.size), np.uint8))

    def logits(self, crops: Pixels) -> Logits:
        """See `Backend.logits`."""
        return self._run(crops, [self._head])[self._head]

    def every_head(self, crops: Pixels) -> dict[str, Logits]:
        """See `Backend.every_head`."""
        return self._run(crops, list(self._outputs))

    def _run(self, crops: Pixels, heads: list[str]) -> dict[str, Logits]:
        results = {head: np.empty((len(crops), len(self._manifest.labels)), np.float32) for head in heads}
        for start, stop in chunks(len(crops)):
            out = self._request.infer([crops[start:stop]], share_inputs=True, share_outputs=True)
            for head, result in results.items():
                result[start:stop] = out[self._outputs[head]]
        return results

    def close(self) -> None:
        """See `Backend.close`."""
        self._request = None
        self._outputs = {}

    def _model(self) -> tuple[Any, Path]:
        """What OpenVINO compiles, and the file that it comes from."""
        files, heads = self._manifest.files, self._heads()
        if self._precision in files or self._precision not in REBUILT:
            path = openvino_file(self._manifest, self._precision)
            return str(path), path
        weights, path = served_weights(self._manifest)
        return build(weights, self._manifest.size, heads), path

    def _check(self, compiled: Any, xml: Path) -> None:
        side = self._manifest.size
        shape = str(compiled.input(0).get_partial_shape())
        if shape != f"[?,{side},{side}]" or compiled.input(0).get_element_type().get_type_name() != "u8":
            raise EmotionError(f"model {xml} takes {shape}, not uint8 [?,{side},{side}] as its manifest says")
        shapes = {name: o.get_partial_shape() for o in compiled.outputs for name in o.get_names()}
        for head in self._heads():
            if head not in shapes:
                raise EmotionError(f"model {xml} has no output {head!r}; it has: {', '.join(sorted(shapes))}")
            if str(shapes[head]) != f"[?,{len(self._manifest.labels)}]":
                raise EmotionError(f"model {xml} yields {shapes[head]}: not what its manifest's labels say")

    def _heads(self) -> list[str]:
        return [head.name for head in self._manifest.heads]


def served_weights(manifest: Manifest, precision: str = "int8") -> tuple[Weights, Path]:
    """The weights of a model, and the file that they come from: its `weights` or, where it has none, the OpenVINO
    file of `precision`, int8 where it has no such file. An int8 file holds what rounding left of them.

    Raises:
        EmotionError: there is none of these, or a file is missing or damaged.
    """
    heads = [head.name for head in manifest.heads]
    if "weights" in manifest.files:
        (path,) = manifest.paths("weights")
        return load(path, heads), path
    path = openvino_file(manifest, precision if precision in manifest.files else "int8")
    return from_openvino(path, heads), path


def openvino_file(manifest: Manifest, precision: str) -> Path:
    """The .xml file of a precision, all its files verified.

    Raises:
        EmotionError: the precision is not there or not OpenVINO's, or a file is missing or damaged.
    """
    for path in manifest.paths(precision):
        if path.suffix == ".xml":
            return path
    raise EmotionError(f"precision {precision!r} of the model in {manifest.directory} is not an OpenVINO model")
