"""The loop of the original project, written anew: OpenCV reads a frame, a Haar cascade searches all of it, VGG16
labels one face at a time, a box and a word are drawn.

Usage: python benchmarks/peers/original.py CLIP SECONDS

With Keras installed (the environment of `fer` has it) faces go through `predict` of a Keras VGG16 for 64x64
pixels with three small dense layers, as the original had it; its weights are random, which does not matter for
the time. Without Keras they go through our own int8 network, one by one: that makes the loop faster than the
original was. Plays the clip over and over for at most SECONDS. Prints one line of JSON.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SIDE = 64
WARM_UP = 5
"""Frames before the clock starts."""
Predict = Callable[[Any], int]
"""From a gray face, uint8 `[height, width]`, to the index of its label."""


def keras_network() -> tuple[Predict, str]:
    """VGG16 as the original used it.

    Raises:
        ImportError: there is no Keras.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    layers = keras.layers
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    dense = [layers.Dense(32, activation="relu") for _ in range(3)]
    model = keras.Sequential([base, layers.Flatten(), *dense, layers.Dense(len(LABELS), activation="softmax")])

    def predict(face: Any) -> int:
        pixels = cv2.cvtColor(cv2.resize(face, (SIDE, SIDE)), cv2.COLOR_GRAY2RGB) / 255.0
        return int(np.argmax(model.predict(np.expand_dims(pixels, 0), verbose=0)))

    return predict, f"Keras {keras.__version__}"


def own_network() -> tuple[Predict, str]:
    """The network that this project serves, one face at a time."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from emotion_stream.classifier_worker.openvino_backend import OpenVinoBackend
    from emotion_stream.shared.messages.manifest import DEFAULT_ARTIFACTS, load_manifest

    manifest = load_manifest(DEFAULT_ARTIFACTS)
    backend = OpenVinoBackend(manifest, "int8", manifest.default_head)
    backend.open()

    def predict(face: Any) -> int:
        crop = cv2.resize(face, (manifest.size, manifest.size))[np.newaxis]
        return int(np.argmax(backend.logits(np.asarray(crop, np.uint8))))

    return predict, "our int8 network, no Keras"


def main(clip: str, seconds: float) -> None:
    """Run the original loop on a clip for some seconds, and print what it did as JSON."""
    try:
        predict, network = keras_network()
    except ImportError:
        predict, network = own_network()
    cascade = cv2.CascadeClassifier(
        str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml")
    )
    capture = cv2.VideoCapture(clip)
    frames = faces = 0
    started = cpu = 0.0
    turn = -WARM_UP
    while turn <= 0 or time.perf_counter() - started < seconds:
        if turn == 0:
            frames = faces = 0
            started, cpu = time.perf_counter(), time.process_time()
        turn += 1
        read, image = capture.read()
        if not read:
            capture = cv2.VideoCapture(clip)
            read, image = capture.read()
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        for x, y, width, height in cascade.detectMultiScale(gray, 1.3, 5):
            label = LABELS[predict(gray[y : y + height, x : x + width])]
            cv2.rectangle(image, (x, y), (x + width, y + height), (255, 0, 0), 2)
            cv2.putText(image, label, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2)
            faces += 1
        frames += 1
    told = {
        "frames": frames,
        "faces": faces,
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "what": f"original loop ({network})",
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
