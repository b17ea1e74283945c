"""Measure what one face costs in each engine and precision: milliseconds on one thread.

Usage: python -m benchmarks.engines [MODEL ...]

MODEL is what `--model` takes; half and full unless named. Rounds of all rows take turns, and each row tells its
fastest, because other work on the machine only ever slows it; what is compared are rows of one run. How far the
answers lie apart is in the manifest, where `emotion export` measured it. Without bf16 a processor computes fp32.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emotion_stream.benchmarks.harness.script import script
from emotion_stream.classifier_worker.classifier import make_backend
from emotion_stream.models.evaluation.runlog import table
from emotion_stream.shared.messages.manifest import MODELS, load_manifest, model_directory
from emotion_stream.shared.settings.options import ClassifierOptions

ENGINES = {
    "OpenVINO int8": ClassifierOptions(precision="int8"),
    "OpenVINO bf16": ClassifierOptions(precision="bf16"),
    "OpenVINO fp32": ClassifierOptions(precision="fp32"),
    "ONNX Runtime fp32": ClassifierOptions(backend="onnxruntime"),
}
BATCHES = (1, 16)
ROUNDS = 20
"""Rounds of each row; a round is as many faces as the largest batch."""


def pictures(count: int, size: int) -> NDArray[np.uint8]:
    """Smooth random gray pictures, uint8 [count, size, size]."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 6, 6), np.uint8)
    return coarse.repeat(size // 6, axis=1).repeat(size // 6, axis=2)


def main(models: Sequence[str]) -> None:
    """Print the table."""
    backends = {}
    for name in models:
        manifest = load_manifest(model_directory(name))
        for engine, options in ENGINES.items():
            backend = make_backend(replace(options, threads=1), manifest, manifest.default_head)
            backend.open()
            backends[name, engine] = backend
    crops = pictures(max(BATCHES), load_manifest(model_directory(models[0])).size)
    best: dict[tuple[str, str, int], float] = {}
    for _ in range(ROUNDS):
        for batch in BATCHES:
            for (name, engine), backend in backends.items():
                started = time.perf_counter()
                for start in range(0, len(crops), batch):
                    backend.logits(crops[start : start + batch])
                spent = 1000 * (time.perf_counter() - started) / len(crops)
                best[name, engine, batch] = min(spent, best.get((name, engine, batch), spent))
    rows = [["model", "engine", *(f"ms a face, {b} at once" for b in BATCHES)]]
    rows += [[*key, *(f"{best[*key, b]:.2f}" for b in BATCHES)] for key in backends]
    print(table(rows))


if __name__ == "__main__":
    with script("engines", __doc__) as parser:
        parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
        main(parser.parse_args().models)
