"""The model manifest: what a detector and a classifier must agree on, and how good the model is.

`models/artifacts/manifest.json` is the single source of the labels' order, the crop's size and margin, the
preprocessing, the calibration and the checksums. Detectors read it without loading any model.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import EmotionError
from shared.messages import ModelSpec

DEFAULT_ARTIFACTS = Path(__file__).resolve().parent.parent / "models" / "artifacts"


@dataclass(frozen=True, slots=True)
class Head:
    """One output of the network.

    Attributes:
        name: of the output.
        temperature: its logits are divided by this before the softmax.
        uncertain_below: probability of the top class below which it is better not to answer; None: not known.
    """

    name: str
    temperature: float
    uncertain_below: float | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A trained model as it is served.

    Attributes:
        id: name of this model version; travels with every crop.
        labels: names of the classes, in the order of the network's outputs.
        size: side of the square gray input, pixels.
        margin: how much a detector's box is enlarged on each side, as a fraction of its side.
        heads: the network's outputs, by name, in the order of the network.
        default_head: the head that the pipeline shows.
        files: precision ("int8", "fp16", "weights") to file names with their SHA-256.
        directory: where those files lie.
        raw: the whole JSON, for reports.
    """

    id: str
    labels: tuple[str, ...]
    size: int
    margin: float
    heads: tuple[Head, ...]
    default_head: str
    files: Mapping[str, Mapping[str, str]]
    directory: Path
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(self.id, self.size, self.margin)

    def head(self, name: str) -> Head:
        """The head called `name`.

        Raises:
            EmotionError: the model has no such head.
        """
        for head in self.heads:
            if head.name == name:
                return head
        raise EmotionError(f"the model has no head {name!r}; it has: {', '.join(h.name for h in self.heads)}")

    def paths(self, precision: str) -> tuple[Path, ...]:
        """The files of one precision, their checksums verified.

        Raises:
            EmotionError: the precision is not there, or a file is missing or damaged.
        """
        if precision not in self.files:
            raise EmotionError(
                f"the model in {self.directory} has no precision {precision!r}; it has: {', '.join(self.files)}"
            )
        paths = []
        for name, digest in self.files[precision].items():
            path = self.directory / name
            try:
                found = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as e:
                raise EmotionError(f"model file {path} cannot be read ({e.strerror}): restore it") from e
            if found != digest:
                raise EmotionError(f"model file {path} is damaged (checksum differs): restore it")
            paths.append(path)
        return tuple(paths)


def _head(body: Mapping[str, Any]) -> Head:
    threshold = body.get("uncertain_below")
    return Head(str(body["name"]), float(body["temperature"]), None if threshold is None else float(threshold))


def load_manifest(directory: Path = DEFAULT_ARTIFACTS) -> Manifest:
    """Read `manifest.json` in `directory`.

    Raises:
        EmotionError: it is missing, is not JSON, or lacks a key.
    """
    path = directory / "manifest.json"
    try:
        raw = json.loads(path.read_text())
        return Manifest(
            id=str(raw["id"]),
            labels=tuple(str(name) for name in raw["labels"]),
            size=int(raw["input"]["size"]),
            margin=float(raw["input"]["margin"]),
            heads=tuple(_head(h) for h in raw["heads"]),
            default_head=str(raw["default_head"]),
            files={str(p): {str(n): str(d) for n, d in f.items()} for p, f in raw["files"].items()},
            directory=directory,
            raw=raw,
        )
    except OSError as e:
        raise EmotionError(f"no model in {directory}: {path.name} cannot be read ({e.strerror})") from e
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise EmotionError(f"model manifest {path} is damaged: {type(e).__name__} {e}") from e
