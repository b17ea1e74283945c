"""`python -m producer`: one producer process."""

import sys
from dataclasses import replace

import cv2

from emotion_stream.producer.changes import Assignment
from emotion_stream.producer.loop import Given, Read, run_producers
from emotion_stream.producer.roll import Roll
from emotion_stream.producer.signals import Signals
from emotion_stream.shared.process.metrics import Metrics
from emotion_stream.shared.process.service import Service, open_streams
from emotion_stream.shared.settings.cameras import cameras_of
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.settings.options import CommonOptions, LinkOptions, ProducerOptions
from emotion_stream.shared.settings.reread import Reread
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.shared.streams.keys import shard_of


class MetricsObserver:
    """Counts what cameras do in the process's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def frames(self, n: int) -> None:
        """Add to `emotion_frames_total`."""
        self._metrics.frames.inc(n)

    def dropped(self, reason: str, n: int) -> None:
        """Add to `emotion_dropped_frames_total`, by reason."""
        self._metrics.dropped(reason).inc(n)

    def errors(self, n: int) -> None:
        """Add to `emotion_decode_errors_total`."""
        self._metrics.decode_errors.inc(n)

    def reconnects(self) -> None:
        """Add to `emotion_camera_reopens_total`."""
        self._metrics.camera_reopens.inc()


def run(values: Values) -> None:
    """Produce until the sources end or the process is told to stop.

    Raises:
        EmotionError: a source cannot be opened or failed, or the server cannot be reached at the start.
        UsageError: the options are wrong.
    """
    cv2.setNumThreads(1)  # processes scale better than threads inside OpenCV
    options = build(ProducerOptions, values)
    link = build(LinkOptions, values)
    service = Service("producer", link.slot, build(CommonOptions, values), link.parent)
    service.start()
    streams = open_streams(link, service)
    # On its own it waits for its cameras; a runner would tell at once, and end.
    roll = Roll() if link.parent is None else None
    if roll is not None:
        service.check = roll.check
    watch = options.watch_settings or build(WebOptions, values).editable
    reread = Reread(values, service.asked, watch=watch)

    def news(read: Read) -> tuple[Assignment, ...] | None:
        return reread.news(lambda values: read(Given(build(ProducerOptions, values), cameras_of(values))))

    stop_watching = service.watch(streams)
    try:
        run_producers(
            options,
            lambda camera: open_streams(replace(link, shard=shard_of(camera, link.shards)), service),
            service.stop,
            MetricsObserver(service.metrics),
            service.heartbeat.beat,
            name=service.worker if link.slot else "",
            roll=roll,
            signals=Signals(service.metrics.camera_problems),
            cameras=cameras_of(values),
            news=news,
        )
    finally:
        stop_watching()
        service.close(streams)


COMMAND = Command(
    "producer",
    "Read cameras, URLs, video files or folders of pictures: stream `frames` out.",
    (LinkOptions, ProducerOptions, CommonOptions),
    run,
    without=("shard", "claim_after", "watchdog", "max_deliveries", "max_age"),
    is_stage=True,
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
