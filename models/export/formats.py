"""The files of an exported model: the same network as plain weights, for OpenVINO, and for Keras."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_stream.models import network, onnx_export, openvino_export, weights
from emotion_stream.models.export.origin import Origin
from emotion_stream.models.training.backend import choose_backend, installed
from emotion_stream.shared.errors import EmotionError

Pixels = NDArray[np.uint8]

CALIBRATION = 300
"""Crops from which the ranges of an int8 model are taken."""


def write_format(name: str, origin: Origin, folder: Path, crops: Pixels | None) -> tuple[Path, ...]:
    """Write one format into `folder`; returns its files.

    Args:
        name: int8, weights, fp32, bf16, onnx or keras.
        origin: the weights.
        folder: is there already.
        crops: real faces uint8 [n, size, size], for int8 only; None: the int8 files that came with `origin`.

    Raises:
        EmotionError: the library that it takes is missing, or int8 has neither crops nor files.
    """
    if name == "weights":
        path = folder / "vgg16-weights.npz"
        weights.save(path, origin.weights)
        return (path,)
    if name == "keras":
        path = folder / "vgg16.keras"
        keras_model(origin).save(path)
        return (path,)
    if name == "onnx":
        path = folder / "vgg16.onnx"
        path.write_bytes(onnx_export.build(origin.weights, origin.size, origin.heads))
        return (path,)
    if name == "int8" and crops is None:
        if origin.manifest is None:
            raise EmotionError("int8 is calibrated on real faces: give --data")
        return _copied(origin.manifest.paths("int8"), folder)
    model = openvino_export.build(origin.weights, origin.size, origin.heads)
    if name == "int8" and crops is not None:
        model = openvino_export.quantize(model, crops)
    return openvino_export.save(model, folder / f"vgg16-{name}.xml", half=name != "fp32")


def _copied(paths: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    copies = tuple(folder / path.name for path in paths)
    for path, copy in zip(paths, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    return copies


def have_keras() -> bool:
    """Whether Keras and something that it can run on are installed."""
    return bool(importlib.util.find_spec("keras") and installed())


def have_onnx() -> bool:
    """Whether ONNX models can be written and run here."""
    return bool(importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"))


def keras_model(origin: Origin) -> Any:
    """The network in Keras, of standard layers only: float32 [n, size, size, 1] -> {head: logits}.

    Raises:
        EmotionError: Keras is not installed.
    """
    choose_backend()
    classes = len(origin.weights[f"{origin.heads[0]}/bias"])
    model = network.build_vgg16(origin.size, origin.heads, weights.widths_of(origin.weights), classes)
    network.load_into(model, origin.weights)
    return model


def keras_logits(origin: Origin, pixels: Pixels) -> dict[str, NDArray[np.float32]]:
    """Logits [n, classes] of each head, by Keras on whatever it runs here."""
    predicted = keras_model(origin).predict(pixels[..., None].astype(np.float32), batch_size=32, verbose=0)
    return {head: np.asarray(values, np.float32) for head, values in predicted.items()}


def calibration_crops(pixels: Pixels, seed: int = 0) -> Pixels:
    """Some of the training images, none of them blank."""
    lively = np.flatnonzero(pixels.reshape(len(pixels), -1).std(axis=1) > 1)
    chosen = np.random.default_rng(seed).permutation(lively)[:CALIBRATION]
    return np.asarray(pixels[chosen])
