"""What a frame looked like, in half a kilobyte, and whether two frames are of one scene. Pure functions."""

import cv2
import numpy as np
import numpy.typing as npt

CELLS = 32
"""Cells along the longer side of a thumbnail."""
SAMPLES = 4
"""Rows and columns of a cell that are looked at."""
ALIKE = 0.83
"""Two thumbnails of at least this correlation are of one scene. Chosen so that the clips of `tests/sink/tracking/
test_cuts.py` (cuts, flashes, fades, pans) are told right."""
LOSS = 1.5
"""How much lower it may be for each second between the two."""
LEAST = 0.5
"""How low at the most."""
FLAT = 4.0
"""Standard deviation, gray levels, below which a thumbnail shows nothing: black, white, a lens that is covered."""
CHANGE = 10
"""Gray levels by which a cell's mean must change to count as moved, beyond what the whole picture changed."""
MUCH = 0.15
"""Share of the cells that a cut changes at least: before a plain wall, somebody who moves changes all there is."""
REACH = 0.4
"""How far a camera may pan between two frames, of the thumbnail's sides."""

Gray = npt.NDArray[np.uint8]
"""A gray picture, `[rows, columns]`."""
Thumbnail = npt.NDArray[np.uint8]
"""A frame in gray, `[rows, columns]`, each cell the mean of its part; `CELLS` along the longer side."""
Mask = npt.NDArray[np.bool_]


def shape(width: int, height: int) -> tuple[int, int]:
    """Rows and columns of a thumbnail: `CELLS` along the longer side, in proportion along the other."""
    unit = max(height, width) / CELLS
    return max(1, round(height / unit)), max(1, round(width / unit))


def thumbnail(gray: Gray, cells: tuple[int, int]) -> Thumbnail:
    """A frame in gray as a thumbnail of `cells` rows and columns, each the mean of its part."""
    height, width = gray.shape
    rows, columns = cells
    step = max(1, min(height // rows, width // columns) // SAMPLES)
    return np.asarray(cv2.resize(gray[::step, ::step], (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def packed(cells: Thumbnail) -> bytes:
    """A thumbnail as a byte for its rows and one for each cell."""
    return bytes([len(cells)]) + cells.tobytes()


def unpacked(data: bytes) -> Thumbnail | None:
    """What `packed` gave, or None if it is something else."""
    if len(data) < 2 or not data[0] or (len(data) - 1) % data[0]:
        return None
    return np.frombuffer(data, np.uint8, offset=1).reshape(data[0], -1)


def flat(cells: Thumbnail) -> bool:
    """Whether nothing can be told apart in it."""
    return float(cv2.meanStdDev(cells)[1][0, 0]) < FLAT  # a tenth of the time of NumPy's


def cut(now: Thumbnail, before: Thumbnail, passed: float) -> bool:
    """Whether a frame begins a new scene, compared with the one `passed` seconds before. It does not if it shows
    the same brighter or darker (a flash, a fade), panned, or with somebody moving in it. The longer the time
    between the two, the more may have moved. If one of them is flat, nobody can tell: False.

    The thumbnails are compared by their correlation, which does not depend on light. If it is low, one thumbnail
    is moved against the other, and the highest correlation of their overlaps counts.
    """
    if now.shape != before.shape:
        return True
    if still(now, before) or flat(now) or flat(before) or np.count_nonzero(moved(now, before)) < MUCH * now.size:
        return False
    enough = max(LEAST, ALIKE - LOSS * abs(passed))
    return correlation(now, before) < enough and panned(now, before) < enough


def still(now: Thumbnail, before: Thumbnail) -> bool:
    """Whether so few cells changed, by so little, that `moved` cannot tell of more: told in no time, as it is so
    from most frames to the next. Where most cells changed by half of `CHANGE` at the most, so did the whole."""
    _, changed = cv2.threshold(cv2.absdiff(now, before), CHANGE // 2, 1, cv2.THRESH_BINARY)
    return cv2.countNonZero(changed) < MUCH * now.size


def moved(now: Thumbnail, before: Thumbnail) -> Mask:
    """The cells that changed more than the picture as a whole, bool of the thumbnails' shape."""
    difference = now.astype(np.int16) - before
    middle = (difference.size - 1) // 2, difference.size // 2
    low, high = np.partition(difference, middle, axis=None)[list(middle)].tolist()
    return np.asarray(np.abs(difference - int((low + high) / 2)) > CHANGE)


def correlation(a: Gray, b: Gray) -> float:
    """Pearson's correlation of the cells, -1 to 1; 0 where one of them is all the same."""
    x, y = a.astype(np.float32) - a.mean(), b.astype(np.float32) - b.mean()
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / size if size else 0.0


def panned(now: Gray, before: Gray) -> float:
    """The highest correlation when the camera may have moved by up to `REACH` of the picture's sides: looked for
    at half the resolution, then around the best place at the full one. -1 for what is too narrow to tell."""
    if min(now.shape) < 4:
        return -1.0
    coarse = _halved(now), _halved(before)
    down, across = (int(side * REACH) for side in coarse[0].shape)
    found = correlations(*coarse, down, across)
    y, x = np.unravel_index(found.argmax(), found.shape)
    top, left = 2 * (int(y) - down) - 1, 2 * (int(x) - across) - 1
    return max(_shifted(now, before, top + dy, left + dx) for dy in range(3) for dx in range(3))


def correlations(now: Gray, before: Gray, down: int, across: int) -> npt.NDArray[np.float32]:
    """The correlation of the overlaps when `now` is moved by up to `down` rows and `across` columns, float32
    `[2 * down + 1, 2 * across + 1]`, moved up and left first; 0 where one of the two is all the same. By sums of
    products at all places at once."""
    a, b = ((cells - cells.mean()).astype(np.float32) for cells in (now, before))
    all_of = np.ones(a.shape, np.float32)

    def wide(cells: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        border = down, down, across, across, cv2.BORDER_CONSTANT
        return np.asarray(cv2.copyMakeBorder(cells, *border), np.float32)

    def sums(of: npt.NDArray[np.float32], times: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(cv2.matchTemplate(of, times, cv2.TM_CCORR), np.float32)

    there, moved_there = wide(all_of), wide(a)
    count, sum_a, sum_b = sums(there, all_of), sums(moved_there, all_of), sums(there, b)
    spread_a = sums(moved_there * moved_there, all_of) - sum_a * sum_a / count
    spread_b = sums(there, b * b) - sum_b * sum_b / count
    told = (spread_a > 1) & (spread_b > 1)  # less is what rounding leaves
    size = np.sqrt(np.where(told, spread_a * spread_b, 1))
    return np.where(told, (sums(moved_there, b) - sum_a * sum_b / count) / size, 0).astype(np.float32)


def _halved(cells: Gray) -> Gray:
    even = cells[: len(cells) // 2 * 2, : cells.shape[1] // 2 * 2]
    return np.asarray(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def _shifted(now: Gray, before: Gray, dy: int, dx: int) -> float:
    """The correlation of the overlap when `now` is moved by `dy` rows and `dx` columns."""
    rows, columns = now.shape
    a = now[max(0, dy) : rows + min(0, dy), max(0, dx) : columns + min(0, dx)]
    b = before[max(0, -dy) : rows + min(0, -dy), max(0, -dx) : columns + min(0, -dx)]
    return correlation(a, b)
