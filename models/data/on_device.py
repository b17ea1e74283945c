"""Images varied where the network is trained, so that a GPU does not wait for the processor.

Chance stays on the processor: it draws the same numbers as for `models.data.augment`, a few an image, and what
is drawn is done to all images of a batch at once, inside the compiled train step. Both ways give the same images
but for rounding: OpenCV interpolates in steps of 1/32 of a pixel. Choose Keras' back end first.
"""

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from emotion_stream.models.data.augment import Draws, Mixture


def packed(drawn: Draws, mixture: Mixture) -> NDArray[np.float32]:
    """Both as one array, float32 [n, 18]: a row an image, as `varied` takes it."""
    n = len(drawn.gains)
    whole = np.concatenate([drawn.maps, np.broadcast_to([[[0.0, 0.0, 1.0]]], (n, 1, 3))], axis=1)
    back = np.linalg.inv(whole)[:, :2].reshape(n, 6)  # from a pixel of the result to where it comes from
    mixed = np.broadcast_to([mixture.own, *mixture.box], (n, 4))
    columns = [
        back, drawn.gains[:, None], drawn.offsets[:, None], drawn.boxes, drawn.shades[:, None],
        mixture.other[:, None], mixed,
    ]  # fmt: skip
    return np.concatenate(columns, axis=1).astype(np.float32)


def varied(pixels: Any, draws: Any, size: int) -> Any:
    """What the network takes: float32 [n, size, size, 1], gray 0..255.

    Args:
        pixels: uint8 [n, side, side].
        draws: float32 [n, 18], of `packed`.
        size: side of the result, pixels.
    """
    draws = ops.convert_to_tensor(draws, "float32")
    gain, offset, top, left, height, width, shade, other, own, cut_top, cut_left, cut = (
        draws[:, i, None] for i in range(6, 18)
    )
    row, column = (ops.convert_to_tensor(a.reshape(1, -1), "float32") for a in np.mgrid[:size, :size])
    x = _warped(pixels, draws, row, column)
    x = ops.clip(ops.round(gain * ops.round(x) + offset), 0, 255)
    x = ops.where(_inside(row, column, top, left, height, width), shade, x)
    pasted = ops.take(x, ops.cast(other[:, 0], "int32"), axis=0)
    own = ops.where(_inside(row, column, cut_top, cut_left, cut, cut), 0.0, own)
    return ops.reshape(own * x + (1 - own) * pasted, (-1, size, size, 1))


def _inside(row: Any, column: Any, top: Any, left: Any, height: Any, width: Any) -> Any:
    down = ops.logical_and(row >= top, row < top + height)
    return ops.logical_and(down, ops.logical_and(column >= left, column < left + width))


def _warped(pixels: Any, draws: Any, row: Any, column: Any) -> Any:
    """Gray values [n, size * size] between pixels; outside of an image its edge goes on."""
    side = pixels.shape[1]
    flat = ops.reshape(ops.cast(pixels, "float32"), (-1, side * side))
    a, b, c, d, e, f = (draws[:, i, None] for i in range(6))
    x = ops.clip(a * column + b * row + c, 0, side - 1)
    y = ops.clip(d * column + e * row + f, 0, side - 1)
    x0, y0 = ops.floor(x), ops.floor(y)

    def at(down: int, across: int) -> Any:
        index = ops.minimum(y0 + down, side - 1) * side + ops.minimum(x0 + across, side - 1)
        return ops.take_along_axis(flat, ops.cast(index, "int32"), axis=1)

    right, below = x - x0, y - y0
    upper = at(0, 0) * (1 - right) + at(0, 1) * right
    lower = at(1, 0) * (1 - right) + at(1, 1) * right
    return upper * (1 - below) + lower * below
