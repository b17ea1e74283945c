"""The TensorFlow back end: the same network in Keras, float32. TensorFlow is imported in `open` only."""

import contextlib
import os
from typing import Any

import numpy as np

from emotion_stream.classifier_worker.backend import BATCH_SIZES, Logits, Pixels, chunks
from emotion_stream.classifier_worker.openvino_backend import served_weights
from emotion_stream.models import network, weights
from emotion_stream.shared.errors import TRAIN_ENV, EmotionError
from emotion_stream.shared.messages.manifest import Manifest


class TensorFlowBackend:
    """Builds the network from the manifest's `weights` file or, where there is none, from an OpenVINO file.

    An int8 file holds what rounding left of the weights; its activations are not rounded here, so answers agree
    with those of OpenVINO to within the error of quantisation.
    """

    def __init__(self, manifest: Manifest, precision: str, head: str, threads: int = 1) -> None:
        """
        Args:
            manifest: the model; its checksums are verified by `open`.
            precision: the OpenVINO file to recover weights from when the model has no `weights` file;
                int8 where it has no such file.
            head: which of its outputs to compute.
            threads: for inference; process-wide, and without effect once TensorFlow has run something.
        """
        self._manifest = manifest
        self._precision = precision
        self._head = head
        self._threads = threads
        self._run: Any = None

    def open(self) -> None:
        """See `Backend.open`."""
        tf = _tensorflow()
        with contextlib.suppress(RuntimeError):  # TensorFlow has already started its threads
            tf.config.threading.set_intra_op_parallelism_threads(self._threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        size, heads = self._manifest.size, [head.name for head in self._manifest.heads]
        arrays, _ = served_weights(self._manifest, self._precision)
        classes = len(arrays[f"{self._head}/bias"])
        if classes != len(self._manifest.labels):
            raise EmotionError(f"the weights are for {classes} classes: not what the manifest's labels say")
        model = network.build_vgg16(size, heads, weights.widths_of(arrays), classes)
        network.load_into(model, arrays)
        # One graph for every batch size; eager `predict` takes several times as long for small batches.
        self._run = tf.function(
            lambda crops: model(tf.cast(crops, tf.float32)[..., None], training=False),
            input_signature=[tf.TensorSpec((None, size, size), tf.uint8)],
        )
        for batch in BATCH_SIZES:
            self.logits(np.zeros((batch, size, size), np.uint8))

    def logits(self, crops: Pixels) -> Logits:
        """See `Backend.logits`."""
        return self.every_head(crops)[self._head]

    def every_head(self, crops: Pixels) -> dict[str, Logits]:
        """See `Backend.every_head`."""
        shape = (len(crops), len(self._manifest.labels))
        results = {head.name: np.empty(shape, np.float32) for head in self._manifest.heads}
        for start, stop in chunks(len(crops)):
            out = self._run(crops[start:stop])
            for head, result in results.items():
                result[start:stop] = out[head].numpy()
        return results

    def close(self) -> None:
        """See `Backend.close`."""
        self._run = None


def _tensorflow() -> Any:
    """TensorFlow, with Keras running on it."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its banner is no news
    try:
        import keras
        import tensorflow as tf
    except ImportError as e:
        raise EmotionError(
            f"the tensorflow back end needs {e.name}: {TRAIN_ENV}; or choose --backend openvino"
        ) from e
    if keras.backend.backend() != "tensorflow":
        raise EmotionError(f"Keras runs on {keras.backend.backend()}: set KERAS_BACKEND=tensorflow")
    return tf
