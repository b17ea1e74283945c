"""A small VGG16 with random weights, exported like a trained one: for tests that need files but no accuracy."""

from pathlib import Path

import numpy as np

from emotion_stream.models import openvino_export
from emotion_stream.models.evaluation.assess import HASHES
from emotion_stream.models.export.artifact import Artifact, write_manifest
from emotion_stream.models.network import HEADS, shapes
from emotion_stream.models.weights import Weights, save
from emotion_stream.shared.messages.manifest import Head, Manifest

WIDTHS = (8, 16, 16, 32, 32)
SIZE = 48
TEMPERATURES = {"fer2013": 1.25, "consensus": 0.8}


def random_weights(seed: int = 0) -> Weights:
    """He-initialised, with values that float16 holds exactly, so that files lose nothing."""
    rng = np.random.default_rng(seed)
    weights: Weights = {}
    for name, shape in shapes(HEADS, WIDTHS).items():
        # inputs are around 60, not 1: small heads keep the logits moderate
        scale = np.sqrt(2 / np.prod(shape[:-1])) * (1 if len(shape) == 4 else 0.1)
        values = rng.normal(0, scale if name.endswith("/kernel") else 0.1, shape)
        weights[name] = values.astype(np.float16).astype(np.float32)
    return weights


def faces(count: int, seed: int = 1) -> np.ndarray:
    """Smooth random gray pictures, uint8 [count, SIZE, SIZE]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6), np.uint8)
    return coarse.repeat(SIZE // 6, axis=1).repeat(SIZE // 6, axis=2)


def artifact(
    directory: Path, weights: Weights | None = None, with_npz: bool = False, hashes: np.ndarray | None = None
) -> Manifest:
    """Export as precision "fp32" (and "weights"), with a manifest, and with `hashes` of training images."""
    weights = random_weights() if weights is None else weights
    model = openvino_export.build(weights, SIZE)
    files: dict[str, tuple[Path, ...]] = {
        "fp32": openvino_export.save(model, directory / "vgg16-fp32.xml", half=False)
    }
    if with_npz:
        save(directory / "vgg16-weights.npz", weights)
        files["weights"] = (directory / "vgg16-weights.npz",)
    if hashes is not None:
        np.save(directory / "training-hashes.npy", hashes)
        files[HASHES] = (directory / "training-hashes.npy",)
    heads = [Head(name, TEMPERATURES[name]) for name in HEADS]
    return write_manifest(directory, Artifact("random", SIZE, 0.1, heads, "consensus"), files)
