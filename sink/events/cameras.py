"""How cameras do, put together from all that a sink knows of it: what producers say, and what comes."""

from collections.abc import Collection, Mapping

from emotion_stream.shared.messages.signal import Signal
from emotion_stream.sink.events.event import Event
from emotion_stream.sink.events.watch import Watcher

SILENT = "no results"
"""The reason where a producer says nothing of trouble, or nothing at all: it may be dead, or a stage behind it."""


def camera_events(
    watcher: Watcher,
    signals: Mapping[str, Signal],
    comes: Mapping[str, bool],
    over: Collection[str],
    now: float,
) -> list[Event]:
    """What has changed since the last look, about once a second.

    Args:
        watcher: knows what was told before.
        signals: camera to how it does, as its producer says it.
        comes: live cameras that have given results, and whether results come still.
        over: cameras at their end, all of whose frames are shown.
        now: wall-clock seconds.
    """
    events: list[Event] = []
    for camera in over:
        events += watcher.ended(camera, now)
    for camera in signals.keys() | comes.keys():
        signal = signals.get(camera)
        if camera in over or (signal is not None and signal.state == "ended"):
            continue  # a recording at its end is not lost; frames of it may be under way
        if not comes.get(camera, True) and (signal is None or signal.state == "live"):
            events += watcher.camera_state(camera, "lost", SILENT, now)
        elif signal is None:
            events += watcher.camera_state(camera, "live", None, now)
        else:
            since = signal.since
            if signal.state == "live" and since <= watcher.lost_at(camera):
                since = now  # it was silent, and its producer has noticed nothing
            events += watcher.camera_state(camera, signal.state, signal.reason, since)
    return events
