"""FER-2013 in small: seven classes that can be told apart, written as people have them."""

import csv
from pathlib import Path

import cv2
import numpy as np

from emotion_stream.models.data.fer2013 import FERPLUS_NAMES, SPLITS
from emotion_stream.models.labels import FERPLUS_ORDER, LABELS

Row = tuple[str, int, np.ndarray]
"""Split, label, pixels."""


def pictures(per_class: int, seed: int = 0) -> list[Row]:
    """Stripes whose direction is the class, with noise: `per_class` of each class of each split."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48]
    rows = []
    for usage in SPLITS:
        for i in range(per_class * len(LABELS)):
            label = i % len(LABELS)
            angle = np.pi * label / len(LABELS)
            wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 3 + rng.uniform(0, 6))
            image = 128 + 70 * wave + rng.normal(0, 40, (48, 48))
            rows.append((usage, label, np.clip(image, 0, 255).astype(np.uint8)))
    return rows


def write_csv(path: Path, per_class: int, skip: int | None = None) -> list[Row]:
    """Write fer2013.csv, without class `skip`; returns what was written."""
    rows = [row for row in pictures(per_class) if row[1] != skip]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("emotion", "pixels", "Usage"))
        writer.writerows((label, " ".join(map(str, pixels.ravel())), usage) for usage, label, pixels in rows)
    return rows


def write_folders(path: Path, rows: list[Row], prefix: bool = True) -> None:
    """Write class folders."""
    for i, (usage, label, pixels) in enumerate(rows):
        folder = path / ("train" if usage == "Training" else "test") / LABELS[label]
        folder.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / f"{usage if prefix else 'im'}_{i}.png"), pixels)


def write_ferplus(path: Path, rows: list[Row], negative_row: int | None = None) -> None:
    """Write fer2013new.csv in which nine annotators of ten agree with the label."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("Usage", "Image name", *FERPLUS_NAMES))
        for i, (usage, label, _) in enumerate(rows):
            votes = [0] * len(FERPLUS_NAMES)
            votes[FERPLUS_ORDER[label]] = 9
            votes[8] = 1
            if i == negative_row:
                votes = [-1] * len(FERPLUS_NAMES)
            writer.writerow((usage, f"fer{i:07d}.png", *votes))
