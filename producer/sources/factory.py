"""Makes sources from their descriptions."""

import contextlib
import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

from emotion_stream.producer.cameras.device import CameraCapture
from emotion_stream.producer.cameras.grab import Capture
from emotion_stream.producer.cameras.listen import Ear
from emotion_stream.producer.cameras.mjpeg import MjpegCapture, OtherMedium
from emotion_stream.producer.cameras.source import LiveSource
from emotion_stream.producer.cameras.url import OPEN_TIMEOUT, UrlCapture
from emotion_stream.producer.pictures.source import Context, Source
from emotion_stream.producer.sources.ahead import Ahead
from emotion_stream.producer.sources.clips import Animation, Clips
from emotion_stream.producer.sources.folder import Pictures, folder_clips
from emotion_stream.producer.sources.kinds import kind_of
from emotion_stream.producer.sources.spec import SourceSpec, printable
from emotion_stream.shared.messages.types import Mode
from emotion_stream.shared.settings.options import ProducerOptions


def make_source(
    spec: SourceSpec,
    mode: Mode,
    options: ProducerOptions,
    context: Context,
    *,
    required: bool = False,
    ear: Ear | None = None,
) -> Source:
    """The source that `spec` describes, not opened yet. In lossless mode a URL is read like a file.

    With `required` a URL has to deliver when it is opened, as a camera has; without, it is waited for.
    What is live is heard by `ear`, where it has sound.
    """
    if spec.kind == "pictures":
        clips = folder_clips(spec)
        if clips:
            return Clips(
                spec,
                lambda file: make_source(replace(spec, kind="video", target=file), mode, options, context),
                clips,
            )
        # Live they are a slide show, for eyes; lossless they go as fast as the pipeline can.
        return Pictures(spec, context, _slides(options) if mode == "live" else options.fps)
    if spec.kind == "video" and os.path.isfile(spec.target) and kind_of(Path(spec.target)) == "animation":
        return Animation(spec, context)
    if spec.kind == "video" or (spec.kind == "url" and mode == "lossless"):
        from emotion_stream.producer.sources.files import (
            Video,  # only where it is wanted: a producer is back sooner without FFmpeg
        )

        if ear is not None and spec.kind == "url":
            ear.hears_nothing("sound is kept in live mode only")
        video = Video(spec, context)
        return Ahead(video) if spec.kind == "video" and mode == "lossless" else video
    stall = options.stall_after
    if spec.kind == "camera":
        index = int(spec.target)
        if ear is not None:
            ear.hears_nothing("cameras of this machine send pictures only")
        return LiveSource(
            spec.name, spec.target, context, lambda _: CameraCapture(index), required=True, stall_after=stall
        )
    if spec.target.lower().startswith("http") and options.fps:
        stall = max(stall, 2 / options.fps)  # as slow as snapshots are asked for
    opener = partial(_open_url, spec, options, ear)
    whole = not options.fps  # else pictures are left out because somebody wants it
    return LiveSource(
        spec.name,
        printable(spec.target),
        context,
        opener,
        required=required,
        stall_after=stall,
        whole=whole,
        ear=ear,
    )


def _slides(options: ProducerOptions) -> float:
    """Pictures per second of a slide show. Its cap leaves none out: they stay longer."""
    return min(1 / options.still_seconds, options.fps or math.inf)


def _open_url(spec: SourceSpec, options: ProducerOptions, ear: Ear | None, stop: Event) -> Capture:
    """Pictures over HTTP are read here, in whatever dialect; all else is FFmpeg's."""
    url = spec.target
    if url.lower().startswith("http"):
        with contextlib.suppress(OtherMedium):
            pictures = MjpegCapture(url, max(options.stall_after, OPEN_TIMEOUT), stop, options.fps)
            if ear is not None:
                ear.hears_nothing("pictures over HTTP (MJPEG) have no sound")
            return pictures
    return UrlCapture(url, options.stall_after, stop, spec.transport or options.rtsp_transport, spec.stream, ear)
