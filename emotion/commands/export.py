"""`emotion export`: from trained weights to a folder that can be served, with what was measured of it.

With data: every precision is measured on PublicTest as it is served, temperatures and thresholds are fitted, and
hashes of the training images are added. Without: further files of a model that was exported before.
"""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_stream import __version__
from emotion_stream.classifier_worker.backend import Backend
from emotion_stream.classifier_worker.onnxruntime_backend import OnnxRuntimeBackend
from emotion_stream.classifier_worker.openvino_backend import REBUILT, OpenVinoBackend
from emotion_stream.models.calibration import adjusted, fit_sharpness, fit_temperature, probabilities, sharpened
from emotion_stream.models.data import duplicates
from emotion_stream.models.data.augment import resize
from emotion_stream.models.data.fer2013 import Split, load_splits, soft_votes
from emotion_stream.models.evaluation import metrics as evaluate
from emotion_stream.models.evaluation import runlog
from emotion_stream.models.evaluation.assess import HASHES, truth
from emotion_stream.models.export import formats
from emotion_stream.models.export.artifact import Artifact, write_manifest
from emotion_stream.models.export.origin import Origin, read_origin
from emotion_stream.models.labels import LABELS
from emotion_stream.shared.claims import Claim, Source, check
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.manifest import BALANCED, Adjusted, Head, Manifest, load_manifest
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.command_options import ExportOptions
from emotion_stream.shared.settings.loading import build, option
from emotion_stream.shared.settings.result_options import WriteOptions

log = logging.getLogger(__name__)

DEFAULT_FORMATS = ("int8", "weights")
MEASURED = ("int8", "bf16", "fp32")
"""Precisions that OpenVINO serves. ONNX Runtime and Keras are measured beside them where they are installed."""

FITTED_ON = "int8"
"""The precision that is served by default, to whose answers temperatures and thresholds are fitted."""

ALLOWED_LOSS = 0.003
"""Top-1 that int8 may lose against fp32 before the export warns."""

FEWEST = 50
"""Images below which nothing is fitted."""

