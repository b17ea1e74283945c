"""How good predictions are: pure functions over arrays of probabilities [n, classes] and labels [n]."""

import numpy as np

from models.calibration import Floats, Indices, fit_temperature, nll, softmax


def top1(probabilities: Floats, labels: Indices) -> float:
    """Share of rows whose most probable class is the label."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def confusion(probabilities: Floats, labels: Indices) -> Indices:
    """Counts [classes, classes]: rows are labels, columns what was predicted."""
    classes = probabilities.shape[1]
    flat = np.bincount(labels * classes + probabilities.argmax(axis=1), minlength=classes * classes)
    return flat.reshape(classes, classes)


def macro_f1(probabilities: Floats, labels: Indices) -> float:
    """Mean F1 over the classes that occur among labels or predictions."""
    counts = confusion(probabilities, labels)
    occurring = counts.sum(axis=0) + counts.sum(axis=1)
    present = occurring > 0
    return float((2 * counts.diagonal()[present] / occurring[present]).mean())


def ece(probabilities: Floats, labels: Indices, bins: int = 15) -> float:
    """Expected calibration error of the most probable class, over bins of equal width."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(index, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def cross_fitted_ece(logits: Floats, labels: Indices, folds: int = 5, seed: int = 0) -> float:
    """`ece` where each fold's temperature was fitted on the other folds, so that it is not flattered."""
    fold = np.random.default_rng(seed).permutation(len(labels)) % folds
    probabilities = np.empty(logits.shape, np.float64)
    for k in range(folds):
        temperature = fit_temperature(logits[fold != k], labels[fold != k])
        probabilities[fold == k] = softmax(logits[fold == k], temperature)
    return ece(probabilities, labels)


def report(logits: Floats, labels: Indices, temperature: float) -> dict[str, float]:
    """The figures of one head: `top1`, `macro_f1`, `nll`, `ece` at this temperature, and the number of images."""
    probabilities = softmax(logits, temperature)
    return {
        "top1": top1(probabilities, labels),
        "macro_f1": macro_f1(probabilities, labels),
        "nll": nll(probabilities, labels),
        "ece": ece(probabilities, labels),
        "images": len(labels),
    }
