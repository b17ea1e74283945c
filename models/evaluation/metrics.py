"""How good predictions are: pure functions over arrays of probabilities [n, classes] and labels [n]."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emotion_stream.models.calibration import Floats, Indices, fit_sharpness, nll, sharpened, softmax

BINS = 15
"""Of the reliability diagram and of the calibration error."""

REJECTION_COST = 0.5
"""Of an `uncertain`, where a wrong answer costs 1: it is said where a guess is more often wrong than right."""

NEARLY = 0.0005
"""Share of the images by which two thresholds may differ in cost and be as good."""


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """What it costs to answer: entry k is for answering the k + 1 surest of n images only.

    Attributes:
        threshold: probability of the least sure answer, float64 [n], falling.
        coverage: share of images answered, float64 [n].
        risk: share of wrong answers among them, float64 [n].
    """

    threshold: NDArray[np.float64]
    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]


def top1(probabilities: Floats, labels: Indices) -> float:
    """Share of rows whose most probable class is the label."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def confusion(probabilities: Floats, labels: Indices) -> Indices:
    """Counts [classes, classes]: rows are labels, columns what was predicted."""
    classes = probabilities.shape[1]
    flat = np.bincount(labels * classes + probabilities.argmax(axis=1), minlength=classes * classes)
    return flat.reshape(classes, classes)


def macro_f1(probabilities: Floats, labels: Indices) -> float:
    """Mean F1 over the classes that occur among the labels."""
    counts = confusion(probabilities, labels)
    occurring = counts.sum(axis=0) + counts.sum(axis=1)
    present = counts.sum(axis=1) > 0
    return float((2 * counts.diagonal()[present] / occurring[present]).mean())


def balanced_accuracy(probabilities: Floats, labels: Indices) -> float:
    """Mean recall of the classes that occur among the labels."""
    counts = confusion(probabilities, labels)
    present = counts.sum(axis=1) > 0
    return float((counts.diagonal()[present] / counts.sum(axis=1)[present]).mean())