FITTED_PRIORS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Strengths of the prior adjustment that sharpness and threshold are fitted for."""
SERVED_PRIORS = {"fer2013": 0.25, "consensus": BALANCED}
"""The strength that each head is served with by default, chosen on PublicTest (docs/reference/model-card.md)."""

Counts = tuple[float, ...]
Logits = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class PathOptions:
    """From where to where. For this command, `weights` and `output` are paths."""

    weights: str = option(
        "", "a training run's folder, a file of weights (.npz, .keras), or an exported model", metavar="PATH"
    )
    output: tuple[str, ...] = option((), "folder for manifest.json and the model's files", metavar="DIR")


@dataclass(frozen=True, slots=True)
class Fitted:
    """What PublicTest says of a model: its heads with temperature and threshold, and figures per precision."""

    heads: tuple[Head, ...]
    accuracies: dict[str, dict[str, dict[str, float]]]
    measured_on: str


def engines(manifest: Manifest, files: Collection[str]) -> dict[str, Backend]:
    """What classifiers can run `manifest` with, by the name under which it is measured."""
    head, cores = manifest.heads[0].name, os.cpu_count() or 1
    precisions = [name for name in MEASURED if name in files or name in REBUILT]
    found: dict[str, Backend] = {name: OpenVinoBackend(manifest, name, head, cores) for name in precisions}
    if formats.have_onnx():
        found["onnx"] = OnnxRuntimeBackend(manifest, "fp32", head, cores)
    return found


def served_logits(backend: Backend, size: int, split: Split) -> Logits:
    """Logits of all heads."""
    backend.open()
    try:
        return backend.every_head(resize(split.pixels, size))
    finally:
        backend.close()


def fit_head(name: str, logits: NDArray[np.float32], split: Split, counts: Counts = ()) -> Head:
    """Temperature and threshold of one head, for adjusted priors, too, where `counts` are known; rounded as they
    are stored."""
    labels, clear = truth(split, name)
    if clear.sum() < FEWEST:
        log.warning("head %s: %d images are too few to fit its temperature to", name, clear.sum())
        return Head(name, 1.0)
    double, labels = logits[clear].astype(np.float64), labels[clear]
    temperature = round(fit_temperature(double, labels), 4)
    head = Head(name, temperature, counts=counts)
    strengths = FITTED_PRIORS if counts else FITTED_PRIORS[:1]
    fitted = tuple(_adjusted(head, strength, double, labels) for strength in strengths)
    return replace(head, adjusted=fitted, prior=SERVED_PRIORS.get(name, 0.0) if counts else 0.0)


def _adjusted(head: Head, strength: float, logits: NDArray[np.float64], labels: NDArray[np.int64]) -> Adjusted:
    """What is fitted to one strength of the prior adjustment, rounded as it is stored."""
    scores = adjusted(logits, head.calibration(strength))
    sharpness = tuple(round(value, 4) for value in fit_sharpness(scores, labels))
    threshold = evaluate.uncertain_below(sharpened(scores, sharpness), labels)
    return Adjusted(strength, sharpness, round(threshold, 3))


def class_counts(training: Split, hashes: NDArray[np.uint64] | None, heads: Sequence[str]) -> Mapping[str, Counts]:
    """For each head how many training images taught it each class: votes of FER+ count in parts.

    Args:
        training: the cleaned training images.
        hashes: of those that were trained on; None: all.
        heads: names.
    """
    if hashes is not None:
        training = training.take(np.isin(duplicates.hashes(training.pixels), hashes))
        if not len(training):
            log.warning(
                "the data hold none of the images that this model learned from: only its natural prior is known"
            )
            return {}
    result = {}
    for head in heads:
        if head == "consensus" and training.votes is not None:
            shares, weights = soft_votes(training.votes)
            counts = (shares * weights[:, None]).sum(axis=0)
        else:
            counts = np.bincount(training.labels, minlength=len(LABELS)).astype(np.float32)
        result[head] = tuple(round(float(count), 1) for count in counts)
    return result


def measure(logits: Mapping[str, Logits], split: Split, counts: Mapping[str, Counts] | None = None) -> Fitted:
    """Fit to `FITTED_ON`, where that is there, and measure every precision as it is served.

    Args:
        logits: of each precision and head.
        split: the images that they are of.
        counts: training images of each class, by head; None: not known.
    """
    fitted_on = FITTED_ON if FITTED_ON in logits else "fp32"
    counts = counts or {}
    heads = tuple(
        fit_head(name, values, split, counts.get(name, ())) for name, values in logits[fitted_on].items()
    )
    accuracies: dict[str, dict[str, dict[str, float]]] = {}
    images = []
    for head in heads:
        labels, clear = truth(split, head.name)
        images.append(f"{head.name} {int(clear.sum())}")
        for precision, outputs in logits.items():
            values, other = outputs[head.name][clear].astype(np.float64), logits[fitted_on][head.name][clear]
            served = head.calibration()
            figures = evaluate.figures(probabilities(values, served), labels[clear])
            natural = probabilities(values, head.calibration(0.0))
            figures["natural_top1"] = evaluate.top1(natural, labels[clear])
            figures["natural_balanced_accuracy"] = evaluate.balanced_accuracy(natural, labels[clear])
            if len(values) >= FEWEST:
                figures["ece_cross_fitted"] = evaluate.cross_fitted_ece(adjusted(values, served), labels[clear])
            exact = logits.get("fp32", outputs)[head.name][clear]
            figures["logit_error"] = float(np.abs(values - exact).mean())
            figures[f"same_class_as_{fitted_on}"] = float((values.argmax(1) == other.argmax(1)).mean())
            rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
            accuracies.setdefault(precision, {})[head.name] = rounded
    measured_on = (
        f"FER-2013 PublicTest, single crop, prior as served ({', '.join(images)} images; consensus: those"
        " with a clear plurality of FER+ among the seven classes); temperatures, sharpness and thresholds fitted"
        f" there to {fitted_on}; ece_cross_fitted: 5 folds"
    )
    return Fitted(heads, accuracies, measured_on)


def read_data(options: ExportOptions, origin: Origin) -> dict[str, Split]:
    """Training and PublicTest.

    Raises:
        UsageError: votes are missing that the consensus head is measured by.
        EmotionError: see `models.data.load_splits`.
    """
    if "consensus" in origin.heads and options.ferplus is None:
        raise UsageError("the consensus head is measured by the votes of FER+: give --ferplus fer2013new.csv")
    votes = Path(options.ferplus) if options.ferplus else None
    return load_splits(Path(str(options.data)), votes, ["Training", "PublicTest"])


def describe(origin: Origin, margin: float, fitted: Fitted) -> Artifact:
    """The model's entry for the manifest."""
    default = "consensus" if "consensus" in origin.heads else origin.heads[0]
    return Artifact(
        origin.id,
        origin.size,
        margin,
        fitted.heads,
        default,
        fitted.accuracies,
        fitted.measured_on,
        origin.run,
        f"emotion export {__version__}",
        commit=origin.commit or runlog.commit(),
    )


