"""What happens at the end of an epoch, and how far training is. Choose Keras' back end first."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from emotion_stream.models.evaluation import runlog
from emotion_stream.models.evaluation.runlog import MONITOR
from emotion_stream.models.network import HEADS
from emotion_stream.models.training.resume import Progress, go_on
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import first_line

log = logging.getLogger(__name__)

TELL_EVERY = 30.0
"""Seconds after which an epoch that goes on says how far it is."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say in one line that a run's folder takes no more: a full disk, most often.

    Raises:
        EmotionError: what is inside raised an error of the system.
    """
    try:
        yield
    except (OSError, RuntimeError) as e:  # h5py has a RuntimeError for some
        why = getattr(e, "strerror", None) or first_line(e)
        raise EmotionError(f"cannot write to {folder} ({why}); once that is mended: {go_on(folder)}") from e


class Checkpoint(keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
    """`keras.callbacks.ModelCheckpoint`, whose file is always the old or the new one, whole.

    Args:
        path: where the model goes.
        settings: those of ModelCheckpoint.
    """

    def __init__(self, path: Path, **settings: Any) -> None:
        self.draft, self.path = path.with_suffix(".part.keras"), path
        super().__init__(self.draft, **settings)

    def on_train_begin(self, logs: Any = None) -> None:
        """Remove the draft that an interrupted run left."""
        self.draft.unlink(missing_ok=True)  # of a run that was cut off while it wrote

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the draft, and put it in the place of the old file once it is whole."""
        with writing(self.path.parent):
            try:
                super().on_epoch_end(epoch, logs)
                if self.draft.exists():
                    with self.draft.open("rb") as file:
                        os.fsync(file.fileno())
                    os.replace(self.draft, self.path)
            finally:
                self.draft.unlink(missing_ok=True)


class Facts(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds seconds and learning rate to the figures of each epoch. First among the callbacks.

    Where there is one head, Keras leaves its name away; it is put back here: all runs have the same columns.
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self.start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the epoch's seconds and learning rate to `logs`, in place."""
        for name in [n for n in logs if len(self.model.outputs) == 1 and not n.endswith("loss")]:
            part, plain = ("val_", name[4:]) if name.startswith("val_") else ("", name)
            logs[f"{part}{HEADS[0]}_{plain}"] = logs.pop(name)
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        logs["seconds"] = round(time.monotonic() - self.start, 2)


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends training in time, and tells how much is left.

    Where time is limited, the optimizer's `horizon` is set to the last epoch that time is left for, so that the
    learning rate is down at its end.

    Args:
        epochs: at the most.
        steps: of an epoch.
        seconds: time for training, over all sessions; None: as long as it takes.
        progress: what earlier sessions did.
    """

    def __init__(self, epochs: int, steps: int, seconds: float | None, progress: Progress) -> None:
        super().__init__()
        self.epochs, self.steps, self.seconds = epochs, steps, seconds
        self.done, self.spent = progress.epochs, progress.seconds

    def over(self) -> bool:
        """No epoch is left, or no time for one."""
        return self.done >= self.last_epoch()

    def last_epoch(self) -> int:
        """How many epochs there will be: all, or those that time is left for, as long as they took until now."""
        if self.seconds is None or not self.done:
            return self.epochs
        return min(self.epochs, self.done + max(0, int((self.seconds - self.spent) * self.done / self.spent)))

    def on_train_begin(self, logs: Any = None) -> None:
        """Fit the learning rate to the time that is left."""
        self.set_horizon()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self.started = self.told = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Print now and then how far the epoch is."""
        now = time.monotonic()
        if now - self.told < TELL_EVERY:
            return
        self.told = now
        share = (batch + 1) / self.steps
        pace = (self.spent + now - self.started) / (self.done + share)  # seconds an epoch
        log.info("epoch %d: %.0f %%; %s", self.done + 1, 100 * share, self.left(pace, share))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Count the epoch, and end training if another one would take too long."""
        self.done += 1
        self.spent += time.monotonic() - self.started
        self.set_horizon()
        if self.over():
            self.model.stop_training = True
        figures = ", ".join(f"{name} {logs[name]:.4g}" for name in ("loss", "val_loss", MONITOR) if name in logs)
        log.info(
            "epoch %d of %d: %s, %.3g s; %s", self.done, self.last_epoch(), figures,
            time.monotonic() - self.started, self.left(self.spent / self.done),
        )  # fmt: skip

    def left(self, pace: float, share: float = 0.0) -> str:
        """The time left in words, for epochs of `pace` seconds."""
        seconds = max(0.0, (self.last_epoch() - self.done - share) * pace)
        if seconds >= 5400:
            return f"{seconds / 3600:.1f} h left"
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"

    def set_horizon(self) -> None:
        """Tell the learning rate how many steps the time allows."""
        if self.seconds is not None and self.done:
            self.model.optimizer.horizon.assign(float(max(1, self.last_epoch()) * self.steps))


class Averaged(keras.callbacks.Callback):  # type: ignore[misc]
    """Puts the average of the weights, where the optimizer keeps one, into the model from validation to its own
    `on_epoch_end`: callbacks before this one see the average, those behind it the weights as trained."""

    def __init__(self) -> None:
        super().__init__()
        self.raw: list[Any] | None = None

    def on_test_begin(self, logs: Any = None) -> None:
        """Put the average into the model, and keep the weights that it replaces."""
        averages = self.model.optimizer.averages
        if averages and self.raw is None:
            variables = self.model.trainable_variables
            self.raw = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]  # a copy: PyTorch gives views
            for variable, average in zip(variables, averages, strict=True):
                variable.assign(np.array(keras.ops.convert_to_numpy(average)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Put the weights back with which training goes on."""
        if self.raw is not None:
            for variable, value in zip(self.model.trainable_variables, self.raw, strict=True):
                variable.assign(value)
            self.raw = None


class History(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds each epoch's figures to history.csv, which is there whole at any moment."""

    def __init__(self, path: Path, progress: Progress) -> None:
        super().__init__()
        self.path = path
        self.columns = runlog.read_history(path) if progress.epochs else {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add a row, and write the whole file anew."""
        for name, value in {"epoch": epoch, **dict(sorted(logs.items()))}.items():
            self.columns.setdefault(name, []).append(float(value))
        with writing(self.path.parent):
            runlog.write_history(self.path, self.columns)
