"""`emotion train`: VGG16 on FER-2013, from the data to a folder with weights, figures and charts.

Reads from top to bottom: data, network, compile, callbacks, fit, figures. Written in Keras 3 for any of its back
ends.
"""

import logging
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_stream.models import weights
from emotion_stream.models.calibration import fit_temperature
from emotion_stream.models.data import duplicates
from emotion_stream.models.data.augment import NONE, Jitter, resize
from emotion_stream.models.data.fer2013 import Split, fingerprint, limit, load_splits
from emotion_stream.models.evaluation import metrics as evaluate
from emotion_stream.models.evaluation import runlog
from emotion_stream.models.evaluation.assess import truth
from emotion_stream.models.evaluation.runlog import MONITOR
from emotion_stream.models.labels import LABELS
from emotion_stream.models.network import HEADS
from emotion_stream.models.training import trainable
from emotion_stream.models.training.backend import accelerator, choose_backend, version
from emotion_stream.models.training.resume import Progress, find_run, go_on, read_trained, restore
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.command_options import RunsOptions, TrainOptions
from emotion_stream.shared.settings.loading import build

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


def compile_model(model: Any, options: TrainOptions, heads: tuple[str, ...], steps: int) -> None:
    """Optimizer, losses and metrics. The four metrics of the original design stand beside top-1 and macro-F1.

    Args:
        model: of `trainable`.
        options: what is trained, and how.
        heads: outputs of the network.
        steps: of all epochs.
    """
    from keras import losses, metrics

    from emotion_stream.models.training.optimizing import AveragingAdamW, AveragingSGD, Cosine

    peak = options.learning_rate or LEARNING_RATES[options.optimizer]
    rate = Cosine(peak, steps, WARM_UP) if options.schedule == "cosine" else peak
    common = {"average": options.average, "weight_decay": options.weight_decay, "clipnorm": 5.0}
    if options.optimizer == "sgd":
        optimizer = AveragingSGD(rate, momentum=0.9, nesterov=True, **common)
    else:
        optimizer = AveragingAdamW(rate, **common)
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
    optimizer.build(model.trainable_variables)  # now: what TensorFlow builds while it traces has no values yet


def callbacks(folder: Path, options: TrainOptions, clock: Any, progress: Progress) -> list[Any]:
    """In the order in which they must run: best.keras gets the average of the weights, last.keras the weights as
    trained and the rate that was lowered, if it was.

    The order is also what makes an interruption harmless: best.keras, history.csv, last.keras. Each is there
    whole, and an epoch that last.keras does not know is run again, with the same result.
    """
    from keras.callbacks import EarlyStopping, ReduceLROnPlateau

    from emotion_stream.models.training.keeping import Averaged, Checkpoint, Facts, History

    best = {"monitor": MONITOR, "mode": "max", "save_best_only": True, "initial_value_threshold": progress.best}
    chain = [Facts(), Checkpoint(folder / "best.keras", **best), Averaged()]
    if options.schedule == "plateau":
        chain.append(ReduceLROnPlateau(MONITOR, mode="max", factor=0.75, patience=5, min_lr=1e-6))
    if options.patience:
        chain.append(EarlyStopping(MONITOR, mode="max", patience=options.patience, baseline=progress.best))
    return [*chain, clock, History(folder / "history.csv", progress), Checkpoint(folder / "last.keras")]


def initial(options: TrainOptions, heads: tuple[str, ...]) -> Any:
    """The network of the recipe `full`, with the weights that `--weights` names."""
    from emotion_stream.models.training.distil import Student
    from emotion_stream.models.training.narrowing import start_narrow

    widths, start = trainable.scaled_widths(options.width), Path(options.weights)
    model = trainable.build_trainable(
        options.size, heads, widths, options.batch_norm, options.dropout,
        model=Student,
        momentum=options.average or trainable.MOMENTUM,  # the statistics that belong to averaged weights
    )  # fmt: skip
    if options.weights.endswith(OURS):
        trainable.go_on_from(model, weights.load(start, heads, widths))
    elif is_run(options.weights):
        start_narrow(model, read_trained(start / "best.keras", "--weights"), options.weights)
    elif options.weights != "none":
        trainable.start_from(model, trainable.imagenet(options.weights, options.size))
    return model


def is_run(given: str) -> bool:
    """`--weights` names the folder of a run."""
    return given not in ("imagenet", "none") and Path(given).is_dir()


