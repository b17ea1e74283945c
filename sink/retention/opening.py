"""Opens an output whose results are kept in order."""

from collections.abc import Callable
from pathlib import Path

from emotion_stream.sink.retention.database import KeptSqlite
from emotion_stream.sink.retention.rolling import Opener, Rolling
from emotion_stream.sink.retention.rules import Rules
from emotion_stream.sink.retention.shelf import Shelf
from emotion_stream.sink.retention.store import Held, HeldVideo


def hold(kind: str, target: Path, rules: Rules, opener: Opener, clock: Callable[[], float]) -> Held:
    """The output of this kind, in files that roll over; a database stays one file.

    Args:
        kind, target: as in `--output`.
        rules: how long results are kept.
        opener: opens one file.
        clock: seconds since 1970.

    Raises:
        EmotionError: it cannot be written.
    """
    if kind == "sqlite":
        return Held(KeptSqlite(target))
    rolling = Rolling(Shelf(kind, target, rules.period, clock), opener, rules.period)
    return HeldVideo(rolling) if kind == "video" else Held(rolling)
