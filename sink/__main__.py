"""`python -m sink`: one sink process."""

import sys

import cv2

from shared.cli import Command, Values
from shared.errors import UsageError
from shared.messages import CAMERA_NAME
from shared.options import CommonOptions, LinkOptions, ShowOptions, SinkOptions, WebOptions
from shared.service import Service, open_streams
from shared.settings import build
from shared.watchdog import Watchdog
from sink.follow import Follower, following
from sink.loop import Sink
from sink.outputs import open_outputs, parse


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
    web = build(WebOptions, values)
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
                announce=link.parent is None,  # else the runner does
                end=service.end_run,
            ),
            options.hold_back,
            Watchdog(link.watchdog),
            follower,
            show.blur_faces,
        ).run()
    finally:
        service.close(streams)


COMMAND = Command(
    "sink",
    "Show and store results in order: stream `emotions` in.",
    (LinkOptions, SinkOptions, ShowOptions, WebOptions, CommonOptions),
    run,
    without=("claim_after", "max_deliveries", "max_age"),
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
