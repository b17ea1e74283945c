"""`python -m sink`: one sink process."""

import sys

import cv2

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.types import CAMERA_NAME
from emotion_stream.shared.process.service import Service, open_streams
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.settings.options import CommonOptions, LinkOptions
from emotion_stream.shared.settings.result_options import (
    EventOptions,
    KeepOptions,
    LanguageOptions,
    ShowOptions,
    SinkOptions,
    WebOptions,
)
from emotion_stream.shared.settings.writing import with_file
from emotion_stream.shared.words.words import chosen
from emotion_stream.sink.catalogue import open_outputs, parse
from emotion_stream.sink.events.names import camera_names
from emotion_stream.sink.events.watch import Watcher
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.retention.rules import rules
from emotion_stream.sink.tracking.follow import Follower, following


def run(values: Values) -> None:
    """Show and store results until told to stop.

    Raises:
        EmotionError: the server cannot be reached, or an output is gone for good.
        UsageError: an output or the sink's name is wrong.
    """
    cv2.setNumThreads(1)  # processes scale better than threads inside OpenCV
    options, show = build(SinkOptions, values), build(ShowOptions, values)
    link = build(LinkOptions, values)
    if not CAMERA_NAME.fullmatch(options.sink):
        raise UsageError(f"--sink {options.sink!r}: use letters, digits, '_', '.' and '-', 64 at the most")
    parse(options.output)
    web = with_file(build(WebOptions, values), values)
    language = build(LanguageOptions, values).language
    chosen(language)  # refused here if it is wrong
    events = build(EventOptions, values)
    names = camera_names(events)
    kept = rules(build(KeepOptions, values))
    follower = Follower(following(options.confirm, options.smoothing, show.uncertain))
    service = Service("sink", link.slot, build(CommonOptions, values), link.parent)
    service.start()
    streams = open_streams(link, service)
    try:
        Sink(
            service,
            streams,
            options.sink,
            lambda: open_outputs(
                options.output,
                many=options.per_camera,
                fps=options.video_fps,
                web=web,
                cameras=options.expect,
                notice=show.notice,
                language=language,
                announce=link.parent is None,  # else the runner does
                end=service.end_run,
                events=events,
                left_out=lambda output, count: service.metrics.events_left_out(output).inc(count),
                kept=kept,
            ),
            options.hold_back,
            Watchdog(link.watchdog),
            follower,
            show.blur_faces,
            own_run=link.parent is not None,
            blur_delay=show.blur_delay,
            watcher=Watcher(events.event_hold, names),
        ).run()
    finally:
        service.close(streams)


COMMAND = Command(
    "sink",
    "Show and store results in order: stream `emotions` in.",
    (LinkOptions, SinkOptions, ShowOptions, LanguageOptions, WebOptions, EventOptions, KeepOptions, CommonOptions),
    run,
    without=("claim_after", "max_deliveries", "max_age"),
    is_stage=True,
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
