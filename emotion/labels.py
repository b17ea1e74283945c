"""By which rules faces got their labels, in words. Loads nothing large."""

from collections.abc import Mapping
from typing import Any

from emotion_stream.shared.words.words import ENGLISH, Words


def told_labels(labels: Mapping[str, Any], words: Words = ENGLISH) -> str:
    """What the summary of a run tells under `labels`, in a line. Pure."""
    below = labels["uncertain_below"]
    parts = [
        words("report.rule_head", head=labels["head"], prior=_short(labels["prior"], words)),
        words("report.rule_never") if below is None else words("report.rule_below", share=f"{below:.0%}"),
        words("report.rule_average", n=_short(labels["smoothing"], words))
        if labels["smoothing"]
        else words("report.rule_no_average"),
        words("report.rule_confirm", frames=labels["confirm"]),
    ]
    return "; ".join(parts)


def _short(number: float, words: Words) -> str:
    return f"{number:g}".replace(".", words.decimal)
