"""FER-2013 as people have it: `fer2013.csv`, or class folders; and the votes of FER+.

Labels are always indices into `models.labels.LABELS`, whatever order folders are listed in.
"""

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_stream.models.folders import list_folders
from emotion_stream.models.labels import FERPLUS_ORDER, LABELS
from emotion_stream.shared.errors import EmotionError

SIDE = 48
"""Images of FER-2013 are SIDE x SIDE pixels."""

SPLITS = ("Training", "PublicTest", "PrivateTest")
"""Names of the splits, as the column `Usage` has them."""

FERPLUS_NAMES = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)
"""The vote columns of `fer2013new.csv`, in the order of `models.labels.FERPLUS_COLUMNS`."""

NOT_A_FACE = 5
"""From this many votes for unknown or not-a-face on, an image teaches the consensus head nothing."""


@dataclass(frozen=True, slots=True)
class Split:
    """Images and what is known of them.

    Attributes:
        pixels: uint8 [n, 48, 48], gray.
        labels: int64 [n], indices into `LABELS`.
        names: where each image comes from: a path, or `row 7` of the CSV file.
        votes: int64 [n, 10], columns as in `FERPLUS_COLUMNS`, all zero where FER+ has none; None without FER+.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    votes: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Split":
        """The images that `keep`, a mask or indices, selects."""
        chosen = np.arange(len(self))[keep]
        votes = None if self.votes is None else self.votes[chosen]
        return Split(self.pixels[chosen], self.labels[chosen], tuple(self.names[i] for i in chosen), votes)


def load_splits(
    path: Path,
    ferplus: Path | None = None,
    wanted: Sequence[str] = SPLITS,
    required: Sequence[str] = SPLITS[:2],
    *,
    complete: bool = True,
) -> dict[str, Split]:
    """Read FER-2013.

    Args:
        path: `fer2013.csv`, a folder that holds it, or a folder with `train/<class>/` and `test/<class>/`. Images
            below `test/` belong to the split that their names begin with; those with other names to PublicTest.
            For `validation/` see `models.folders.list_folders`.
        ferplus: `fer2013new.csv`; its rows are in the order of `fer2013.csv`, so it goes with that layout only.
        wanted: splits to read; others are skipped.
        required: splits that must be there.
        complete: every class must be in each of these. Without it, some may be missing, and a folder of class
            folders will do, whose images are those of the first split that is wanted.

    Returns:
        the wanted splits that are there, by name.

    Raises:
        EmotionError: something is missing, unreadable or wrong; the message names the file and the row.
    """
    if not path.exists():
        raise EmotionError(f"no data at {path}: give fer2013.csv, or a folder with train/ and test/")
    table = path / "fer2013.csv" if path.is_dir() else path
    if table.is_file():
        splits = _read_csv(table, wanted)
        if ferplus is not None:
            splits = _with_votes(splits, ferplus, table)
    else:
        splits = _read_folders(path, wanted, complete=complete)
        if ferplus is not None:
            raise EmotionError(
                f"the rows of {ferplus} are matched to those of fer2013.csv, and {path} holds class folders:"
                " use fer2013.csv with --ferplus"
            )
    for name in required:
        if name not in splits:
            raise EmotionError(f"{path} has no images of {name}")
        counts = np.bincount(splits[name].labels, minlength=len(LABELS))
        if complete and not counts.all():
            raise EmotionError(f"{path}: {name} has no image of class {LABELS[int(counts.argmin())]!r}")
    return splits


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row, the header first."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise EmotionError(f"{path} cannot be read as CSV ({type(e).__name__}: {e})") from e


def _columns(path: Path, header: list[str] | None, wanted: tuple[str, ...]) -> list[int]:
    names = [name.strip() for name in header or ()]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise EmotionError(
            f"{path}, row 1: no column {missing[0]!r} (there is: {', '.join(names)[:80] or 'nothing'})"
        )
    return [names.index(name) for name in wanted]


def _read_csv(path: Path, wanted: Sequence[str]) -> dict[str, Split]:
    rows = _rows(path)
    emotion, pixels, usage = _columns(path, next(rows, (1, None))[1], ("emotion", "pixels", "Usage"))
    found: dict[str, tuple[list[NDArray[np.uint8]], list[int], list[str]]] = {}
    for line, row in rows:
        where = f"{path}, row {line}"
        if len(row) <= max(emotion, pixels, usage):
            raise EmotionError(f"{where}: only {len(row)} columns")
        if row[emotion] not in {str(i) for i in range(len(LABELS))}:
            raise EmotionError(f"{where}: emotion {row[emotion][:20]!r} is not one of 0 to {len(LABELS) - 1}")
        if row[usage] not in SPLITS:
            raise EmotionError(f"{where}: Usage {row[usage][:20]!r} is not one of {', '.join(SPLITS)}")
        if row[usage] not in wanted:
            continue
        values = row[pixels].split()
        if len(values) != SIDE * SIDE:
            raise EmotionError(f"{where}: {len(values)} pixels, not {SIDE * SIDE}")
        try:
            image = np.frombuffer(bytes(map(int, values)), np.uint8)
        except ValueError:
            whole = all(value.removeprefix("-").isdigit() for value in values)
            fault = "is not from 0 to 255" if whole else "is not a whole number"
            raise EmotionError(f"{where}: a pixel {fault}") from None
        images, labels, names = found.setdefault(row[usage], ([], [], []))
        images.append(image.reshape(SIDE, SIDE))
        labels.append(int(row[emotion]))
        names.append(f"row {line}")
    return _splits(found)


def _splits(
    found: Mapping[str, tuple[list[NDArray[np.uint8]], list[int], list[str]]],
) -> dict[str, Split]:
    return {
        usage: Split(np.stack(images), np.array(labels, np.int64), tuple(names))
        for usage, (images, labels, names) in found.items()
    }


def _read_folders(path: Path, wanted: Sequence[str], *, complete: bool) -> dict[str, Split]:
    found: dict[str, tuple[list[NDArray[np.uint8]], list[int], list[str]]] = {}
    for item in list_folders(path, wanted, complete=complete):
        images, labels, names = found.setdefault(item.usage, ([], [], []))
        images.append(_read_image(item.file))
        labels.append(item.label)
        names.append(item.file.relative_to(path).as_posix())
    return _splits(found)


def _read_image(file: Path) -> NDArray[np.uint8]:
    try:
        data = np.fromfile(file, np.uint8)
    except OSError as e:
        raise EmotionError(f"{file} cannot be read ({e.strerror})") from e
    image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None
    if image is None:
        raise EmotionError(f"{file} is not an image")
    if image.shape != (SIDE, SIDE):
        raise EmotionError(f"{file}: {image.shape[1]}x{image.shape[0]} pixels, not {SIDE}x{SIDE}")
    return image.astype(np.uint8, copy=False)


def _with_votes(splits: Mapping[str, Split], path: Path, table: Path) -> dict[str, Split]:
    rows = _rows(path)
    usage, *columns = _columns(path, next(rows, (1, None))[1], ("Usage", *FERPLUS_NAMES))
    votes: dict[str, list[list[int]]] = {}
    for line, row in rows:
        try:
            counts = [max(0, int(row[column])) for column in columns]  # some copies write -1 for no vote
            votes.setdefault(row[usage], []).append(counts)
        except (ValueError, IndexError):
            raise EmotionError(
                f"{path}, row {line}: the votes are not {len(FERPLUS_NAMES)} whole numbers"
            ) from None
    result = {}
    for name, split in splits.items():
        if len(votes.get(name, ())) != len(split):
            counted = len(votes.get(name, ()))
            raise EmotionError(f"{path} has {counted} rows of {name}, but {table} has {len(split)}")
        result[name] = replace(split, votes=np.array(votes[name], np.int64))
    return result


def soft_votes(votes: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the consensus head learns: shares of the votes.

    A single vote counts half, as it is often a slip. Contempt, unknown and not-a-face are left out.

    Returns:
        shares float32 [n, 7] that sum to 1, and weights float32 [n]: 0 where there is nothing to learn.
    """
    counts = votes[:, list(FERPLUS_ORDER)].astype(np.float32)
    counts[counts == 1] = 0.5
    total = counts.sum(axis=1, keepdims=True)
    usable = (total[:, 0] > 0) & (votes[:, 8:] < NOT_A_FACE).all(axis=1)
    shares = np.where(total > 0, counts / np.maximum(total, 1e-6), np.float32(1 / len(LABELS)))
    return shares.astype(np.float32), usable.astype(np.float32)


def limit(split: Split, per_class: int) -> Split:
    """The first `per_class` images of each class, in their order."""
    chosen = [np.flatnonzero(split.labels == label)[:per_class] for label in range(len(LABELS))]
    return split.take(np.sort(np.concatenate(chosen)))


def fingerprint(splits: Mapping[str, Split]) -> str:
    """Sixteen hex digits that change with any pixel, label or vote."""
    digest = hashlib.sha256()
    for name in sorted(splits):
        split = splits[name]
        digest.update(f"{name} {len(split)} {split.votes is not None}".encode())
        digest.update(split.pixels.tobytes() + split.labels.tobytes())
        digest.update(b"" if split.votes is None else split.votes.tobytes())
    return digest.hexdigest()[:16]
