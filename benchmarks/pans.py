"""Clips out of photographs: the camera pans, zooms, tilts and trembles, light goes up and down, pixels are noisy.

Nobody's face changes in them, so every change of a label is flicker.
"""

from pathlib import Path

import cv2
import numpy as np

from shared.errors import EmotionError

FPS, SIZE = 25, (640, 360)
NOISE = 5.0
"""Standard deviation of the noise, of 255."""


def pan(photo: Path, target: Path, seconds: float = 6.0, seed: int = 0) -> Path:
    """Write such a clip of a photograph to the MP4 file `target`.

    Raises:
        EmotionError: the photograph cannot be read.
    """
    image = cv2.imread(str(photo))
    if image is None:
        raise EmotionError(f"{photo} cannot be read")
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    count = round(seconds * FPS)
    tremble = np.cumsum(rng.normal(0, 0.5, (count, 2)), axis=0)
    writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE)
    for n, turn in enumerate(2 * np.pi * np.linspace(0, 1, count)):
        zoom = max(SIZE[0] / width, SIZE[1] / height) * (1.1 + 0.25 * np.sin(turn))
        view = cv2.getRotationMatrix2D((width / 2, height / 2), 2 * np.sin(2 * turn), zoom)
        view[:, 2] += [SIZE[0] / 2 - width / 2, SIZE[1] / 2 - height / 2]
        view[:, 2] += tremble[n] + [25 * np.sin(1.5 * turn), 10 * np.cos(turn)]
        seen = cv2.warpAffine(image, view, SIZE, borderMode=cv2.BORDER_REFLECT).astype(np.float32)
        seen = seen * (1 + 0.15 * np.sin(2 * turn)) + rng.normal(0, NOISE, seen.shape)
        writer.write(np.clip(seen, 0, 255).astype(np.uint8))
    writer.release()
    return target
