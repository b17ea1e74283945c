"""Continuing a training run that was interrupted."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from emotion_stream.models.evaluation import runlog
from emotion_stream.models.evaluation.runlog import MONITOR
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.log import first_line
from emotion_stream.shared.settings.cli import Values
from emotion_stream.shared.settings.command_options import TrainOptions


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: epochs done, the best `MONITOR` among them, and the seconds they took."""

    epochs: int = 0
    best: float | None = None
    seconds: float = 0.0


def find_run(options: TrainOptions, runs: Path, values: Values) -> tuple[Path, TrainOptions]:
    """The run to resume and its settings; flags given beside --resume may not contradict them.

    Raises:
        EmotionError: there is no such run, it is done, or a flag contradicts it.
    """
    if options.name:
        found = [runlog.read_run(runs / options.name)]
    else:
        found = [run for run in runlog.read_runs(runs) if not run.metrics]
        found.sort(key=lambda run: (run.folder / "settings.json").stat().st_mtime)
    if not found or found[-1].metrics:
        raise EmotionError(
            f"no unfinished run in {runs}" if not found else f"run {found[-1].folder} is done already"
        )
    run = found[-1]
    try:
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in run.settings.items()}
        stored = TrainOptions(**settings)
    except TypeError as e:
        raise EmotionError(f"{run.folder / 'settings.json'} is of another version ({e})") from e
    for key in asdict(options):
        if key in values and key not in ("name", "resume", "data", "ferplus", "weights"):
            given, was = getattr(options, key), getattr(stored, key)
            if given != was:
                raise UsageError(f"--{key.replace('_', '-')} {given}: run {run.name} was started with {was}")
    moved = {k: getattr(options, k) for k in ("data", "ferplus") if k in values}
    return run.folder, replace(stored, **moved)


def go_on(folder: Path) -> str:
    """The command that continues a run."""
    return f"emotion train --resume --name {folder.name} --runs {folder.parent}"


def load_trained(path: Path, **settings: Any) -> Any:
    """A Keras model that `emotion train` saved; raises what Keras and h5py raise. Choose the back end first."""
    import keras

    from emotion_stream.models.training import distil, layers, normalisation, optimizing

    ours = (distil.Student, layers.Convolution, layers.Pooling, normalisation.Normalisation, optimizing.Cosine)
    known = {kind.__name__: kind for kind in ours}
    return keras.saving.load_model(path, custom_objects=known, **settings)


def read_trained(path: Path, what: str) -> Any:
    """A model of `load_trained`, to be used and not trained.

    Raises:
        EmotionError: it cannot be read; the message calls it `what`.
    """
    try:
        return load_trained(path, compile=False)
    except Exception as e:  # zipfile, h5py and Keras each raise their own
        raise EmotionError(f"{what} {path} cannot be read ({first_line(e)})") from e


def restore(folder: Path, steps: int) -> tuple[Any, Progress]:
    """The model with its optimizer as of the last epoch, and how far it is.

    Raises:
        EmotionError: the checkpoint cannot be read.
    """
    import keras

    path = folder / "last.keras"
    try:
        model = load_trained(path)
        done = int(keras.ops.convert_to_numpy(model.optimizer.iterations)) // steps
    except Exception as e:  # zipfile, h5py and Keras each raise their own
        raise EmotionError(f"{path} cannot be read ({first_line(e)})") from e
    history = {k: v[:done] for k, v in runlog.read_history(folder / "history.csv").items()}
    runlog.write_history(folder / "history.csv", history)  # an epoch whose checkpoint was cut off runs again
    best = max(history.get(MONITOR, ()), default=None)
    return model, Progress(done, best, sum(history.get("seconds", ())))
