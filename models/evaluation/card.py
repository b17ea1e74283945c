"""Figures in the model card: sections between two marks, written by `emotion evaluate --card`."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_stream.models.evaluation.assess import tables, title
from emotion_stream.models.evaluation.runlog import table
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.manifest import ARTIFACTS, DEFAULT_ARTIFACTS, Manifest

SHOWN = ("top1", "balanced_accuracy", "macro_f1", "nll", "ece", "ece_cross_fitted", "natural_top1", "logit_error")
"""Figures that are compared between precisions."""


def section(result: Mapping[str, Any], manifest: Manifest, pictures: Sequence[Path], card: Path) -> str:
    """All that was measured of one head, in Markdown.

    Args:
        result: of `models.assess.assess`, with the names of what was measured.
        manifest: the model's; what its export measured is shown per precision.
        pictures: to show; linked relative to `card`.
    """
    measured = manifest.raw.get("accuracies", {})
    rows = [["precision", *(name.replace("_", " ") for name in SHOWN)]]
    for precision, heads in measured.items():
        figures = heads.get(result["head"], {})
        rows.append([precision, *(f"{figures[name]:.4f}" if name in figures else "-" for name in SHOWN)])
    parts = [f"Measured: {title(result)}.", tables(result)]
    if len(rows) > 1:
        parts += ["All precisions, as the export measured them:", table(rows)]
    where = [os.path.relpath(path, card.parent) for path in pictures]
    parts += [" ".join(f"![{Path(path).stem}]({Path(path).as_posix()})" for path in where)] if where else []
    return "\n\n".join(parts)


def section_name(manifest: Manifest, head: str) -> str:
    """The section of a head: its name, with the model's where that is not the default. Pure."""
    folder = manifest.directory
    return f"{folder.name} {head}" if folder.parent == ARTIFACTS and folder != DEFAULT_ARTIFACTS else head


def write_section(card: Path, name: str, text: str) -> None:
    """Replace what lies between `<!-- figures NAME -->` and `<!-- end NAME -->` in `card`.

    Raises:
        EmotionError: the file cannot be read or written, or has no such marks.
    """
    first, last = f"<!-- figures {name} -->", f"<!-- end {name} -->"
    try:
        before = card.read_text(encoding="utf-8")
        after, found = re.subn(
            f"{re.escape(first)}.*?{re.escape(last)}",
            lambda _: f"{first}\n{text}\n{last}",
            before,
            flags=re.DOTALL,
        )
        if found != 1:
            raise EmotionError(f"{card} has {found} sections between {first} and {last}, not one")
        card.write_text(after, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise EmotionError(f"{card} cannot be read and written ({e})") from e
