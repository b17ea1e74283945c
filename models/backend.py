"""Which library Keras computes with, and on what."""

import importlib
import importlib.util
import logging
import os
import sys

from shared.errors import TRAIN_ENV, EmotionError

log = logging.getLogger(__name__)


def choose_backend() -> str:
    """Set Keras' back end where nobody has: TensorFlow, or PyTorch where that is missing.

    Raises:
        EmotionError: neither can be had.
    """
    if "keras" not in sys.modules and "KERAS_BACKEND" not in os.environ:
        there = [name for name in ("tensorflow", "torch") if importlib.util.find_spec(name)]
        if not there:
            raise EmotionError(f"training needs TensorFlow or PyTorch: {TRAIN_ENV}")
        os.environ["KERAS_BACKEND"] = there[0]
        if there[0] == "torch":
            log.info("TensorFlow is not installed: Keras runs on PyTorch")
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
    return "unknown"
