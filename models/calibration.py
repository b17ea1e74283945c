"""Logits to probabilities, and the temperature that makes those probabilities honest."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Indices = NDArray[np.integer]


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Probabilities [n, classes] of logits [n, classes] divided by `temperature`."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def nll(probabilities: Floats, labels: Indices) -> float:
    """Mean negative log-likelihood, in nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def fit_temperature(logits: Floats, labels: Indices, low: float = 0.1, high: float = 10.0) -> float:
    """The temperature in [low, high] with the smallest `nll`: golden-section search over its logarithm.

    The loss is convex in 1 / temperature, hence has a single minimum over any monotone scale.
    """
    double = logits.astype(np.float64)

    def loss(log_t: float) -> float:
        return nll(softmax(double, math.exp(log_t)), labels)

    a, b = math.log(low), math.log(high)
    ratio = (math.sqrt(5) - 1) / 2
    c, d = b - ratio * (b - a), a + ratio * (b - a)
    at_c, at_d = loss(c), loss(d)
    while b - a > 1e-4:
        if at_c < at_d:
            b, d, at_d = d, c, at_c
            c = b - ratio * (b - a)
            at_c = loss(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + ratio * (b - a)
            at_d = loss(d)
    return math.exp((a + b) / 2)