def prepare(options: TrainOptions, data: Data, backend: str) -> tuple[Any, Any, dict[str, Any]]:
    """The untrained network, the training batches, and the validation arrays as `fit` takes them."""
    from emotion_stream.models.training.feeding import Batches, Vary, inputs, targets

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
        model = initial(options, data.heads)
        trainable.freeze(model, options.freeze)
        on_device = options.augment_on == "device" or (
            options.augment_on == "auto" and accelerator(backend) != "no GPU"
        )
        vary = Vary(options.size, Jitter() if options.augmentation else NONE, on_device)
        mixing = (options.mix, options.mix_alpha)
        feed = Batches(data.training.pixels, y, w, vary, batch=options.batch, seed=options.seed, mixing=mixing)
        x_val = inputs(resize(data.validation.pixels, options.size))
    return model, feed, {"validation_data": (x_val, y_val, w_val), "validation_batch_size": VALIDATION_BATCH}


def figures(probabilities: Mapping[str, Any], split: Split) -> dict[str, Any]:
    """For each head what `evaluation.metrics` measures, with its fitted temperature, and recall per class."""
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
    run = is_run(options.weights)
    if run and (not options.batch_norm or options.recipe == "frozen"):
        raise UsageError("--weights RUN goes with neither --no-batch-norm nor --recipe frozen")
    if options.weights != "none" and not ours and not run and options.width != 1 and options.recipe == "full":
        raise UsageError(
            "--width other than 1 fits no ImageNet weights: add --weights none, or a wider run's folder"
        )
    if options.recipe == "frozen" and (options.teacher or options.mix != "none"):
        raise UsageError("--recipe frozen takes neither --teacher nor --mix")
    if options.recipe == "frozen" and options.weights == "none":
        raise UsageError("--recipe frozen needs ImageNet weights: --weights imagenet or a file")
    backend = choose_backend()
    import keras

    from emotion_stream.models.training.feeding import tell_shapes
    from emotion_stream.models.training.keeping import Clock, writing

    data = load_data(options)
    keras.utils.set_random_seed(options.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if options.mixed_precision else "float32")
    model, feed, validation = prepare(options, data, backend)
    if options.teacher:
        from emotion_stream.models.training.distil import teachers

        trained = {name: read_trained(runs / name / "best.keras", "teacher") for name in options.teacher}
        teach = teachers(trained, options.size, data.heads)
    steps, progress = len(feed), Progress()
    if folder is None:
        folder = start_run(options, runs, data, backend)
    elif runlog.read_run(folder).facts.get("fingerprint") != data.fingerprint:
        raise EmotionError(f"the data is not what run {folder} was started with")
    if (folder / "last.keras").exists():
        model, progress = restore(folder, steps)
    else:
        compile_model(model, options, data.heads, steps * options.epochs)
    if options.teacher:
        model.share, model.teach = options.teacher_share, teach
    tell_shapes(model, feed, validation["validation_data"])
    clock = Clock(options.epochs, steps, 60 * options.max_minutes or None, progress)
    log.info(
        "run %s: epochs %d to %d, %d steps each, on %s",
        folder, progress.epochs + 1, options.epochs, steps, backend,
    )  # fmt: skip
    feed.start_at(progress.epochs)
    try:
        if not clock.over():
            model.fit(
                feed, epochs=options.epochs, initial_epoch=progress.epochs, shuffle=False, verbose=0, **validation,
                callbacks=callbacks(folder, options, clock, progress),
            )  # fmt: skip
        with writing(folder):
            finish(folder, validation, data, options)
    except KeyboardInterrupt:
        log.warning("interrupted; continue with: %s", go_on(folder))
        raise
    return folder


def finish(folder: Path, validation: Mapping[str, Any], data: Data, options: TrainOptions) -> None:
    """Measure the best epoch on PublicTest; write its weights, metrics.json and log.md."""
    model = read_trained(folder / "best.keras", "checkpoint")
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


def interrupt(number: int, frame: object) -> None:
    """What SIGTERM does: the same as Ctrl-C."""
    raise KeyboardInterrupt


def run(values: Values) -> None:
    """Train as the settings say."""
    if values.get("recipe") == "frozen":
        values = {**FROZEN, **values}
    elif str(values.get("weights", "")).endswith(OURS):
        values = {"batch_norm": False, **values}
    options, runs = build(TrainOptions, values), Path(build(RunsOptions, values).runs)
    if options.name and (Path(options.name).name != options.name or options.name in (".", "..")):
        raise UsageError(f"--name {options.name!r}: not the name of a folder")
    signal.signal(signal.SIGTERM, interrupt)
    if options.resume:
        folder, stored = find_run(options, runs, values)
        train(stored, runs, folder)
    else:
        train(options, runs)


COMMAND = Command("train", "Train VGG16 on FER-2013; one folder per run.", (TrainOptions, RunsOptions), run)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
