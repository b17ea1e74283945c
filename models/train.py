"""`emotion train`: VGG16 on FER-2013, from the data to a folder with weights, figures and charts.

Reads from top to bottom: data, network, compile, callbacks, fit, figures. Written in Keras 3 for any of its back
ends.
"""

import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import duplicates, evaluate, runlog, trainable, weights
from models.assess import truth
from models.augment import NONE, Jitter, augment, resize
from models.backend import accelerator, choose_backend, version
from models.calibration import fit_temperature
from models.data import Split, fingerprint, limit, load_splits
from models.labels import LABELS
from models.network import HEADS
from models.resume import Progress, find_run, restore
from models.runlog import MONITOR
from shared.cli import Command, Values
from shared.errors import EmotionError, UsageError
from shared.options import RunsOptions, TrainOptions
from shared.settings import build

log = logging.getLogger(__name__)

LEARNING_RATES = {"sgd": 0.02, "adamw": 3e-4}
FROZEN: Values = {
    "size": trainable.FROZEN_SIZE, "batch_norm": False, "augmentation": False, "average": 0.0,
    "label_smoothing": 0.0, "dropout": 0.0, "weight_decay": 0.0, "optimizer": "adamw", "learning_rate": 1e-3,
}  # fmt: skip
"""Defaults of the recipe `frozen`, as in the original: Adam on the plain images."""

OURS = ".npz"
"""Ending of a file with weights of ours (`models.weights`); any other is taken for ImageNet's."""

WARM_UP = 0.05
"""Share of all steps in which the learning rate rises to its peak (schedule cosine)."""

VALIDATION_BATCH = 256


@dataclass(frozen=True, slots=True)
class Data:
    """What is trained on and validated with, and how both came about (for the log)."""

    training: Split
    validation: Split
    fingerprint: str
    cleaning: str
    heads: tuple[str, ...]


def load_data(options: TrainOptions) -> Data:
    """Read, clean and limit the data. PrivateTest is read only so that its copies can be taken out of training.

    Raises:
        EmotionError: the data is wrong, see `models.data.load_splits`.
    """
    if options.data is None:
        raise UsageError("--data is missing: fer2013.csv, or a folder with train/ and test/")
    splits = load_splits(Path(options.data), Path(options.ferplus) if options.ferplus else None)
    mark = fingerprint(splits)
    validation = splits["PublicTest"]
    if options.limit:
        splits["Training"], validation = limit(splits["Training"], options.limit), limit(validation, options.limit)
    cleaned = duplicates.clean(splits["Training"], [s for name, s in splits.items() if name != "Training"])
    log.info("%s", cleaned.summary())
    if len(cleaned.kept) < 2:
        raise EmotionError("fewer than two training images are left")
    heads = HEADS if options.ferplus and options.recipe == "full" else HEADS[:1]
    return Data(cleaned.kept, validation, mark, cleaned.summary(), heads)


