"""`python -m detector_worker`: one detector process."""

import sys
from collections.abc import Sequence
from pathlib import Path

from detector_worker.detector import Detector
from shared.cli import Command, Values
from shared.codec import decode_frame, encode_detections
from shared.manifest import DEFAULT_ARTIFACTS, load_manifest
from shared.messages import Detections, Frame
from shared.metrics import Metrics
from shared.options import CommonOptions, DetectorOptions, LinkOptions, ModelOptions
from shared.settings import build
from shared.streams import Streams
from shared.worker import Route, serve


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
    manifest = load_manifest(Path(build(ModelOptions, values).model or DEFAULT_ARTIFACTS))
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
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
