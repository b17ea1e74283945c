"""The classifier stage: crops of many frames in, probabilities of emotions out."""

from collections.abc import Iterator, Sequence

import numpy as np

from classifier_worker.backend import Backend
from classifier_worker.openvino_backend import REBUILT, OpenVinoBackend
from classifier_worker.tensorflow_backend import TensorFlowBackend
from models.calibration import softmax
from shared.errors import UsageError
from shared.manifest import Manifest
from shared.messages import Detections, Emotions, Message, ModelSpec, Outcome, Prediction
from shared.options import ClassifierOptions


class Classifier:
    """Labels the faces of a batch of frames, of all cameras together, in one go (a `shared.stage.Stage`)."""

    def __init__(self, options: ClassifierOptions, manifest: Manifest) -> None:
        """
        Raises:
            UsageError: the model has no head or precision of the name asked for.
        """
        check_served(options, manifest)
        self._manifest = manifest
        self._head = manifest.head(options.head or manifest.default_head)
        self._backend = make_backend(options, manifest, self._head.name)

    def open(self) -> None:
        """Load the model and warm it up.

        Raises:
            EmotionError: the engine or a file of the model is missing or damaged.
        """
        self._backend.open()

    def process(self, batch: Sequence[Detections]) -> Sequence[Emotions]:
        """One result per message, in order; a message cropped for another model becomes an error."""
        faults = [self._fault(message) for message in batch]
        good = [message for message, fault in zip(batch, faults, strict=True) if fault is None]
        rows = iter(self._probabilities([face.pixels for message in good for face in message.faces]))
        return [
            self._labelled(message, rows) if fault is None else self.pass_on(message, fault)
            for message, fault in zip(batch, faults, strict=True)
        ]

    def pass_on(self, message: Message, outcome: Outcome) -> Emotions:
        """See `shared.stage.Stage.pass_on`."""
        return Emotions(message.info, message.frame_id, self._manifest.labels, (), outcome)

    def close(self) -> None:
        """Free the model."""
        self._backend.close()

    def _fault(self, message: Detections) -> Outcome | None:
        """Why this message cannot be classified; None if it can."""
        ours, theirs = self._manifest.spec, message.model
        if theirs != ours:
            return Outcome.error(
                f"cropped for model {_describe(theirs)}, but this classifier runs {_describe(ours)}"
            )
        if any(len(face.pixels) != ours.size**2 for face in message.faces):
            return Outcome.error(f"a crop has not {ours.size} x {ours.size} bytes")
        return None

    def _probabilities(self, crops: Sequence[bytes]) -> list[list[float] | None]:
        """One row of probabilities per crop; None where the model gave no numbers."""
        size = self._manifest.size
        pixels = np.frombuffer(b"".join(crops), np.uint8).reshape(-1, size, size)
        logits = self._backend.logits(pixels).astype(np.float64)
        finite = np.asarray(np.isfinite(logits).all(axis=1))
        rows = softmax(np.where(finite[:, None], logits, 0.0), self._head.temperature).tolist()
        return [row if good else None for row, good in zip(rows, finite, strict=True)]

    def _labelled(self, message: Detections, rows: Iterator[list[float] | None]) -> Emotions:
        found = [(face, next(rows)) for face in message.faces]
        faces = tuple(Prediction(face.box, face.weight, tuple(row)) for face, row in found if row is not None)
        if len(faces) < len(found):
            return self.pass_on(message, Outcome.error("the model gave no finite number for a face"))
        below = self._head.uncertain_below
        return Emotions(message.info, message.frame_id, self._manifest.labels, faces, uncertain_below=below)


def _describe(model: ModelSpec) -> str:
    return f"{model.id} ({model.size} px, margin {model.margin:g})"


def check_served(options: ClassifierOptions, manifest: Manifest) -> None:
    """Look before anything starts whether the model has what is asked for.

    Raises:
        UsageError: it has no head, or no precision, of that name.
    """
    heads = [head.name for head in manifest.heads]
    if options.head is not None and options.head not in heads:
        raise UsageError(f"--head: the model has no head {options.head!r}; it has: {', '.join(heads)}")
    precisions = [name for name in manifest.files if name != "weights"]
    if "weights" in manifest.files:
        precisions += [name for name in REBUILT if name not in precisions]
    if options.backend == "openvino" and options.precision not in precisions:
        raise UsageError(
            f"--precision: the model in {manifest.directory} has no precision {options.precision!r};"
            f" it has: {', '.join(precisions)}"
        )


def make_backend(options: ClassifierOptions, manifest: Manifest, head: str) -> Backend:
    """The back end that `options` ask for, not yet open."""
    engines: dict[str, type[OpenVinoBackend] | type[TensorFlowBackend]] = {
        "openvino": OpenVinoBackend,
        "tensorflow": TensorFlowBackend,
    }
    return engines[options.backend](manifest, options.precision, head, options.threads)
