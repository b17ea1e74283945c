"""`emotion evaluate`: measures a model exactly as it is served, on the labelled faces of FER-2013.

Needs neither TensorFlow nor Keras with the default back end; matplotlib for the pictures only.
"""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier_worker.classifier import make_backend
from models import assess, evaluate
from models.augment import resize
from models.calibration import Floats, Indices, softmax
from models.card import section, write_section
from models.data import Split, load_splits
from shared.cli import Command, Values
from shared.errors import EmotionError, UsageError
from shared.manifest import DEFAULT_ARTIFACTS, Manifest, load_manifest
from shared.options import ClassifierOptions, EvaluateOptions, ModelOptions, PrintOptions
from shared.settings import build

log = logging.getLogger(__name__)

HEAD = "fer2013"
"""The head that is measured unless another is named: its labels are the benchmark's."""


def served_logits(
    options: ClassifierOptions, manifest: Manifest, head: str, split: Split
) -> dict[str, NDArray[np.float32]]:
    """Logits [n, classes] of each head, by the very back end that classifiers run.

    Raises:
        EmotionError: the engine or a file of the model is missing or damaged.
    """
    backend = make_backend(options, manifest, head)
    backend.open()
    try:
        return backend.every_head(resize(split.pixels, manifest.size))
    finally:
        backend.close()


def read_split(options: EvaluateOptions) -> Split:
    """The split that is asked for.

    Raises:
        UsageError: no data is named.
        EmotionError: it is wrong, see `models.data.load_splits`.
    """
    if options.data is None:
        raise UsageError("--data is missing: fer2013.csv, or a folder with train/ or test/")
    votes = Path(options.ferplus) if options.ferplus else None
    return load_splits(Path(options.data), votes, [options.split], [options.split])[options.split]


def measure(
    options: EvaluateOptions, serving: ClassifierOptions, manifest: Manifest
) -> tuple[dict[str, Any], Floats, Indices]:
    """What is printed, and the probabilities [n, classes] and labels [n] it was computed from."""
    name = serving.head or HEAD
    head = manifest.head(name)
    if name == "consensus" and options.ferplus is None:
        raise UsageError("--head consensus is measured by the votes of FER+: give --ferplus fer2013new.csv")
    split = read_split(options)
    logits = served_logits(serving, manifest, name, split)
    labels, clear = assess.truth(split, name)
    if not clear.any():
        raise EmotionError(f"FER+ has no clear vote for any image of {options.split}")
    probabilities = softmax(logits[name].astype(np.float64), head.temperature)[clear]
    copies = assess.training_copies(manifest, split)
    figures = assess.assess(
        probabilities,
        labels[clear],
        manifest.labels,
        None if copies is None else copies[clear],
        head.uncertain_below,
    )
    result = {
        "model": manifest.id,
        "backend": serving.backend,
        "precision": "fp32" if serving.backend == "tensorflow" else serving.precision,
        "head": name,
        "split": options.split,
        "temperature": head.temperature,
        **figures,
    }
    if split.votes is not None and "consensus" in logits:
        plurality, agreed = assess.truth(split, "consensus")
        result["consensus_agreement"] = evaluate.top1(logits["consensus"][agreed], plurality[agreed])
        result["consensus_images"] = int(agreed.sum())
    return result, probabilities, labels[clear]


def run(values: Values) -> None:
    """Print the figures and draw the pictures."""
    options, serving = build(EvaluateOptions, values), build(ClassifierOptions, values)
    manifest = load_manifest(Path(build(ModelOptions, values).model or DEFAULT_ARTIFACTS))
    result, probabilities, labels = measure(options, replace(serving, head=serving.head or HEAD), manifest)
    if result["copies_of_training"] is None:
        log.warning("the model came without hashes of its training images: copies of them are not counted")
    if build(PrintOptions, values).json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        sys.stdout.write(assess.title(result) + "\n\n" + assess.tables(result) + "\n")
    pictures: list[Path] = []
    if options.charts:
        threshold = manifest.head(result["head"]).uncertain_below
        pictures = assess.draw(Path(options.charts), probabilities, labels, manifest.labels, threshold)
    if options.card:
        write_section(Path(options.card), result["head"], section(result, manifest, pictures, Path(options.card)))


COMMAND = Command(
    "evaluate",
    "Measure the model that is served, on labelled faces.",
    (EvaluateOptions, PrintOptions, ClassifierOptions, ModelOptions),
    run,
    without=("classify_wait", "classify_batch"),
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
