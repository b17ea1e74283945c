"""The seven classes, and how FER+ votes map onto them."""

import numpy as np
from numpy.typing import NDArray

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""In FER-2013's index order. Never sort them: folder loaders do, and that permutes the last three."""

FERPLUS_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear",
    "contempt", "unknown", "not-a-face",
)  # fmt: skip
"""What the ten columns of a FER+ row of votes count."""

FERPLUS_ORDER = (4, 5, 6, 1, 3, 2, 0)
"""For each of `LABELS`, its column in FER+."""


def consensus(votes: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """What most annotators of FER+ chose.

    Args:
        votes: [n, 10] counts, columns as in `FERPLUS_COLUMNS`.

    Returns:
        labels int64 [n], indices into `LABELS`; and bool [n], true where the plurality is one of the seven
        classes. Ties, contempt, unknown, not-a-face and rows without votes are false there (their label is 0).
    """
    top = votes.max(axis=1)
    winner = votes.argmax(axis=1)
    index = np.full(votes.shape[1], -1, np.int64)
    index[list(FERPLUS_ORDER)] = np.arange(len(LABELS))
    labels = index[winner]
    clear = (top > 0) & ((votes == top[:, None]).sum(axis=1) == 1) & (labels >= 0)
    return np.where(clear, labels, 0), clear
