"""`emotion export`: from trained weights to a folder that can be served, with what was measured of it.

With data: every precision is measured on PublicTest as it is served, temperatures and thresholds are fitted, and
hashes of the training images are added. Without: further files of a model that was exported before.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier_worker.openvino_backend import REBUILT, OpenVinoBackend
from models import duplicates, evaluate, formats, runlog
from models.artifact import Artifact, write_manifest
from models.assess import HASHES, truth
from models.augment import resize
from models.calibration import fit_temperature, softmax
from models.data import Split, load_splits
from models.origin import Origin, read_origin
from shared import __version__
from shared.cli import Command, Values
from shared.errors import EmotionError, UsageError
from shared.manifest import Head, Manifest, load_manifest
from shared.options import ExportOptions
from shared.settings import build, option

log = logging.getLogger(__name__)

DEFAULT_FORMATS = ("int8", "weights")
MEASURED = ("int8", "bf16", "fp32")
"""Precisions that OpenVINO serves. Keras is measured beside them where it is installed."""

FITTED_ON = "int8"
"""The precision that is served by default, to whose answers temperatures and thresholds are fitted."""

ALLOWED_LOSS = 0.003
"""Top-1 that int8 may lose against fp32 before the export warns."""

FEWEST = 50
"""Images below which nothing is fitted."""

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


def served_logits(manifest: Manifest, precision: str, split: Split) -> Logits:
    """Logits of all heads, by the back end that classifiers run."""
    backend = OpenVinoBackend(manifest, precision, manifest.heads[0].name, os.cpu_count() or 1)
    backend.open()
    try:
        return backend.every_head(resize(split.pixels, manifest.size))
    finally:
        backend.close()


def fit_head(name: str, logits: NDArray[np.float32], split: Split) -> Head:
    """Temperature and threshold of one head, rounded as they are stored."""
    labels, clear = truth(split, name)
    if clear.sum() < FEWEST:
        log.warning("head %s: %d images are too few to fit its temperature to", name, clear.sum())
        return Head(name, 1.0)
    double, labels = logits[clear].astype(np.float64), labels[clear]
    temperature = round(fit_temperature(double, labels), 4)
    threshold = evaluate.uncertain_below(softmax(double, temperature), labels)
    return Head(name, temperature, round(threshold, 3))


def measure(logits: Mapping[str, Logits], split: Split) -> Fitted:
    """Fit to `FITTED_ON`, where that is there, and measure every precision."""
    fitted_on = FITTED_ON if FITTED_ON in logits else "fp32"
    heads = tuple(fit_head(name, values, split) for name, values in logits[fitted_on].items())
    accuracies: dict[str, dict[str, dict[str, float]]] = {}
    images = []
    for head in heads:
        labels, clear = truth(split, head.name)
        images.append(f"{head.name} {int(clear.sum())}")
        for precision, outputs in logits.items():
            values, other = outputs[head.name][clear].astype(np.float64), logits[fitted_on][head.name][clear]
            figures = evaluate.report(values, labels[clear], head.temperature)
            if len(values) >= FEWEST:
                figures["ece_cross_fitted"] = evaluate.cross_fitted_ece(values, labels[clear])
            figures[f"same_class_as_{fitted_on}"] = float((values.argmax(1) == other.argmax(1)).mean())
            rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
            accuracies.setdefault(precision, {})[head.name] = rounded
    measured_on = (
        f"FER-2013 PublicTest, single crop ({', '.join(images)} images; consensus: those with a clear plurality"
        " of FER+ among the seven classes); temperatures and thresholds fitted there to "
        f"{fitted_on}; ece_cross_fitted: 5 folds"
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
    for precision in (p for p in MEASURED if p in files or p in REBUILT):
        log.info("measuring %s on %d images", precision, len(public))
        logits[precision] = served_logits(draft, precision, public)
    if formats.have_keras():
        log.info("measuring keras")
        logits["keras"] = formats.keras_logits(origin, resize(public.pixels, origin.size))
    fitted = measure(logits, public)
    _gate(fitted)
    hashes = origin.hashes
    if hashes is None:
        hashes = duplicates.hashes(duplicates.clean(splits["Training"], [public]).kept.pixels)
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


def run(values: Values) -> None:
    """Export as the settings say."""
    options, paths = build(ExportOptions, values), build(PathOptions, values)
    if not paths.weights:
        raise UsageError("--weights is missing: a training run's folder, or a file of weights")
    if len(paths.output) != 1:
        raise UsageError("--output names the one folder that the model goes to")
    output = Path(paths.output[0])
    manifest = export(options, read_origin(Path(paths.weights)), output)
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
    (PathOptions, ExportOptions),
    run,
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
