"""Distillation: a network that learns from labels and from what trained networks say of the same images."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from shared.errors import EmotionError, UsageError
from shared.log import first_line

Teach = Callable[[Any], Mapping[str, Any]]
"""Images as the network takes them -> {head: probabilities}."""


@keras.saving.register_keras_serializable("emotion")
class Student(keras.Model):  # type: ignore[misc]
    """A model whose loss is `share` of the teachers' answers and the rest of the labels (Hinton et al. 2015).

    The teachers see the very images that it sees, varied and mixed as they are. They are not saved with it.
    """

    teach: Teach | None = None
    share: float = 0.5

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training or self.teach is None:
            return loss
        said = self.teach(x)
        taught = sum(
            keras.ops.mean(keras.losses.categorical_crossentropy(said[head], y_pred[head])) for head in y_pred
        )
        return (1 - self.share) * loss + self.share * taught


def teachers(runs: Sequence[Path], size: int, heads: Sequence[str]) -> Teach:
    """The mean of what the best epochs of these runs say.

    Raises:
        EmotionError: a run has no model that can be read.
        UsageError: one does not fit the network that is trained.
    """
    models = []
    for run in runs:
        path = run / "best.keras"
        try:
            model = keras.saving.load_model(path, compile=False)
        except Exception as e:  # zipfile, h5py and Keras each raise their own
            raise EmotionError(f"teacher {path} cannot be read ({first_line(e)})") from e
        names = list(model.output) if isinstance(model.output, Mapping) else []
        missing = [head for head in heads if head not in names]
        if missing or tuple(model.input.shape[1:]) != (size, size, 1):
            fault = f"no head {missing[0]}" if missing else f"input {model.input.shape[1:]}, not {size} px"
            raise UsageError(f"teacher {run.name} does not fit: it has {fault}")
        model.trainable = False
        models.append(model)

    def teach(x: Any) -> Mapping[str, Any]:
        answers = [model(x, training=False) for model in models]
        return {
            head: keras.ops.stop_gradient(sum(answer[head] for answer in answers) / len(answers)) for head in heads
        }

    return teach
