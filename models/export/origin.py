"""Trained weights and what lies beside them: from a training run, an exported model, or a file alone."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_stream.models import weights
from emotion_stream.models.data.fer2013 import SIDE
from emotion_stream.models.evaluation.assess import HASHES, read_hashes
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import first_line
from emotion_stream.shared.messages.manifest import Manifest, load_manifest


@dataclass(frozen=True, slots=True)
class Origin:
    """What an export starts from.

    Attributes:
        weights: as float16 holds them, so that all that is built from them is the same network.
        heads: outputs of the network.
        size: side of its input, pixels.
        hashes: of the training images, uint64 [n]; None: not known.
        run: name of the training run, "" if not known.
        commit: of the program that trained.
        manifest: of the model exported before; None: there is none.
    """

    weights: weights.Weights
    heads: tuple[str, ...]
    size: int
    hashes: NDArray[np.uint64] | None = None
    run: str = ""
    commit: str = ""
    manifest: Manifest | None = None

    @property
    def id(self) -> str:
        """A name that changes with any weight."""
        digest = hashlib.sha256()
        for name in sorted(self.weights):
            digest.update(name.encode() + self.weights[name].astype(np.float16).tobytes())
        return f"vgg16-{digest.hexdigest()[:8]}"


def read_origin(path: Path) -> Origin:
    """Read what an export starts from.

    Args:
        path: folder of a training run or of an exported model, or a file of weights: `.npz` (`models.weights`)
            or a `.keras` model that `emotion train` wrote.

    Raises:
        EmotionError: nothing of the kind is there, or it is damaged.
    """
    if path.is_dir() and (path / "manifest.json").exists():
        return _exported(load_manifest(path))
    file = path / "weights.npz" if path.is_dir() else path
    if not file.is_file():
        raise EmotionError(f"no weights at {path}: give a training run's folder, or a file .npz or .keras")
    loaded = _from_keras(file) if file.suffix == ".keras" else weights.load(file)
    settings, facts = _settings(file.parent)
    beside = file.parent / "training-hashes.npy"
    return Origin(
        weights.halved(loaded),
        weights.heads_of(loaded),
        int(settings.get("size", SIDE)),
        read_hashes(beside) if beside.exists() else None,
        file.parent.name if settings else "",
        str(facts.get("commit", "")),
    )


def _exported(manifest: Manifest) -> Origin:
    (path,) = manifest.paths("weights")
    loaded = weights.load(path)
    hashes = read_hashes(manifest.paths(HASHES)[0]) if HASHES in manifest.files else None
    run, commit = (str(manifest.raw.get(key, "")) for key in ("run", "commit"))
    return Origin(loaded, tuple(h.name for h in manifest.heads), manifest.size, hashes, run, commit, manifest)


def _from_keras(path: Path) -> weights.Weights:
    """The folded weights of a model as `emotion train` saves it."""
    from emotion_stream.models.training.backend import choose_backend

    choose_backend()
    from emotion_stream.models.training.resume import load_trained
    from emotion_stream.models.training.trainable import fold

    try:
        return weights.check(fold(load_trained(path, compile=False)), origin=str(path))
    except EmotionError:
        raise
    except Exception as e:  # zipfile, h5py and Keras each raise their own
        raise EmotionError(f"{path} is not a model of `emotion train` ({first_line(e)})") from e


def _settings(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and facts of the run in `folder`; empty where there is none."""
    path = folder / "settings.json"
    if not path.exists():
        return {}, {}
    try:
        body = json.loads(path.read_text())
        return dict(body["settings"]), dict(body["facts"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise EmotionError(f"{path} is damaged ({type(e).__name__} {e})") from e
