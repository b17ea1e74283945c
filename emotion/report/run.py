"""The report at the end of a run: what it needs is gathered beside what the user asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotion_stream.emotion.report.command import of_run
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.words.words import Words
from emotion_stream.sink.catalogue import Spec, parse

READABLE = ("jsonl", "sqlite", "csv")


@dataclass(frozen=True, slots=True)
class Gathered:
    """The outputs of a run with a report: those asked for, and what else it needs, in the run's own folder.

    Attributes:
        outputs: values of `--output`.
        results: where the results lie.
        faces: where pictures of faces lie.
        target: the page to write; None: no report is wanted.
    """

    outputs: tuple[str, ...]
    results: Path
    faces: Path
    target: Path | None

    @staticmethod
    def beside(outputs: Sequence[str], report: str | None, directory: Path) -> "Gathered":
        """Results that are written anyway are read at the end; else they are written for the report alone."""
        results, faces = directory / "results.jsonl", directory / "faces"
        if report is None:
            return Gathered(tuple(outputs), results, faces, None)
        specs = parse(outputs)
        extra = []
        own = next((Path(s.target) for s in specs if s.kind in READABLE and _is_ordinary(s)), None)
        if own is None:
            extra.append(f"jsonl={results}")
        kept = next((Path(s.target) for s in specs if s.kind == "faces"), None)
        if kept is None:
            extra.append(f"faces={faces}")
        return Gathered((*outputs, *extra), own or results, kept or faces, Path(report))

    def write(self, notice: str, summary: Mapping[str, Any], words: Words) -> None:
        """Write the report, if one is wanted.

        Raises:
            EmotionError: there are no results, or it cannot be written.
        """
        if self.target is not None:
            missing = {"missing": summary["missing"]} if summary["missing"] else {}
            dropped = {**summary["dropped"], **missing}
            labels, events = summary["labels"], summary["events"]
            if not summary["frames"] and _is_empty(self.results):
                raise EmotionError(f"--report {self.target} is not written: no frame was shown")
            of_run(self.results, self.faces, self.target, notice, dropped, labels, events, words)


def _is_ordinary(spec: Spec) -> bool:
    path = Path(spec.target)
    return spec.is_file and (path.is_file() or not path.exists())


def _is_empty(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0