def compile_model(model: Any, options: TrainOptions, heads: tuple[str, ...]) -> None:
    """Optimizer, losses and metrics. The four metrics of the original design stand beside top-1 and macro-F1."""
    from keras import losses, metrics, optimizers

    rate = options.learning_rate or LEARNING_RATES[options.optimizer]
    if options.optimizer == "sgd":
        optimizer = optimizers.SGD(
            rate, momentum=0.9, nesterov=True, weight_decay=options.weight_decay, clipnorm=5.0
        )
    else:
        optimizer = optimizers.AdamW(rate, weight_decay=options.weight_decay, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = {
        "fer2013": losses.CategoricalCrossentropy(label_smoothing=options.label_smoothing),
        "consensus": losses.CategoricalCrossentropy(),
    }
    benchmark = [
        metrics.CategoricalAccuracy(name="top1"),
        metrics.F1Score(average="macro", name="macro_f1"),
        metrics.BinaryAccuracy(name="binary_accuracy"),
        metrics.Precision(name="precision"),
        metrics.Recall(name="recall"),
        metrics.AUC(name="auc"),
    ]
    agreement = [metrics.CategoricalAccuracy(name="agreement")]
    model.compile(
        optimizer,
        loss={head: loss[head] for head in heads},
        metrics={head: benchmark if head == "fer2013" else [] for head in heads},
        weighted_metrics={head: agreement if head == "consensus" else [] for head in heads},
    )


def callbacks(folder: Path, options: TrainOptions, steps: int, progress: Progress) -> list[Any]:
    """In the order in which they must run: best.keras gets the average, last.keras the weights as trained."""
    from keras.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

    from models.feeding import Average, Facts, Publish, Schedule

    best, last = folder / "best.part.keras", folder / "last.part.keras"
    peak = options.learning_rate or LEARNING_RATES[options.optimizer]
    chain = [
        Schedule(
            peak if options.schedule == "cosine" else None,
            steps * options.epochs,
            WARM_UP,
            60 * options.max_minutes or None,
            progress.seconds,
        ),
        Facts(),
        ModelCheckpoint(best, MONITOR, mode="max", save_best_only=True, initial_value_threshold=progress.best),
        Publish(best, folder / "best.keras"),
    ]
    if options.average:
        if not progress.epochs:
            (folder / "average.npz").unlink(missing_ok=True)  # of a first epoch that was cut off
        chain.append(Average(options.average, folder / "average.npz"))
    if options.schedule == "plateau":
        chain.append(ReduceLROnPlateau(MONITOR, mode="max", factor=0.75, patience=5, min_lr=1e-6))
    if options.patience:
        chain.append(EarlyStopping(MONITOR, mode="max", patience=options.patience, baseline=progress.best))
    chain += [
        CSVLogger(folder / "history.csv", append=progress.epochs > 0),
        ModelCheckpoint(last),
        Publish(last, folder / "last.keras"),
    ]
    return chain


def prepare(options: TrainOptions, data: Data) -> tuple[Any, Any, dict[str, Any]]:
    """The untrained network, the training batches, and the validation arrays as `fit` takes them."""
    from models.distil import Student
    from models.feeding import Batches, inputs, targets

    y, w = targets(data.training, data.heads, soft=True, weighting=options.class_weights)
    y_val, w_val = targets(data.validation, data.heads, soft=False)
    if options.recipe == "frozen":
        size = trainable.FROZEN_SIZE
        base = trainable.imagenet(options.weights, size)
        log.info("computing the frozen layers' features once")
        features, x_val = (
            trainable.frozen_features(base, resize(s.pixels, size)) for s in (data.training, data.validation)
        )
        model = trainable.build_frozen_head(features.shape[1])
        feed = Batches(features, y, w, lambda x, _: x, batch=options.batch, seed=options.seed)
    else:
        widths = trainable.scaled_widths(options.width)
        kind = Student if options.teacher else None
        model = trainable.build_trainable(
            options.size, data.heads, widths, options.batch_norm, options.dropout, model=kind
        )
        if options.weights.endswith(OURS):
            trainable.go_on_from(model, weights.load(Path(options.weights), data.heads, widths))
        elif options.weights != "none":
            trainable.start_from(model, trainable.imagenet(options.weights, options.size))
        trainable.freeze(model, options.freeze)
        jitter = Jitter() if options.augmentation else NONE

        def vary(pixels: Any, rng: np.random.Generator) -> Any:
            return inputs(augment(pixels, options.size, jitter, rng))

        mixing = (options.mix, options.mix_alpha)
        feed = Batches(data.training.pixels, y, w, vary, batch=options.batch, seed=options.seed, mixing=mixing)
        x_val = inputs(resize(data.validation.pixels, options.size))
    return model, feed, {"validation_data": (x_val, y_val, w_val), "validation_batch_size": VALIDATION_BATCH}


def figures(probabilities: Mapping[str, Any], split: Split) -> dict[str, Any]:
    """For each head what `models.evaluate` measures, with the temperature fitted to it, and recall per class."""
    result: dict[str, Any] = {}
    for head, p in probabilities.items():
        labels, clear = truth(split, head)
        logits, labels = np.log(np.maximum(p[clear].astype(np.float64), 1e-9)), labels[clear]
        temperature = fit_temperature(logits, labels)
        classes = evaluate.per_class(logits, labels, LABELS)
        result[head] = {
            **evaluate.report(logits, labels, temperature),
            "temperature": temperature,
            "ece_untempered": evaluate.report(logits, labels, 1.0)["ece"],
            "ece_cross_fitted": evaluate.cross_fitted_ece(logits, labels) if len(labels) >= 50 else None,
            "recall": {name: c["recall"] for name, c in classes.items()},
        }
    return result


def start_run(options: TrainOptions, runs: Path, data: Data, backend: str) -> Path:
    """Make the folder of a new run and write its settings.json.

    Raises:
        UsageError: there is a run of this name already.
    """
    name = options.name or f"{time.strftime('%Y%m%d-%H%M%S')}-{options.recipe}"
    folder = runs / name
    if (folder / "settings.json").exists():
        raise UsageError(f"there is a run {folder} already: continue it with --resume, or choose another --name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise EmotionError(f"cannot make the folder {folder} ({e.strerror})") from e
    facts = {
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "commit": runlog.commit(),
        "images": f"{len(data.training)} of Training, {len(data.validation)} of PublicTest",
        "cleaning": data.cleaning,
        "fingerprint": data.fingerprint,
        "seed": options.seed,
        "hardware": f"{runlog.hardware()}; {accelerator(backend)}",
        "keras": f"{version('keras')} on {backend} {version(backend)}",
    }
    runlog.write_json(folder / "settings.json", {"settings": asdict(options), "facts": facts})
    return folder


def train(options: TrainOptions, runs: Path, folder: Path | None = None) -> Path:
    """Train, or continue in `folder`; returns the run's folder.

    Raises:
        EmotionError: see `load_data`, `models.trainable.imagenet` and `restore`.
    """
    ours = options.weights.endswith(OURS)
    if ours and (options.batch_norm or options.recipe == "frozen"):
        raise UsageError("--weights FILE.npz goes with neither --batch-norm (it is folded in) nor --recipe frozen")
    if options.weights != "none" and not ours and options.width != 1 and options.recipe == "full":
        raise UsageError("--width other than 1 fits no ImageNet weights: add --weights none")
    if options.recipe == "frozen" and (options.teacher or options.mix != "none"):
        raise UsageError("--recipe frozen takes neither --teacher nor --mix")
    if options.recipe == "frozen" and options.weights == "none":
        raise UsageError("--recipe frozen needs ImageNet weights: --weights imagenet or a file")
    backend = choose_backend()
    import keras

    data = load_data(options)
    keras.utils.set_random_seed(options.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if options.mixed_precision else "float32")
    model, feed, validation = prepare(options, data)
    if options.teacher:
        from models.distil import teachers

        teach = teachers([runs / name for name in options.teacher], options.size, data.heads)
    steps, progress = len(feed), Progress()
    if folder is None:
        folder = start_run(options, runs, data, backend)
    elif runlog.read_run(folder).facts.get("fingerprint") != data.fingerprint:
        raise EmotionError(f"the data is not what run {folder} was started with")
    if (folder / "last.keras").exists():
        model, progress = restore(folder, steps)
    else:
        compile_model(model, options, data.heads)
    if options.teacher:
        model.share, model.teach = options.teacher_share, teach
    first = progress.epochs + 1
    log.info("run %s: epochs %d to %d, %d steps each, on %s", folder, first, options.epochs, steps, backend)
    feed.start_at(progress.epochs)
    try:
        model.fit(
            feed, epochs=options.epochs, initial_epoch=progress.epochs, shuffle=False, **validation,
            callbacks=callbacks(folder, options, steps, progress), verbose="auto" if sys.stdout.isatty() else 2,
        )  # fmt: skip
    except KeyboardInterrupt:
        log.warning("interrupted; continue with: emotion train --resume --name %s --runs %s", folder.name, runs)
        raise
    finish(folder, validation, data, options)
    return folder


def finish(folder: Path, validation: Mapping[str, Any], data: Data, options: TrainOptions) -> None:
    """Measure the best epoch on PublicTest; write its weights, metrics.json and log.md."""
    import keras

    model = keras.saving.load_model(folder / "best.keras")
    predicted = model.predict(validation["validation_data"][0], batch_size=VALIDATION_BATCH, verbose=0)
    probabilities = {head: np.asarray(p, np.float64) for head, p in predicted.items()}
    if options.recipe == "full":
        weights.save(folder / "weights.npz", trainable.fold(model))
        np.save(folder / "training-hashes.npy", trained_on(data.training, Path(options.weights)))
    measured = figures(probabilities, data.validation)
    runlog.write_json(folder / "metrics.json", measured)
    runlog.write_log(folder, evaluate.confusion(probabilities["fer2013"], data.validation.labels))
    for head, values in measured.items():
        log.info(
            "%s: top-1 %.2f %%, macro-F1 %.3f, of %d PublicTest images",
            head, 100 * values["top1"], values["macro_f1"], values["images"],
        )  # fmt: skip
    log.info("done: %s", folder / "log.md")


def trained_on(split: Split, start: Path) -> NDArray[np.uint64]:
    """Hashes of the images of `split`, and of those that the weights it started from had seen."""
    hashes = duplicates.hashes(split.pixels)
    earlier = start.with_name("training-hashes.npy")
    if start.suffix == OURS and earlier.exists():
        hashes = np.union1d(hashes, np.load(earlier))
    return hashes


def run(values: Values) -> None:
    """Train as the settings say."""
    if values.get("recipe") == "frozen":
        values = {**FROZEN, **values}
    elif str(values.get("weights", "")).endswith(OURS):
        values = {"batch_norm": False, **values}
    options, runs = build(TrainOptions, values), Path(build(RunsOptions, values).runs)
    if options.name and (Path(options.name).name != options.name or options.name in (".", "..")):
        raise UsageError(f"--name {options.name!r}: not the name of a folder")
    if options.resume:
        folder, stored = find_run(options, runs, values)
        train(stored, runs, folder)
    else:
        train(options, runs)


COMMAND = Command("train", "Train VGG16 on FER-2013; one folder per run.", (TrainOptions, RunsOptions), run)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
