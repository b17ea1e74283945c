"""Weights as plain named arrays, the form that every back end can be built from.

Keys are `block1_conv1/kernel`, `block1_conv1/bias`, .., `consensus/kernel`; kernels lie in Keras' layout (height,
width, in, out). `models.network.shapes` lists them.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_stream.models.network import DEPTHS, HEADS, convolutions, shapes
from emotion_stream.shared.errors import EmotionError

Weights = dict[str, NDArray[np.float32]]


def widths_of(weights: Weights) -> tuple[int, ...]:
    """Channels of the five blocks of a network with these weights."""
    return tuple(len(weights[f"block{b}_conv1/bias"]) for b in range(1, len(DEPTHS) + 1))


def heads_of(weights: Weights) -> tuple[str, ...]:
    """Outputs of a network with these weights, in the order of `models.network.HEADS`."""
    return tuple(head for head in HEADS if f"{head}/kernel" in weights)


def check(
    weights: Weights, heads: Sequence[str] = (), origin: str = "the network", widths: Sequence[int] = ()
) -> Weights:
    """`weights`, known to be complete: every name there, every shape right, every value finite.

    Args:
        weights: by name.
        heads: outputs of the network; none: those that are there.
        origin: where the weights come from.
        widths: channels of the five blocks; none: as many as there are.

    Raises:
        EmotionError: they are not; the message names `origin` and the first fault.
    """
    heads = heads or heads_of(weights) or HEADS
    try:
        table = shapes(heads, widths or widths_of(weights), len(weights[f"{heads[0]}/bias"]))
    except KeyError as e:
        raise EmotionError(f"{origin} has no weight {e.args[0]!r}: not a VGG16 of ours") from None
    for name, shape in table.items():
        found = weights.get(name)
        if found is None:
            raise EmotionError(f"{origin} has no weight {name!r}: not a VGG16 of ours")
        if found.shape != shape:
            raise EmotionError(f"{origin}: weight {name!r} has shape {found.shape}, not {shape}")
        if not np.isfinite(found).all():
            raise EmotionError(f"{origin}: weight {name!r} is not finite")
    return {name: weights[name] for name in table}


def halved(weights: Weights) -> Weights:
    """`weights` rounded to what float16 holds, still as float32.

    Raises:
        EmotionError: a value does not fit into float16.
    """
    with np.errstate(over="ignore"):
        halves = {name: array.astype(np.float16).astype(np.float32) for name, array in weights.items()}
    for name, array in halves.items():
        if not np.isfinite(array).all():
            raise EmotionError(f"weight {name!r} does not fit into float16")
    return halves


def save(path: Path, weights: Weights) -> None:
    """Write `weights` as an .npz file of float16 arrays.

    Raises:
        EmotionError: a value does not fit into float16.
    """
    halves = {name: array.astype(np.float16) for name, array in halved(weights).items()}
    np.savez(path, allow_pickle=False, **halves)


def load(path: Path, heads: Sequence[str] = (), widths: Sequence[int] = ()) -> Weights:
    """Read an .npz file of weights as float32; with `heads`, those must be there and are taken; so with `widths`.

    Raises:
        EmotionError: it cannot be read, or is not a VGG16 with these `heads`.
    """
    try:
        with path.open("rb") as file, np.load(file) as archive:
            weights = {name: archive[name].astype(np.float32) for name in archive.files}
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as e:
        raise EmotionError(f"weights {path} cannot be read ({type(e).__name__} {e})") from e
    return check(weights, heads, str(path), widths)


def from_openvino(path: Path, heads: Sequence[str]) -> Weights:
    """Recover float weights from an exported OpenVINO model of any precision, int8 included.

    An int8 file stores a kernel as integers, scales and zero points. OpenVINO computes the product: the subgraphs
    that lead to each kernel and bias become a model of their own, without inputs, that is run once.

    Raises:
        EmotionError: the file cannot be read, or is not a VGG16 of ours with these `heads`.
    """
    import openvino as ov
    from openvino import opset13 as op

    names = [name for block in convolutions() for name, _, _ in block]
    try:
        core = ov.Core()
        nodes = {node.get_friendly_name(): node for node in core.read_model(path).get_ops()}
        sources: dict[str, Any] = {}
        for layer in [*names, *heads]:
            sources[f"{layer}/kernel"] = nodes[layer].input_value(1)
            sources[f"{layer}/bias"] = nodes[f"{layer}/bias"].input_value(1)
        model = ov.Model([op.result(source) for source in sources.values()], [], "weights")
        values = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([])
    except KeyError as e:
        raise EmotionError(f"{path} has no layer {e.args[0]!r}: not a VGG16 of ours") from None
    except RuntimeError as e:
        raise EmotionError(f"model {path} cannot be read: {reason(e)}") from e
    weights = {}
    for i, name in enumerate(sources):
        array = np.array(values[i], np.float32)
        if name.endswith("/bias"):
            array = array.reshape(-1)
        elif array.ndim == 4:
            array = np.ascontiguousarray(array.transpose(2, 3, 1, 0))  # OpenVINO: out, in, height, width
        weights[name] = array
    return check(weights, heads, str(path))


def reason(error: Exception) -> str:
    """The line of an OpenVINO error that says what is wrong; the others say where in its sources."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
