"""`emotion evaluate`: measures a model exactly as it is served, on the labelled faces of FER-2013.

Needs neither TensorFlow nor Keras with the default back end; matplotlib for the pictures only.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_stream.classifier_worker.classifier import make_backend
from emotion_stream.models.calibration import Floats, Indices, probabilities
from emotion_stream.models.data.augment import resize
from emotion_stream.models.data.fer2013 import Split, load_splits
from emotion_stream.models.evaluation import assess
from emotion_stream.models.evaluation import metrics as evaluate
from emotion_stream.models.evaluation.card import section, section_name, write_section
from emotion_stream.shared.claims import Claim, Source, check, check_folder
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.manifest import Manifest, load_manifest, model_directory, prior_strength
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.command_options import EvaluateOptions, PrintOptions
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.settings.options import ClassifierOptions, ModelOptions
from emotion_stream.shared.settings.result_options import WriteOptions
from emotion_stream.shared.terminal import say
from emotion_stream.sink.marks import is_marked, mark

log = logging.getLogger(__name__)

HEAD = "fer2013"
"""The head that is measured unless another is named: its labels are the benchmark's."""


def served_logits(
    options: ClassifierOptions, manifest: Manifest, head: str, split: Split
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Logits [n, classes] of each head by the very back end that classifiers run: of the images, and of their
    mirror images.

    Raises:
        EmotionError: the engine or a file of the model is missing or damaged.
    """
    backend = make_backend(options, manifest, head)
    backend.open()
    try:
        crops = resize(split.pixels, manifest.size)
        return backend.every_head(crops), backend.every_head(np.ascontiguousarray(crops[:, :, ::-1]))
    finally:
        backend.close()


def read_split(options: EvaluateOptions) -> Split:
    """The split that is asked for.

    Raises:
        UsageError: no data is named.
        EmotionError: it is wrong, see `models.data.load_splits`.
    """
    if options.data is None:
        raise UsageError(
            "--data is missing: fer2013.csv, a folder with train/ or test/, or a folder of class folders"
        )
    votes = Path(options.ferplus) if options.ferplus else None
    return load_splits(Path(options.data), votes, [options.split], [options.split], complete=False)[options.split]


def measure(
    options: EvaluateOptions, serving: ClassifierOptions, manifest: Manifest
) -> tuple[dict[str, Any], Floats, Indices]:
    """What is printed, and the probabilities [n, classes] and labels [n] it was computed from."""
    name = serving.head or HEAD
    head = manifest.head(name)
    if name == "consensus" and options.ferplus is None:
        raise UsageError("--head consensus is measured by the votes of FER+: give --ferplus fer2013new.csv")
    split = read_split(options)
    prior = prior_strength(serving.prior)
    calibration, natural = head.calibration(prior), head.calibration(0.0)
    logits, mirrored = served_logits(serving, manifest, name, split)
    labels, clear = assess.truth(split, name)
    if not clear.any():
        raise EmotionError(f"FER+ has no clear vote for any image of {options.split}")
    plain = logits[name].astype(np.float64)[clear]
    both = (plain + mirrored[name].astype(np.float64)[clear]) / 2
    served = probabilities(plain, calibration)
    copies = assess.training_copies(manifest, split)
    figures = assess.assess(
        served,
        labels[clear],
        manifest.labels,
        None if copies is None else copies[clear],
        calibration.uncertain_below,
    )
    result = {
        "model": manifest.id,
        "backend": serving.backend,
        "precision": serving.precision if serving.backend == "openvino" else "fp32",
        "head": name,
        "split": options.split,
        "prior": calibration.prior,
        "temperature": head.temperature,
        **figures,
        "natural": _beside(probabilities(plain, natural), labels[clear], manifest.labels),
        "two_views": _beside(probabilities(both, calibration), labels[clear], manifest.labels),
    }
    if split.votes is not None and "consensus" in logits:
        plurality, agreed = assess.truth(split, "consensus")
        told = probabilities(logits["consensus"].astype(np.float64), manifest.head("consensus").calibration(prior))
        result["consensus_agreement"] = evaluate.top1(told[agreed], plurality[agreed])
        result["consensus_images"] = int(agreed.sum())
    return result, served, labels[clear]


def _beside(found: Floats, labels: Indices, names: Sequence[str]) -> dict[str, Any]:
    """The figures of another prior or of two views, under the names of the served ones."""
    return {
        **evaluate.figures(found, labels),
        "intervals": evaluate.intervals(found, labels),
        "per_class": evaluate.per_class(found, labels, names),
    }


def _check(options: EvaluateOptions, values: Values, manifest: Manifest) -> None:
    """Refuse pictures that must not be written over; a card has marks between which it is written."""
    read = {"data": options.data, "ferplus": options.ferplus, "card": options.card}
    sources = [Source(Path(path), f"--{name} {path}") for name, path in read.items() if path]
    sources.append(Source(manifest.directory, "the model"))
    charts = assess.chart_paths(Path(options.charts)) if options.charts else []
    if options.charts:
        check_folder(Path(options.charts), f"--charts {options.charts}")
    if options.card and not os.path.isfile(options.card):
        raise EmotionError(f"--card {options.card}: no such file")
    claims = [Claim(path, f"the chart {path}", is_marked) for path in charts if path.parent.is_dir()]
    check(sources, claims, force=build(WriteOptions, values).force)


def run(values: Values) -> None:
    """Print the figures and draw the pictures."""
    options, serving = build(EvaluateOptions, values), build(ClassifierOptions, values)
    manifest = load_manifest(model_directory(build(ModelOptions, values).model))
    _check(options, values, manifest)
    result, served, labels = measure(options, replace(serving, head=serving.head or HEAD), manifest)
    if result["copies_of_training"] is None:
        log.warning("the model came without hashes of its training images: copies of them are not counted")
    if build(PrintOptions, values).json:
        say(json.dumps(result, indent=2))
    else:
        say(f"{assess.title(result)}\n\n{assess.tables(result)}")
    pictures: list[Path] = []
    if options.charts:
        threshold = manifest.head(result["head"]).calibration(result["prior"]).uncertain_below
        pictures = assess.draw(Path(options.charts), served, labels, manifest.labels, threshold)
        for path in pictures:
            path.write_bytes(mark(path.read_bytes()))
    if options.card:
        text = section(result, manifest, pictures, Path(options.card))
        write_section(Path(options.card), section_name(manifest, result["head"]), text)


COMMAND = Command(
    "evaluate",
    "Measure the model that is served, on labelled faces.",
    (EvaluateOptions, PrintOptions, WriteOptions, ClassifierOptions, ModelOptions),
    run,
    without=("classify_wait", "classify_batch", "views"),
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
