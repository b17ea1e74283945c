"""`python -m classifier_worker`: one classifier process."""

import sys
from collections.abc import Sequence

from emotion_stream.classifier_worker.classifier import Classifier
from emotion_stream.shared.messages.codec import decode_detections, encode_emotions
from emotion_stream.shared.messages.manifest import load_manifest, model_directory
from emotion_stream.shared.messages.types import Detections, Emotions
from emotion_stream.shared.process.metrics import Metrics
from emotion_stream.shared.process.worker import Route, serve
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.settings.options import ClassifierOptions, CommonOptions, LinkOptions, ModelOptions
from emotion_stream.shared.streams.shard import Streams


def observe(metrics: Metrics, results: Sequence[Emotions]) -> None:
    """Count predictions by emotion."""
    for result in results:
        metrics.faces.inc(len(result.faces))
        for face in result.faces:
            best = max(range(len(face.probabilities)), key=face.probabilities.__getitem__)
            metrics.predictions(result.labels[best]).inc()


def route(streams: Streams) -> Route[Detections, Emotions]:
    """Faces in, emotions out."""
    return Route(
        group="classifier",
        source=streams.keys.faces,
        target=streams.keys.emotions,
        decode=decode_detections,
        encode=lambda e: encode_emotions(e)[b"m"],
        observe=observe,
    )


def run(values: Values) -> None:
    """Label faces until told to stop."""
    options = build(ClassifierOptions, values)
    manifest = load_manifest(model_directory(build(ModelOptions, values).model))
    serve(
        "classifier",
        Classifier(options, manifest),
        route,
        values,
        options.classify_batch,
        lambda metrics: metrics.model(manifest.id, options.precision, options.backend),
        gather=options.classify_wait,
        patience=6,  # the detector has spent time on them already: throwing them away now would waste it
    )


COMMAND = Command(
    "classifier",
    "Label faces with emotions: stream `faces` in, stream `emotions` out.",
    (LinkOptions, ClassifierOptions, ModelOptions, CommonOptions),
    run,
    is_stage=True,
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
