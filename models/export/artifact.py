"""The manifest of a trained model, written in the form that `shared.messages.manifest` reads."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emotion_stream.models.labels import LABELS
from emotion_stream.models.network import FOLDED
from emotion_stream.shared.messages.manifest import Head, Manifest, load_manifest
from emotion_stream.shared.whole import write_whole

LICENCE = (
    "Fine-tuned from the VGG16 ImageNet weights of the Visual Geometry Group, University of Oxford (CC BY 4.0), "
    "on FER-2013 (research use) with FER+ votes (MIT). See NOTICE and the model card before any use."
)

Accuracies = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Precision -> head -> figure -> value."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What is known of a trained model beside its files; see `shared.manifest.Manifest` for the common fields.

    Attributes:
        accuracies: what was measured of each precision as it is served.
        measured_on: the split, the number of images, and what else makes `accuracies` reproducible.
        run: name of the training run.
        created_by: program that wrote the artifact.
        commit: of the program that trained it.
    """

    id: str
    size: int
    margin: float
    heads: Sequence[Head]
    default_head: str
    accuracies: Accuracies = field(default_factory=dict)
    measured_on: str = ""
    run: str = ""
    created_by: str = ""
    commit: str = ""
    labels: Sequence[str] = LABELS


def digests(paths: Sequence[Path]) -> dict[str, str]:
    """File name -> SHA-256 in hex."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def write_manifest(directory: Path, artifact: Artifact, files: Mapping[str, Sequence[Path]]) -> Manifest:
    """Write `directory`/manifest.json in one step and read it back.

    Args:
        directory: where the files lie.
        artifact: the model's description.
        files: precision ("int8", "fp32", "weights") to its files, all in `directory`.

    Raises:
        EmotionError: the manifest written does not read back.
    """
    body: dict[str, Any] = {
        "id": artifact.id,
        "labels": list(artifact.labels),
        "input": {"size": artifact.size, "margin": artifact.margin, "channels": 1, "preprocessing": FOLDED},
        "heads": [{k: v for k, v in asdict(head).items() if v not in (None, ())} for head in artifact.heads],
        "default_head": artifact.default_head,
        "files": {precision: digests(paths) for precision, paths in files.items()},
        "float_forms": "from the weights" if "weights" in files else "rebuilt from int8",
        "accuracies": artifact.accuracies,
        "measured_on": artifact.measured_on,
        "run": artifact.run,
        "created_by": artifact.created_by,
        "commit": artifact.commit,
        "licence": LICENCE,
    }
    write_whole(directory / "manifest.json", (json.dumps(body, indent=2) + "\n").encode())
    return load_manifest(directory)
