"""The model manifest: what a detector and a classifier must agree on, and how good the model is.

`models/artifacts/NAME/manifest.json` is the single source of the labels' order, the crop's size and margin, the
preprocessing, the calibration and the checksums. Detectors read it without loading any model.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.types import ModelSpec

ARTIFACTS = Path(__file__).resolve().parents[2] / "models" / "artifacts"
MODELS = ("half", "full")
"""The models that are shipped, by the name of their folder. The first one is served by default."""
DEFAULT_ARTIFACTS = ARTIFACTS / MODELS[0]
BALANCED = 0.5
"""Strength of `--prior balanced`: rare emotions gain most of what they can, common ones lose little (figures: the
model card)."""
PRIORS = {"natural": 0.0, "balanced": BALANCED}


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What was fitted to a head for one strength of the prior adjustment.

    Attributes:
        prior: the strength, 0 to 1.
        sharpness: for each class, what the adjusted log probabilities of a face are divided by before the softmax
            where that class is the most probable.
        uncertain_below: probability of the top class below which it is better not to answer.
    """

    prior: float
    sharpness: tuple[float, ...]
    uncertain_below: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How logits become the probabilities that are served: `softmax((logits / temperature - offset) / sharpness)`,
    with the sharpness of the class that is largest. No class changes places with the most probable one by it.

    Attributes:
        prior: the strength of the prior adjustment that it holds.
        temperature: the logits are divided by this.
        offset: to subtract then, one number per class; empty: nothing.
        sharpness: one number per class; empty: 1.
        uncertain_below: probability of the top class below which it is better not to answer; None: not known.
    """

    prior: float
    temperature: float
    offset: tuple[float, ...] = ()
    sharpness: tuple[float, ...] = ()
    uncertain_below: float | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """One output of the network.

    Attributes:
        name: of the output.
        temperature: its logits are divided by this before the softmax.
        uncertain_below: probability of the top class below which it is better not to answer; None: not known.
        counts: training images of each class, in the order of the labels; empty: not known.
        prior: strength of the prior adjustment that is served unless another is asked for.
        adjusted: what was fitted for some strengths, by rising strength; empty: nothing.
    """

    name: str
    temperature: float
    uncertain_below: float | None = None
    counts: tuple[float, ...] = ()
    prior: float = 0.0
    adjusted: tuple[Adjusted, ...] = ()

    def calibration(self, prior: float | None = None) -> Calibration:
        """How logits become probabilities at the strength `prior`, 0 to 1; None: as the model says.

        `prior` times the logarithm of each class's share of the training images is subtracted from the logarithm
        of its calibrated probability (logit adjustment, Menon et al. 2021, arXiv:2007.07314). Between strengths
        that were fitted, sharpness and threshold are interpolated.

        Raises:
            UsageError: the model does not tell how many images of each class it was trained on.
        """
        strength = self.prior if prior is None else prior
        if strength and not self.counts:
            raise UsageError(
                f"--prior {strength:g}: the model does not tell how many images of each class taught its head"
                f" {self.name!r}, so only --prior natural works with it; export it again with --data"
            )
        shares = [max(count, 1) / sum(self.counts) for count in self.counts]
        offset = tuple(strength * math.log(share) for share in shares) if strength else ()
        if not self.adjusted:
            return Calibration(strength, self.temperature, offset, (), self.uncertain_below)
        above = next((a for a in self.adjusted if a.prior >= strength), self.adjusted[-1])
        below = next((a for a in reversed(self.adjusted) if a.prior <= strength), self.adjusted[0])
        width = above.prior - below.prior
        part = (strength - below.prior) / width if width > 0 else 0.0
        sharpness = tuple(
            low + part * (high - low) for low, high in zip(below.sharpness, above.sharpness, strict=True)
        )
        threshold = below.uncertain_below + part * (above.uncertain_below - below.uncertain_below)
        return Calibration(strength, self.temperature, offset, sharpness, threshold)


def prior_strength(text: str | None) -> float | None:
    """The strength that `--prior` names: `natural` is 0, `balanced` is `BALANCED`; None: as the model says. Pure.

    Raises:
        UsageError: it is neither of these words nor a number from 0 to 1.
    """
    if text is None or text in PRIORS:
        return None if text is None else PRIORS[text]
    try:
        strength = float(text)
    except ValueError:
        strength = math.nan
    if not 0 <= strength <= 1:
        raise UsageError(f"--prior {text}: it is natural, balanced or a number from 0 to 1")
    return strength


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
        """What a detector must know of the model to cut faces for it."""
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
    return Head(
        str(body["name"]),
        float(body["temperature"]),
        None if threshold is None else float(threshold),
        tuple(float(count) for count in body.get("counts", ())),
        float(body.get("prior", 0.0)),
        tuple(
            Adjusted(float(a["prior"]), tuple(map(float, a["sharpness"])), float(a["uncertain_below"]))
            for a in body.get("adjusted", ())
        ),
    )


def model_directory(model: str | None) -> Path:
    """Where the model called `model` lies: one of `MODELS`, a folder, or the default for None. Pure."""
    if model is None:
        return DEFAULT_ARTIFACTS
    return ARTIFACTS / model if model in MODELS else Path(model)


def load_manifest(directory: Path = DEFAULT_ARTIFACTS) -> Manifest:
    """Read `manifest.json` in `directory`.

    Raises:
        EmotionError: it is missing, is not JSON, or lacks a key.
    """
    path = directory / "manifest.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
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
