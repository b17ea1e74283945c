"""Warm-up, cosine and the average of the weights, inside the optimizer. Choose Keras' back end first.

They are part of the compiled train step, so they hold on every back end, JAX included, where callbacks do not see
the weights between the steps of an epoch.
"""

import importlib
import math
from typing import Any

import keras
from keras import ops

from emotion_stream.models.training.normalisation import kept


@keras.saving.register_keras_serializable("emotion")
class Cosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A warm-up to `peak`, then half a cosine to 0.

    Args:
        peak: of the learning rate.
        steps: of the whole training. `horizon`, which the optimizer keeps, replaces it where time is limited.
        warm_up: share of training in which the rate rises.
    """

    def __init__(self, peak: float, steps: int, warm_up: float) -> None:
        super().__init__()
        self.peak, self.steps, self.warm_up = peak, steps, warm_up
        self.horizon: Any = None

    def __call__(self, step: Any) -> Any:
        """The learning rate of a step, float32 scalar."""
        steps = float(self.steps) if self.horizon is None else ops.convert_to_tensor(self.horizon)
        done = ops.minimum(ops.cast(step, "float32") / steps, 1.0)
        rising = ops.maximum(done, 1 / self.steps) / self.warm_up
        falling = 0.5 * (1 + ops.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up)))
        return self.peak * ops.where(done < self.warm_up, ops.minimum(rising, 1.0), falling)

    def get_config(self) -> dict[str, Any]:
        """What Keras needs to make it again."""
        return {"peak": self.peak, "steps": self.steps, "warm_up": self.warm_up}


class Averaging:
    """Mixed into an optimizer, keeps a running average of what it trains.

    Attributes:
        average: decay of it; 0: none is kept.
        averages: a variable for each that is trained; they are saved with the optimizer.
        horizon: steps after which a `Cosine` has come down, a variable.
    """

    def __init__(self, learning_rate: Any, average: float = 0.0, **settings: Any) -> None:
        super().__init__(learning_rate, **settings)  # type: ignore[call-arg]
        self.average = average

    def build(self, variables: Any) -> None:
        """Make the variables of the averages. Keras calls this with the variables to train."""
        optimizer: Any = self
        if optimizer.built:
            return
        super().build(variables)  # type: ignore[misc]
        self.averages = []
        for variable in variables if self.average else ():
            self.averages.append(optimizer.add_variable_from_reference(variable, name="average"))
            self.averages[-1].assign(ops.copy(variable.value))  # JAX gives buffers away: none may be shared
        self.horizon = optimizer.add_variable((), initializer="ones", dtype="float32", name="horizon")
        schedule = optimizer._learning_rate
        if isinstance(schedule, Cosine):
            self.horizon.assign(float(schedule.steps))
            schedule.horizon = self.horizon

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Take one step, and let the averages follow."""
        optimizer: Any = self
        super().apply(grads, trainable_variables)  # type: ignore[misc]
        if not self.averages:
            return
        variables = optimizer._trainable_variables
        rate = 1 - kept(ops.cast(optimizer.iterations, "float32"), self.average)
        if keras.backend.backend() == "torch":  # in place, all at once: a fifth of the time
            torch = importlib.import_module("torch")
            with torch.no_grad():
                torch._foreach_lerp_([a.value for a in self.averages], [v.value for v in variables], float(rate))
            return
        for average, variable in zip(self.averages, variables, strict=True):
            average.assign(average + rate * (variable - average))

    def get_config(self) -> dict[str, Any]:
        """What Keras needs to make it again."""
        return {**super().get_config(), "average": self.average}  # type: ignore[misc]


# Keras chooses a class for its back end where one of its own names is called, not where a subclass is.
@keras.saving.register_keras_serializable("emotion")
class AveragingSGD(Averaging, type(keras.optimizers.SGD())):  # type: ignore[misc]
    """`keras.optimizers.SGD`, averaging."""


@keras.saving.register_keras_serializable("emotion")
class AveragingAdamW(Averaging, type(keras.optimizers.AdamW())):  # type: ignore[misc]
    """`keras.optimizers.AdamW`, averaging."""
