"""Readers of what came out of a stream, where anything may stand.

Each returns the value, of the type and within the bounds asked for, or raises DecodeError, which calls it `what`.
"""

import math
from typing import Any

from emotion_stream.shared.errors import DecodeError


def text(value: object, what: str, limit: int) -> str:
    """A string of at most `limit` characters."""
    if not isinstance(value, str) or len(value) > limit:
        raise DecodeError(f"{what} is not a text of at most {limit} characters")
    return value


def whole(value: object, what: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise DecodeError(f"{what} is not a whole number from {low} to {high}")
    return value


def real(value: object, what: str, low: float, high: float) -> float:
    """A finite number from `low` to `high`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        raise DecodeError(f"{what} is not a number from {low} to {high}")
    return float(value)  # type: ignore[arg-type]


def items(value: object, what: str, length: int | None, limit: int) -> list[Any]:
    """A list of exactly `length` items, or, without one, of at most `limit`."""
    if not isinstance(value, list) or len(value) > limit or (length is not None and len(value) != length):
        raise DecodeError(f"{what} is not a list of {f'at most {limit}' if length is None else length} items")
    return value
