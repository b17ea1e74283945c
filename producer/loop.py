"""The producer's loop: all cameras or none at the start, no silent failure afterwards."""

import logging
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from emotion_stream.producer.changes import Assignment, assign
from emotion_stream.producer.crew import Crew
from emotion_stream.producer.link import Streams
from emotion_stream.producer.live import new_epoch
from emotion_stream.producer.member import Base
from emotion_stream.producer.pictures.source import Context, Nobody, Observer
from emotion_stream.producer.roll import Roll
from emotion_stream.producer.signals import Signals
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import SourceSpec, plan
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.signal import State
from emotion_stream.shared.messages.types import Mode
from emotion_stream.shared.settings.cameras import Camera
from emotion_stream.shared.settings.options import ProducerOptions

log = logging.getLogger(__name__)

TURN = 0.05
LOOK_AGAIN = 0.01


@dataclass(frozen=True, slots=True)
class Given:
    """What a producer is given: its options, and the tables of the settings file."""

    options: ProducerOptions
    cameras: tuple[Camera, ...] = ()


Read = Callable[[Given], tuple[Assignment, ...]]
"""Makes cameras to be produced of what is given; raises `EmotionError` where that cannot be."""
News = Callable[[Read], tuple[Assignment, ...] | None]
"""Asked now and then: reads what is given from now on; None: the same as before."""


def check_recordings(options: ProducerOptions, cameras: Sequence[Camera] = ()) -> None:
    """Open and close every file and folder of `options` and `cameras`, so that a wrong one is told before a run
    begins.

    Raises:
        UsageError: the options do not fit together.
        EmotionError: one of them cannot be read.
    """
    mode, specs = plan(options, cameras)
    for spec in specs:
        check_recording(spec, mode, options)


def check_recording(spec: SourceSpec, mode: Mode, options: ProducerOptions) -> None:
    """Open and close one source, if it is a file or a folder.

    Raises:
        EmotionError: it cannot be read.
    """
    if spec.kind in ("video", "pictures"):
        source = make_source(spec, mode, options, Context(threading.Event(), Nobody()))
        try:
            source.open()
        finally:
            source.close()


def plan_again(given: Given, mode: Mode, *, patient: bool = False) -> tuple[SourceSpec, ...]:
    """The sources of a producer that runs in this mode already. With `only_cameras`, none is fine, too.

    Raises:
        UsageError, EmotionError: as `plan`; or one of them cannot join, or none is left.
    """
    options, cameras = replace(given.options, only_cameras=()), given.cameras
    if not cameras and not options.source:
        if given.options.only_cameras and mode == "live":
            return ()
        raise UsageError("there is no camera left in the settings file")
    other, specs = plan(options, cameras, patient=patient)
    if mode == "lossless" and other == "live":
        live = next(spec.name for spec in specs if spec.mode == "live")
        raise UsageError(
            f"[cameras.{live}], source: it is live, and this run reads files without leaving a frame out: start"
            " another one for it, or begin this one anew with --mode live"
        )
    return specs


def run_producers(
    options: ProducerOptions,
    streams_for: Callable[[str], Streams],
    stop: threading.Event,
    observer: Observer,
    alive: Callable[[], None] = lambda: None,
    name: str = "",
    roll: Roll | None = None,
    signals: Signals | None = None,
    cameras: Sequence[Camera] = (),
    news: News = lambda read: None,
) -> None:
    """Produce all sources of `options` and `cameras`, those with settings of their own, until they end or `stop`
    is set.

    With a `roll`, in live mode, a source that cannot be opened or fails is entered there and tried again, and the
    others go on: a camera that is away takes nobody down.

    `signals` is told how each camera does; it reaches Redis, for sinks to show.

    `name` is a name of this process that it keeps over restarts: with it a restarted one need not wait until the
    leases of the one before run out.

    Every camera gets streams of its own, those of its shard, from `streams_for`, and the keeper of its lease
    others. `alive` is called, from any thread, whenever a loop turns. Nothing is appended unless every
    source could be opened, but with a `roll`.

    `news` is asked now and then what is given from now on. Cameras come and go accordingly, and none of the others
    misses a frame.

    Raises:
        UsageError: the options are wrong.
        EmotionError: a source cannot be opened, or failed later; the others have been stopped.
    """
    patient = roll is not None
    mode, specs = plan(options, cameras, patient=patient)
    if mode != "live":
        roll = None
    halt = threading.Event()
    known = signals or Signals()

    def tell(camera: str, state: State, reason: str | None = None, retry: float | None = None) -> None:
        known.tell(camera, state, reason, retry)
        if roll is not None and state == "lost":
            roll.away(camera, reason or "no signal")

    def read(given: Given) -> tuple[Assignment, ...]:
        return assign(plan_again(given, mode, patient=patient), given.options, given.cameras)

    context = Context(halt, observer, alive, tell)
    run = options.run_id or new_epoch()
    crew = Crew(Base(mode, run, name or secrets.token_hex(8), streams_for, context, known, roll))
    relay = threading.Thread(target=_relay, args=(stop, crew, halt), name="stop", daemon=True)
    relay.start()
    try:
        if crew.open(assign(specs, options, cameras)) and _may_go(options.go, halt, alive):
            crew.start()
            while (crew.busy or (mode == "live" and crew.empty)) and not halt.wait(TURN):
                found = news(read)
                if found is not None:
                    crew.change(found)
    finally:
        crew.close()


def _may_go(file: str, halt: threading.Event, alive: Callable[[], None]) -> bool:
    """Wait for `file`, if one is named. False: told to stop meanwhile."""
    while file and not os.path.exists(file):
        alive()
        if halt.wait(LOOK_AGAIN):
            return False
    return True


def _relay(stop: threading.Event, crew: Crew, halt: threading.Event) -> None:
    """Pass the wish to stop on; our own event is separate, so that a failure does not look like a wish."""
    while not halt.is_set():
        if stop.wait(TURN):
            crew.halt()
