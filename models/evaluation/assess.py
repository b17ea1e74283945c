"""All that is said about the predictions of one head on one split: as JSON, as tables, as pictures."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_stream.models.calibration import Floats, Indices
from emotion_stream.models.data.duplicates import hashes, near_hashes
from emotion_stream.models.data.fer2013 import Split
from emotion_stream.models.evaluation import metrics as evaluate
from emotion_stream.models.evaluation.runlog import table
from emotion_stream.models.labels import consensus
from emotion_stream.shared.errors import TRAIN_ENV, EmotionError
from emotion_stream.shared.messages.manifest import Manifest

log = logging.getLogger(__name__)

COMPARED = ("top1", "balanced_accuracy", "macro_f1", "ece")
"""Figures that are told for the natural prior and for two views, too."""
BESIDE = {"natural": "natural prior", "two_views": "two views"}
"""What is measured beside what streams are served, and what people call it."""

HASHES = "training_hashes"
"""Key of the manifest's files: the file with the hashes of the training images."""


def truth(split: Split, head: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """What `head` should say: labels int64 [n], and bool [n], false for images that it is not measured by."""
    if head == "consensus":
        if split.votes is None:
            raise EmotionError("the consensus head is measured by FER+ votes: give --ferplus fer2013new.csv")
        return consensus(split.votes)
    return split.labels, np.ones(len(split), bool)


def training_copies(manifest: Manifest, split: Split) -> NDArray[np.bool_] | None:
    """Which images of `split` the model was trained on, by the hashes that came with it; None if none came.

    Raises:
        EmotionError: the file of hashes is missing or damaged.
    """
    if HASHES not in manifest.files:
        return None
    return near_hashes(hashes(split.pixels), read_hashes(manifest.paths(HASHES)[0]))


def read_hashes(path: Path) -> NDArray[np.uint64]:
    """Hashes of training images, uint64 [n] (`models.duplicates.hashes`).

    Raises:
        EmotionError: the file cannot be read, or holds something else.
    """
    try:
        found = np.load(path)
    except (OSError, ValueError, EOFError) as e:
        raise EmotionError(f"{path} cannot be read ({e})") from e
    if not isinstance(found, np.ndarray) or found.dtype != np.uint64 or found.ndim != 1:
        raise EmotionError(f"{path} holds no hashes of images")
    return found


def assess(
    probabilities: Floats,
    labels: Indices,
    names: Sequence[str],
    copies: NDArray[np.bool_] | None = None,
    uncertain_below: float | None = None,
    resamples: int = 1000,
) -> dict[str, Any]:
    """Every figure of `models.evaluation.metrics`, ready for JSON.

    Args:
        probabilities: [n, classes], as served.
        labels: [n].
        names: of the classes.
        copies: which images are copies of training images; None: not known.
        uncertain_below: probability below which the pipeline answers `uncertain`; None: it always answers.
        resamples: of the bootstrap.
    """
    result: dict[str, Any] = evaluate.figures(probabilities, labels)
    result["binary_accuracy_trivial"] = 1 - 1 / len(names)
    result["intervals"] = evaluate.intervals(probabilities, labels, resamples)
    result["per_class"] = evaluate.per_class(probabilities, labels, names)
    result["absent_classes"] = [name for name in names if name not in result["per_class"]]
    result["confusion"] = evaluate.confusion(probabilities, labels).tolist()
    result["copies_of_training"] = None if copies is None else int(copies.sum())
    if copies is not None and not copies.all():
        result["without_copies"] = evaluate.figures(probabilities[~copies], labels[~copies])
    if uncertain_below is not None:
        sure = probabilities.max(axis=1) >= uncertain_below
        result["uncertain"] = {
            "below": uncertain_below,
            "coverage": float(sure.mean()),
            "top1_of_answered": evaluate.top1(probabilities[sure], labels[sure]) if sure.any() else None,
        }
    return result


def title(result: Mapping[str, Any]) -> str:
    """What was measured, in one line."""
    text = "{model}, {precision} on {backend}: head {head}, {split}, prior {prior:g}, one view"
    return text.format(**result)


def tables(result: Mapping[str, Any]) -> str:
    """`assess` for people."""
    rows = [["figure", "value", "95 % interval", "without copies of training images"]]
    without = result.get("without_copies", {})
    for name, (low, high) in result["intervals"].items():
        other = f"{without[name]:.4f}" if without else "-"
        rows.append([name.replace("_", " "), f"{result[name]:.4f}", f"{low:.4f} to {high:.4f}", other])
    rows.append(["images", str(result["images"]), "", str(without["images"]) if without else "-"])
    beside = {name: result[name]["per_class"] for name in ("natural", "two_views") if name in result}
    classes = [["class", "precision", "recall", *(f"recall, {BESIDE[name]}" for name in beside), "images"]]
    for name, found in result["per_class"].items():
        others = [f"{of[name]['recall']:.3f}" for of in beside.values()]
        classes.append(
            [name, f"{found['precision']:.3f}", f"{found['recall']:.3f}", *others, str(found["images"])]
        )
    priors = [["", *(name.replace("_", " ") for name in COMPARED)]]
    for name, figures in (("as served in streams", result), *((BESIDE[n], result[n]) for n in beside)):
        cells = [f"{figures[key]:.4f} ({_range(figures['intervals'][key])})" for key in COMPARED]
        priors.append([name, *cells])
    trivial = result["binary_accuracy_trivial"]
    notes = [
        f"binary: each class of each image is a decision at 0.5; a model that says nothing has {trivial:.4f} there"
    ]
    if absent := result["absent_classes"]:
        notes.append(f"no image of {', '.join(absent)} is there: means leave such classes out")
    if (count := result["copies_of_training"]) is not None:
        notes.append(f"copies of training images, by their hashes: {count}")
    if found := result.get("uncertain"):
        text = f"answers from probability {found['below']:.3f} on: {100 * found['coverage']:.1f} % of the images"
        if found["top1_of_answered"] is not None:
            text += f", of which {100 * found['top1_of_answered']:.1f} % are right"
        notes.append(text)
    if "consensus_agreement" in result:
        agreement = "{consensus_agreement:.4f} of {consensus_images} images".format(**result)
        notes.append(f"consensus head agrees with the plurality of FER+: {agreement}")
    return "\n\n".join([table(rows), table(priors), table(classes), "\n".join(f"- {note}" for note in notes)])


def _range(interval: Sequence[float]) -> str:
    return " to ".join(f"{value:.3f}" for value in interval)


def chart_paths(folder: Path) -> list[Path]:
    """What `draw` writes. Pure."""
    return [folder / f"{name}.png" for name in ("confusion", "reliability", "risk-coverage")]


def draw(
    folder: Path,
    probabilities: Floats,
    labels: Indices,
    names: Sequence[str],
    uncertain_below: float | None,
) -> list[Path]:
    """Write confusion.png, reliability.png and risk-coverage.png; without matplotlib, say so and write none.

    Raises:
        EmotionError: the folder cannot be written to.
    """
    try:
        from emotion_stream.models.evaluation import charts
    except ImportError:
        log.warning("no pictures: matplotlib is missing: %s", TRAIN_ENV)
        return []
    drawn = chart_paths(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        charts.draw_confusion(evaluate.confusion(probabilities, labels), names, drawn[0])
        charts.draw_reliability(*evaluate.reliability(probabilities, labels), drawn[1])
        charts.draw_risk_coverage(evaluate.risk_coverage(probabilities, labels), uncertain_below, drawn[2])
    except OSError as e:
        raise EmotionError(f"pictures cannot be written to {folder} ({e.strerror})") from e
    log.info("pictures: %s", folder)
    return drawn
