"""By which rules faces got their labels, in words. Loads nothing large."""

from collections.abc import Mapping
from typing import Any


def told_labels(labels: Mapping[str, Any]) -> str:
    """What the summary of a run tells under `labels`, in a line. Pure."""
    below = labels["uncertain_below"]
    parts = [
        f"head {labels['head']}, prior {labels['prior']:g}",
        "never uncertain" if below is None else f"uncertain below {below:.0%}",
        f"averaged over {labels['smoothing']:g} s" if labels["smoothing"] else "not averaged",
        f"shown after {labels['confirm']} frames",
    ]
    return "; ".join(parts)
