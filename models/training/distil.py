"""Distillation: a network that learns from labels and from what trained networks say of the same images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from emotion_stream.models.data.on_device import varied
from emotion_stream.shared.errors import UsageError

Teach = Callable[[Any], Mapping[str, Any]]
"""Images as the network takes them -> {head: probabilities}."""


@keras.saving.register_keras_serializable("emotion")
class Student(keras.Model):  # type: ignore[misc]
    """A model whose loss is, where it has teachers, `share` of their answers and the rest of the labels (Hinton et
    al. 2015).

    The teachers see the very images that it sees, varied and mixed as they are. They are not saved with it. Images
    that come with what was drawn for them (`Batches`) are varied inside the train step.
    """

    teach: Teach | None = None
    share: float = 0.5

    def train_step(self, *given: Any) -> Any:
        """One step of training, with what the teacher says mixed into the labels."""
        *state, data = given  # JAX hands the state of model and optimizer on
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        if isinstance(x, Mapping):
            x = varied(x["pixels"], x["draws"], self.input.shape[1])
        return super().train_step(*state, (x, y, weights))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss of one batch, float32 scalar: the labels' and the teachers' shares added up."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training or self.teach is None:
            return loss
        said = self.teach(x)
        taught = sum(
            keras.ops.mean(keras.losses.categorical_crossentropy(said[head], y_pred[head])) for head in y_pred
        )
        return (1 - self.share) * loss + self.share * taught


def teachers(models: Mapping[str, Any], size: int, heads: Sequence[str]) -> Teach:
    """The mean of what these models say, {name of the run: model of `build_trainable`}.

    Raises:
        UsageError: one does not fit the network that is trained.
    """
    for name, model in models.items():
        names = list(model.output) if isinstance(model.output, Mapping) else []
        missing = [head for head in heads if head not in names]
        if missing or tuple(model.input.shape[1:]) != (size, size, 1):
            fault = f"no head {missing[0]}" if missing else f"input {model.input.shape[1:]}, not {size} px"
            raise UsageError(f"teacher {name} does not fit: it has {fault}")
        model.trainable = False

    def teach(x: Any) -> Mapping[str, Any]:
        answers = [model(x, training=False) for model in models.values()]
        return {
            head: keras.ops.stop_gradient(sum(answer[head] for answer in answers) / len(answers)) for head in heads
        }

    return teach