def per_class(probabilities: Floats, labels: Indices, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """For each class that occurs among the labels `precision` (0 where it was never predicted), `recall` and its
    number of `images`."""
    counts = confusion(probabilities, labels)
    hits, predicted, true = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    return {
        name: {
            "precision": float(hits[i] / max(predicted[i], 1)),
            "recall": float(hits[i] / true[i]),
            "images": int(true[i]),
        }
        for i, name in enumerate(names)
        if true[i]
    }


def ranks(probabilities: Floats) -> Indices:
    """The probabilities' order, all classes together: int64 [n, classes], equal where they are equal."""
    return np.unique(probabilities, return_inverse=True)[1].reshape(probabilities.shape)


def auc(order: Indices, labels: Indices) -> float:
    """Area under the ROC curve of all yes-or-no decisions together, one per image and class, from their `ranks`.

    It is the exact value (Mann-Whitney, ties count half) of what Keras' `AUC` approximates with 200 thresholds.
    """
    truth = _one_hot(labels, order.shape[1])
    length = int(order.max()) + 1
    positives, negatives = (np.bincount(order[mask], minlength=length) for mask in (truth, ~truth))
    below = np.cumsum(negatives) - negatives / 2
    pairs = positives.sum() * negatives.sum()
    return float((positives * below).sum() / pairs)  # as a dot product BLAS would start threads for it


def decisions(probabilities: Floats, labels: Indices) -> dict[str, float]:
    """Keras' metrics BinaryAccuracy, Precision and Recall: every class of every image is a decision at 0.5.

    A model that never exceeds 0.5 has a binary accuracy of 6/7 with seven classes.
    """
    said, truth = probabilities > 0.5, _one_hot(labels, probabilities.shape[1])
    hits = int((said & truth).sum())
    return {
        "binary_accuracy": float((said == truth).mean()),
        "binary_precision": hits / max(int(said.sum()), 1),
        "binary_recall": hits / len(labels),
    }


def reliability(
    probabilities: Floats, labels: Indices, bins: int = BINS
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Per bin of the highest probability, of equal width: images, mean confidence, accuracy; each [bins]."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    filled = np.maximum(counts, 1)
    return (
        counts,
        np.bincount(index, weights=confidence, minlength=bins) / filled,
        np.bincount(index, weights=right, minlength=bins) / filled,
    )


def ece(probabilities: Floats, labels: Indices, bins: int = BINS) -> float:
    """Expected calibration error of the most probable class (Guo et al. 2017), over bins of equal width."""
    counts, confidence, accuracy = reliability(probabilities, labels, bins)
    return float((counts * np.abs(confidence - accuracy)).sum() / len(labels))


def cross_fitted_ece(scores: Floats, labels: Indices, folds: int = 5, seed: int = 0) -> float:
    """`ece` where what sharpens each fold's scores (`models.calibration.adjusted`) was fitted on the other folds,
    so that it is not flattered."""
    fold = np.random.default_rng(seed).permutation(len(labels)) % folds
    probabilities = np.empty(scores.shape, np.float64)
    for k in range(folds):
        sharpness = fit_sharpness(scores[fold != k], labels[fold != k])
        probabilities[fold == k] = sharpened(scores[fold == k], sharpness)
    return ece(probabilities, labels)


def risk_coverage(probabilities: Floats, labels: Indices) -> RiskCoverage:
    """The risk-coverage curve of answering only where the highest probability is high enough."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    order = np.argsort(-confidence, kind="stable")
    wrong = (probabilities.argmax(axis=1) != labels)[order]
    answered = np.arange(1, len(labels) + 1)
    return RiskCoverage(confidence[order], answered / len(labels), np.cumsum(wrong) / answered)


def uncertain_below(probabilities: Floats, labels: Indices, cost: float = REJECTION_COST) -> float:
    """The probability below which it is better not to answer (Chow 1970): wrong answers and `cost` times those
    not given are fewest there, on the risk-coverage curve of these images. Of those that are `NEARLY` as good, the
    lowest, which answers most: the curve is flat at its end, and chance would choose there."""
    curve = risk_coverage(probabilities, labels)
    total = curve.risk * curve.coverage + cost * (1 - curve.coverage)
    return float(curve.threshold[np.flatnonzero(total <= total.min() + NEARLY)[-1]])


def figures(probabilities: Floats, labels: Indices) -> dict[str, float]:
    """Every figure that is one number, by name, and the number of `images`."""
    return _figures(probabilities, ranks(probabilities), labels)


def intervals(
    probabilities: Floats, labels: Indices, resamples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Bootstrap 95 % intervals of `figures`: the percentiles 2.5 and 97.5 over resamples of the images."""
    rng = np.random.default_rng(seed)
    order = ranks(probabilities)
    samples = []
    for _ in range(resamples):
        chosen = rng.integers(0, len(labels), len(labels))
        samples.append(_figures(probabilities[chosen], order[chosen], labels[chosen]))
    result = {}
    for name in samples[0]:
        if name != "images":
            low, high = np.percentile([sample[name] for sample in samples], [2.5, 97.5])
            result[name] = (float(low), float(high))
    return result


def report(logits: Floats, labels: Indices, temperature: float) -> dict[str, float]:
    """`figures` of one head at this temperature."""
    return figures(softmax(logits, temperature), labels)


def _figures(probabilities: Floats, order: Indices, labels: Indices) -> dict[str, float]:
    return {
        "top1": top1(probabilities, labels),
        "macro_f1": macro_f1(probabilities, labels),
        "balanced_accuracy": balanced_accuracy(probabilities, labels),
        **decisions(probabilities, labels),
        "auc": auc(order, labels),
        "nll": nll(probabilities, labels),
        "ece": ece(probabilities, labels),
        "images": len(labels),
    }


def _one_hot(labels: Indices, classes: int) -> NDArray[np.bool_]:
    return np.eye(classes, dtype=bool)[labels]
