"""What `--keep`, `--keep-size`, `--keep-free` and `--roll` mean. Pure."""

import re
from dataclasses import dataclass

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.settings.result_options import KeepOptions

DAY = 86_400
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": DAY, "w": 7 * DAY}
BYTES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
OFF = ("", "off", "0")
LEAST_SIZE = 16 * 2**20
"""Bytes: less than this holds no useful results."""
LEAST_ROLL = 64 * 2**10
_TIME = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smhdw])")
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([KMGT])i?B?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rules:
    """How long results are kept.

    Attributes:
        keep: seconds for which a result stays at least, unless room is needed; None: for ever.
        size: bytes that all results may take; None: no bound.
        free: bytes of a disk that stay free; 0: none.
        period: seconds of UTC that one file covers; a whole part or a multiple of a day.
        part: bytes at which a file ends before its time; None: never.
    """

    keep: float | None = None
    size: int | None = None
    free: int = 0
    period: int = DAY
    part: int | None = None


def rules(options: KeepOptions) -> Rules | None:
    """The rules that these settings mean; None where nothing is kept in order.

    Raises:
        UsageError: a value is none, or does not fit.
    """
    keep = _seconds(options.keep, "--keep")
    size = _bytes(options.keep_size, "--keep-size")
    free = _bytes(options.keep_free, "--keep-free")
    if size is not None and size < LEAST_SIZE:
        raise UsageError(f"--keep-size {options.keep_size}: give results at least 16M")
    if keep is None and size is None and free is None and not options.roll:
        return None
    period, part = None, None
    for text in options.roll:
        if _TIME.fullmatch(text) and period is None:
            period = _period(text)
        elif _SIZE.fullmatch(text) and part is None:
            part = _bytes(text, "--roll")
            if part is not None and part < LEAST_ROLL:
                raise UsageError(f"--roll {text}: a file holds at least 64K")
        else:
            raise UsageError(f"--roll {text}: give one time, such as 1d or 1h, one size, such as 500M, or both")
    return Rules(keep, size, free or 0, period or DAY, part)


def _period(text: str) -> int:
    seconds = _seconds(text, "--roll") or 0
    if not seconds or (DAY % seconds and seconds % DAY):
        raise UsageError(f"--roll {text}: a day is no multiple of it: take 1d, 12h, 6h, 1h or 15m")
    return int(seconds)


def _seconds(text: str, flag: str) -> float | None:
    if text.lower() in OFF:
        return None
    match = _TIME.fullmatch(text)
    if match is None or not (seconds := float(match[1]) * SECONDS[match[2]]):
        raise UsageError(f"{flag} {text}: write a time as 7d, 12h or 4w (s, m, h, d, w), or off")
    return seconds


def _bytes(text: str, flag: str) -> int | None:
    if text.lower() in OFF:
        return None
    match = _SIZE.fullmatch(text)
    if match is None or not (size := int(float(match[1]) * BYTES[match[2].upper()])):
        raise UsageError(f"{flag} {text}: write a size as 20G or 500M (K, M, G, T), or off")
    return size