def export(options: ExportOptions, origin: Origin, output: Path) -> Manifest:
    """Write the files and their manifest into a new folder and bring them to `output` when all is done.

    Raises:
        UsageError: neither data nor an earlier export is there.
        EmotionError: data, weights or a library are missing or wrong, or `output` cannot be written to.
    """
    if options.data is None and origin.manifest is None:
        raise UsageError(
            "--data is missing: it takes labelled faces to quantise, calibrate and measure these weights"
        )
    wanted = tuple(dict.fromkeys(options.formats)) or DEFAULT_FORMATS
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output, prefix=".export-") as name:
            folder = Path(name)
            if options.data is None:
                assert origin.manifest is not None
                manifest = _rebuilt(origin, origin.manifest, folder, wanted)
            else:
                manifest = _measured(options, origin, folder, wanted)
            return _publish(manifest, output)
    except OSError as e:
        raise EmotionError(f"cannot write to {output} ({e.strerror or e})") from e


def _measured(options: ExportOptions, origin: Origin, folder: Path, wanted: tuple[str, ...]) -> Manifest:
    splits = read_data(options, origin)
    crops = resize(formats.calibration_crops(splits["Training"].pixels), origin.size)
    files: dict[str, tuple[Path, ...]] = {}
    for name in dict.fromkeys((*wanted, "weights")):  # what is measured is built from the weights
        log.info("writing %s", name)
        files[name] = formats.write_format(name, origin, folder, crops)
    plain = [Head(head, 1.0) for head in origin.heads]
    draft = write_manifest(folder, describe(origin, options.margin, Fitted(tuple(plain), {}, "")), files)
    public, logits = splits["PublicTest"], {}
    for precision, backend in engines(draft, files).items():
        log.info("measuring %s on %d images", precision, len(public))
        logits[precision] = served_logits(backend, draft.size, public)
    if formats.have_keras():
        log.info("measuring keras")
        logits["keras"] = formats.keras_logits(origin, resize(public.pixels, origin.size))
    taught = duplicates.clean(splits["Training"], [public]).kept
    fitted = measure(logits, public, class_counts(taught, origin.hashes, origin.heads))
    _gate(fitted)
    hashes = duplicates.hashes(taught.pixels) if origin.hashes is None else origin.hashes
    np.save(folder / "training-hashes.npy", np.unique(hashes))
    files = {name: paths for name, paths in files.items() if name in wanted}
    files[HASHES] = (folder / "training-hashes.npy",)
    return write_manifest(folder, describe(origin, options.margin, fitted), files)


