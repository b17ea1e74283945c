"""The classifier stage: crops of many frames in, probabilities of emotions out."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from emotion_stream.classifier_worker.backend import Backend, Pixels
from emotion_stream.classifier_worker.onnxruntime_backend import OnnxRuntimeBackend
from emotion_stream.classifier_worker.openvino_backend import REBUILT, OpenVinoBackend
from emotion_stream.classifier_worker.tensorflow_backend import TensorFlowBackend
from emotion_stream.models.calibration import probabilities
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.manifest import Manifest, prior_strength
from emotion_stream.shared.messages.types import Detections, Emotions, Message, ModelSpec, Outcome, Prediction
from emotion_stream.shared.settings.options import ClassifierOptions


class Classifier:
    """Labels the faces of a batch of frames, of all cameras together, in one go (a `shared.stage.Stage`)."""

    def __init__(self, options: ClassifierOptions, manifest: Manifest) -> None:
        """
        Raises:
            UsageError: the model has no head or precision of the name asked for.
        """
        check_served(options, manifest)
        self._manifest = manifest
        head = manifest.head(options.head or manifest.default_head)
        self._calibration = head.calibration(prior_strength(options.prior))
        self._views = options.views
        self._backend = make_backend(options, manifest, head.name)

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
        rows = iter(self._probabilities(good))
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

    def _probabilities(self, messages: Sequence[Detections]) -> list[list[float] | None]:
        """One row of probabilities per face; None where the model gave no numbers."""
        size = self._manifest.size
        faces = [(face.pixels, self._two_views(message)) for message in messages for face in message.faces]
        crops = np.frombuffer(b"".join(pixels for pixels, _ in faces), np.uint8).reshape(-1, size, size)
        logits = mean_of_views(self._backend, crops, np.array([twice for _, twice in faces], bool))
        finite = np.asarray(np.isfinite(logits).all(axis=1))
        rows = probabilities(np.where(finite[:, None], logits, 0.0), self._calibration).tolist()
        return [row if good else None for row, good in zip(rows, finite, strict=True)]

    def _two_views(self, message: Detections) -> bool:
        """Whether to look at the mirror image of each face, too. By default only for stills: there time matters
        less, and nothing is averaged over frames."""
        return message.info.still if self._views is None else self._views == 2

    def _labelled(self, message: Detections, rows: Iterator[list[float] | None]) -> Emotions:
        found = [(face, next(rows)) for face in message.faces]
        faces = tuple(
            Prediction(face.box, face.weight, tuple(row), face.landmarks) for face, row in found if row is not None
        )
        if len(faces) < len(found):
            return self.pass_on(message, Outcome.error("the model gave no finite number for a face"))
        below = self._calibration.uncertain_below
        return Emotions(message.info, message.frame_id, self._manifest.labels, faces, uncertain_below=below)


def mean_of_views(backend: Backend, crops: Pixels, twice: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Logits float64 [n, classes] of `crops` [n, size, size]; where `twice` [n] is true, the mean of those of the
    face and of its mirror image."""
    if not twice.any():
        return backend.logits(crops).astype(np.float64)
    logits = backend.logits(np.concatenate([crops, crops[twice, :, ::-1]])).astype(np.float64)
    result, mirrored = logits[: len(crops)], logits[len(crops) :]
    result[twice] = (result[twice] + mirrored) / 2
    return result


def _describe(model: ModelSpec) -> str:
    return f"{model.id} ({model.size} px, margin {model.margin:g})"


def check_served(options: ClassifierOptions, manifest: Manifest) -> None:
    """Check before anything starts that the model has what is asked for.

    Raises:
        UsageError: it has no head, or no precision, of that name, or cannot be adjusted to the prior.
    """
    heads = [head.name for head in manifest.heads]
    if options.head is not None and options.head not in heads:
        raise UsageError(f"--head: the model has no head {options.head!r}; it has: {', '.join(heads)}")
    manifest.head(options.head or manifest.default_head).calibration(prior_strength(options.prior))
    precisions = [name for name in manifest.files if name != "weights"]
    if {"weights", "int8"} & set(manifest.files):
        precisions += [name for name in REBUILT if name not in precisions]
    if options.backend == "openvino" and options.precision not in precisions:
        raise UsageError(
            f"--precision: the model in {manifest.directory} has no precision {options.precision!r};"
            f" it has: {', '.join(precisions)}"
        )


def make_backend(options: ClassifierOptions, manifest: Manifest, head: str) -> Backend:
    """The back end that `options` ask for, not yet open."""
    engines: dict[str, type[OpenVinoBackend] | type[OnnxRuntimeBackend] | type[TensorFlowBackend]] = {
        "openvino": OpenVinoBackend,
        "onnxruntime": OnnxRuntimeBackend,
        "tensorflow": TensorFlowBackend,
    }
    return engines[options.backend](manifest, options.precision, head, options.threads)
