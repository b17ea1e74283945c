"""The settings of how long results are kept (docs/how-to/retention.md)."""

from dataclasses import dataclass

from emotion_stream.shared.settings.loading import option


@dataclass(frozen=True, slots=True)
class KeepOptions:
    """Retention: how long results are kept, and how much room they take (docs/how-to/retention.md)."""

    keep: str = option(
        "off",
        "how long results are kept: 7d, 12h or 4w; off: until you delete them. With --keep, --keep-size or"
        " --keep-free, files roll over, and a new run goes on where the last one stopped",
        metavar="TIME|off",
    )
    keep_size: str = option(
        "off", "how much room all results of a run may take: 20G or 500M; the oldest go first", metavar="SIZE|off"
    )
    keep_free: str = option(
        "off",
        "how much of a disk stays free: 2G; the oldest results go early, then nothing is written until there is"
        " room again",
        metavar="SIZE|off",
    )
    roll: tuple[str, ...] = option(
        (),
        "when a new file begins: each 1d (default), 1h or 15m of UTC, or at a size such as 500M; or both",
        metavar="TIME|SIZE",
    )
