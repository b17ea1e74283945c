"""Makes sources from their descriptions."""

from producer.ahead import Ahead
from producer.camera import CameraCapture
from producer.folder import Pictures
from producer.grab import LiveSource
from producer.source import Context, Source
from producer.spec import SourceSpec
from producer.url import UrlCapture
from shared.messages import Mode
from shared.options import ProducerOptions


def make_source(spec: SourceSpec, mode: Mode, options: ProducerOptions, context: Context) -> Source:
    """The source that `spec` describes, not opened yet. In lossless mode a URL is read like a file."""
    if spec.kind == "pictures":
        return Pictures(spec, context, options.fps)
    if spec.kind == "video" or (spec.kind == "url" and mode == "lossless"):
        from producer.files import Video  # only where it is wanted: a producer is back sooner without FFmpeg

        video = Video(spec, context)
        return Ahead(video) if spec.kind == "video" and mode == "lossless" else video
    stall = options.stall_after
    if spec.kind == "camera":
        index = int(spec.target)
        return LiveSource(spec, context, lambda _: CameraCapture(index), required=True, stall_after=stall)
    url = spec.target
    return LiveSource(spec, context, lambda stop: UrlCapture(url, stall, stop), required=False, stall_after=stall)
