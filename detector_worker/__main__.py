"""`python -m detector_worker`: one detector process."""

import sys
from collections.abc import Sequence

from emotion_stream.detector_worker.detector import Detector
from emotion_stream.shared.messages.codec import decode_frame, encode_detections
from emotion_stream.shared.messages.manifest import load_manifest, model_directory
from emotion_stream.shared.messages.types import Detections, Frame
from emotion_stream.shared.process.metrics import Metrics
from emotion_stream.shared.process.worker import Route, serve
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.settings.options import CommonOptions, DetectorOptions, LinkOptions, ModelOptions
from emotion_stream.shared.streams.shard import Streams


def observe(metrics: Metrics, results: Sequence[Detections]) -> None:
    """Count faces."""
    metrics.faces.inc(sum(len(d.faces) for d in results))


def route(streams: Streams) -> Route[Frame, Detections]:
    """Frames in, faces out."""
    return Route(
        group="detector",
        source=streams.keys.frames,
        target=streams.keys.faces,
        decode=decode_frame,
        encode=lambda d: encode_detections(d)[b"m"],
        observe=observe,
    )


def run(values: Values) -> None:
    """Find faces until told to stop."""
    options = build(DetectorOptions, values)
    manifest = load_manifest(model_directory(build(ModelOptions, values).model))
    serve(
        "detector",
        Detector(options, manifest.spec),
        route,
        values,
        options.detect_batch,
        lambda metrics: metrics.model(manifest.id),
    )


COMMAND = Command(
    "detector",
    "Find faces: stream `frames` in, stream `faces` out.",
    (LinkOptions, DetectorOptions, ModelOptions, CommonOptions),
    run,
    is_stage=True,
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
