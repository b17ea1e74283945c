"""Continuing a training run that was interrupted."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models import runlog
from models.runlog import MONITOR
from shared.cli import Values
from shared.errors import EmotionError, UsageError
from shared.log import first_line
from shared.options import TrainOptions


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


def restore(folder: Path, steps: int) -> tuple[Any, Progress]:
    """The model with its optimizer as of the last epoch, and how far it is.

    Raises:
        EmotionError: the checkpoint cannot be read.
    """
    import keras

    from models.distil import Student

    try:
        model = keras.saving.load_model(folder / "last.keras", custom_objects={"Student": Student})
    except Exception as e:  # zipfile, h5py and Keras each raise their own
        raise EmotionError(f"{folder / 'last.keras'} cannot be read ({first_line(e)})") from e
    done = int(keras.ops.convert_to_numpy(model.optimizer.iterations)) // steps
    history = {k: v[:done] for k, v in runlog.read_history(folder / "history.csv").items()}
    runlog.write_history(folder / "history.csv", history)  # an epoch whose checkpoint was cut off runs again
    best = max(history.get(MONITOR, ()), default=None)
    return model, Progress(done, best, sum(history.get("seconds", ())))
