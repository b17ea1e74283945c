"""Which library Keras computes with, and on what."""

import importlib
import importlib.util
import logging
import os
import sys

from emotion_stream.shared.errors import TRAIN_ENV, EmotionError

log = logging.getLogger(__name__)


def installed() -> list[str]:
    """The libraries that Keras can compute with here, the preferred one first."""
    return [name for name in ("tensorflow", "torch", "jax") if importlib.util.find_spec(name)]


def choose_backend() -> str:
    """Set Keras' back end where nobody has: TensorFlow, else PyTorch, else JAX.

    Raises:
        EmotionError: neither can be had.
    """
    if "keras" not in sys.modules and "KERAS_BACKEND" not in os.environ:
        there = installed()
        if not there:
            raise EmotionError(f"training needs TensorFlow, PyTorch or JAX: {TRAIN_ENV}")
        os.environ["KERAS_BACKEND"] = there[0]
        if there[0] != "tensorflow":
            log.info("TensorFlow is not installed: Keras runs on %s", there[0])
    try:
        import keras
    except ImportError as e:
        raise EmotionError(f"Keras cannot be imported ({e}): {TRAIN_ENV}") from e
    return str(keras.backend.backend())


def version(module: str) -> str:
    """Of an installed package."""
    return str(getattr(importlib.import_module(module), "__version__", "?"))


def accelerator(backend: str) -> str:
    """The GPU that Keras computes on, or "no GPU"."""
    if backend == "torch":
        torch = importlib.import_module("torch")
        return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "no GPU"
    if backend == "tensorflow":
        tf = importlib.import_module("tensorflow")
        return ", ".join(device.name for device in tf.config.list_physical_devices("GPU")) or "no GPU"
    jax = importlib.import_module("jax")
    return ", ".join(str(d) for d in jax.devices() if d.platform != "cpu") or "no GPU"
