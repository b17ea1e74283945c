"""Logits to probabilities, and the temperatures that make those probabilities honest."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from emotion_stream.shared.messages.manifest import Calibration

Floats = NDArray[np.floating]
Indices = NDArray[np.integer]


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Probabilities [n, classes] of logits [n, classes] divided by `temperature`."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def probabilities(logits: Floats, calibration: Calibration) -> Floats:
    """Probabilities [n, classes] of logits [n, classes], as they are served."""
    return sharpened(adjusted(logits, calibration), calibration.sharpness)


def adjusted(logits: Floats, calibration: Calibration) -> Floats:
    """`logits` [n, classes] over the temperature, less what the prior of training put in: logit adjustment
    (Menon et al. 2021, arXiv:2007.07314)."""
    scaled = logits / calibration.temperature
    return np.asarray(scaled - np.asarray(calibration.offset)) if calibration.offset else scaled


def sharpened(scores: Floats, sharpness: Sequence[float]) -> Floats:
    """The softmax of `scores` [n, classes], each row divided by the `sharpness` of its largest class (class-based
    temperature scaling, Frenkel and Goldberger 2021); no sharpness: by 1."""
    if not sharpness:
        return softmax(scores)
    return softmax(scores / np.asarray(sharpness)[scores.argmax(axis=1)][:, None])


def nll(probabilities: Floats, labels: Indices) -> float:
    """Mean negative log-likelihood, in nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def fit_temperature(logits: Floats, labels: Indices, low: float = 0.1, high: float = 10.0) -> float:
    """The temperature in [low, high] with the smallest `nll`.

    The loss is convex in 1 / temperature, hence has a single minimum over any monotone scale.
    """
    double = logits.astype(np.float64)
    return _least(lambda t: nll(softmax(double, t), labels), low, high)


def fit_sharpness(scores: Floats, labels: Indices, fewest: int = 50) -> tuple[float, ...]:
    """For each class the temperature with the smallest Brier score of the images that it is the largest class
    of; for classes of which there are less than `fewest`, that of all images.

    The Brier score, because a few confident errors, of which FER-2013's labels have many, decide over `nll`.
    """
    double, largest = scores.astype(np.float64), scores.argmax(axis=1)
    fitted = []
    for k in range(scores.shape[1]):
        mine = largest == k if (largest == k).sum() >= fewest else np.ones(len(labels), bool)
        fitted.append(_least(partial(_brier_at, double[mine], labels[mine]), 0.25, 4.0))
    return tuple(fitted)


def brier(probabilities: Floats, labels: Indices) -> float:
    """Mean squared distance of probabilities [n, classes] from the labels [n]."""
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1).mean())


def _brier_at(scores: Floats, labels: Indices, temperature: float) -> float:
    return brier(softmax(scores, temperature), labels)


def _least(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where `loss` is smallest between `low` and `high`: golden-section search over the logarithm."""
    a, b = math.log(low), math.log(high)
    ratio = (math.sqrt(5) - 1) / 2
    c, d = b - ratio * (b - a), a + ratio * (b - a)
    at_c, at_d = loss(math.exp(c)), loss(math.exp(d))
    while b - a > 1e-4:
        if at_c < at_d:
            b, d, at_d = d, c, at_c
            c = b - ratio * (b - a)
            at_c = loss(math.exp(c))
        else:
            a, c, at_c = c, d, at_d
            d = a + ratio * (b - a)
            at_d = loss(math.exp(d))
    return math.exp((a + b) / 2)