def _gate(fitted: Fitted) -> None:
    """Say how much int8 costs."""
    if "int8" not in fitted.accuracies:
        return
    for head, figures in fitted.accuracies["int8"].items():
        before, after = fitted.accuracies["fp32"][head]["top1"], figures["top1"]
        level = logging.WARNING if before - after > ALLOWED_LOSS else logging.INFO
        log.log(level, "head %s: top-1 %.4f as fp32, %.4f as int8", head, before, after)


def _rebuilt(origin: Origin, earlier: Manifest, folder: Path, wanted: tuple[str, ...]) -> Manifest:
    files = {name: formats.write_format(name, origin, folder, None) for name in wanted}
    if HASHES in earlier.files:
        (source,) = earlier.paths(HASHES)
        files[HASHES] = (folder / source.name,)
        files[HASHES][0].write_bytes(source.read_bytes())
    fitted = Fitted(earlier.heads, earlier.raw.get("accuracies", {}), str(earlier.raw.get("measured_on", "")))
    artifact = describe(origin, earlier.margin, fitted)
    return write_manifest(folder, replace(artifact, id=earlier.id, default_head=earlier.default_head), files)


def _publish(manifest: Manifest, output: Path) -> Manifest:
    """Move a finished model to `output`, its manifest last; files that only the model before it had, go."""
    names = [name for files in manifest.files.values() for name in files]
    try:
        before = [name for files in load_manifest(output).files.values() for name in files]
    except EmotionError:
        before = []
    for name in (*names, "manifest.json"):
        os.replace(manifest.directory / name, output / name)
    for name in set(before) - set(names):
        (output / name).unlink(missing_ok=True)
    return load_manifest(output)


def _check(options: ExportOptions, weights: Path, output: Path, *, force: bool) -> None:
    """Refuse a folder in which the model would replace something that is read, or is somebody's. A model of ours
    gives way to the next one.

    Raises:
        UsageError, EmotionError: see `shared.claims.check`.
    """
    named = {"data": options.data, "ferplus": options.ferplus, "weights": weights if weights.is_file() else None}
    sources = [Source(Path(path), f"--{name} {path}") for name, path in named.items() if path]
    is_model = False
    with contextlib.suppress(EmotionError):
        is_model = bool(load_manifest(output).files)
    names = ["manifest.json", "training-hashes.npy", "vgg16-weights.npz", "vgg16.keras", "vgg16.onnx"]
    names += [f"vgg16-{precision}.{end}" for precision in MEASURED for end in ("xml", "bin")]
    claims = [Claim(output / name, f"the model's {output / name}", lambda _: is_model) for name in names]
    check(sources, claims if output.is_dir() else [], force=force)


def run(values: Values) -> None:
    """Export as the settings say."""
    options, paths = build(ExportOptions, values), build(PathOptions, values)
    if not paths.weights:
        raise UsageError("--weights is missing: a training run's folder, or a file of weights")
    if len(paths.output) != 1:
        raise UsageError("--output names the one folder that the model goes to")
    output = Path(paths.output[0])
    origin = read_origin(Path(paths.weights))
    _check(options, Path(paths.weights), output, force=build(WriteOptions, values).force)
    manifest = export(options, origin, output)
    for precision, heads in manifest.raw["accuracies"].items():
        for head, figures in heads.items():
            log.info(
                "%s, %s: top-1 %.2f %%, macro-F1 %.3f, calibration error %.3f",
                precision, head, 100 * figures["top1"], figures["macro_f1"], figures["ece"],
            )  # fmt: skip
    log.info("model %s in %s: %s", manifest.id, output, ", ".join(manifest.files))


COMMAND = Command(
    "export",
    "Make a model that can be served from trained weights, and measure it.",
    (PathOptions, ExportOptions, WriteOptions),
    run,
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
