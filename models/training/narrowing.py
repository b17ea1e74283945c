"""A narrower network out of a trained one: the channels that matter least are left out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_stream.models.network import convolutions
from emotion_stream.shared.errors import UsageError

Floats = NDArray[np.floating]


def strongest(gain: Floats, readers: list[Floats], count: int) -> NDArray[np.intp]:
    """The channels that matter most, in their old order.

    Args:
        gain: of the normalisation behind the convolution, [channels].
        readers: kernels of the layers that read the channels: [.., channels, out].
        count: how many.

    A channel matters as much as its gain times the sum of the absolute values of what reads it, after Liu et al.
    2017 (gains) and Li et al. 2017 (norms of kernels).
    """
    read = sum(np.abs(k).sum(axis=tuple(a for a in range(k.ndim) if a != k.ndim - 2)) for k in readers)
    return np.sort(np.argsort(-np.abs(gain) * read, kind="stable")[:count])


def start_narrow(model: Any, full: Any, origin: str) -> None:
    """Give a model of `build_trainable` the weights of a trained one, without its weaker channels.

    Args:
        model: with batch normalisation; as wide as `full`, or narrower.
        full: as `emotion train` saved it.
        origin: where `full` comes from, for messages.

    Raises:
        UsageError: `full` has no batch normalisation, fewer channels or fewer heads.
    """
    there = {layer.name: layer for layer in full.layers}
    names = [name for block in convolutions() for name, _, _ in block]
    heads = list(model.output)
    for head in heads:
        if head not in there:
            raise UsageError(f"--weights {origin} has no head {head!r}: leave --ferplus away")
    if any(f"{name}_bn" not in there for name in names):
        raise UsageError(f"--weights {origin} has no batch normalisation, whose gains say which channels are weak")
    kept: NDArray[np.intp] = np.arange(1)
    for i, name in enumerate(names):
        kernel, bias = (np.asarray(w) for w in there[name].get_weights())
        norm = there[f"{name}_bn"]
        readers = [names[i + 1]] if i + 1 < len(names) else heads
        count = int(model.get_layer(name).filters)
        if count > len(bias):
            raise UsageError(f"--width: {name} would have {count} channels, and has {len(bias)} in {origin}")
        gamma, beta, mean, variance = (np.asarray(w) for w in norm.get_weights()[:4])
        chosen = strongest(gamma, [np.asarray(there[r].get_weights()[0]) for r in readers], count)
        model.get_layer(name).set_weights([kernel[:, :, kept][..., chosen], bias[chosen]])
        mine = model.get_layer(f"{name}_bn")
        mine.set_weights([*(w[chosen] for w in (gamma, beta, mean, variance)), *mine.get_weights()[4:]])
        kept = chosen
    for head in heads:
        kernel, bias = (np.asarray(w) for w in there[head].get_weights())
        model.get_layer(head).set_weights([kernel[kept], bias])
