"""What a sink does with messages and pictures that cannot be read."""

import logging

from emotion_stream.shared.messages.codec import encode_emotions, salvage
from emotion_stream.shared.messages.jpeg import JpegError, decode_jpeg
from emotion_stream.shared.messages.types import Emotions, Outcome
from emotion_stream.shared.streams.access import Entry
from emotion_stream.shared.streams.groups import Done
from emotion_stream.sink.results.output import Image

log = logging.getLogger(__name__)


def set_aside(entry: Entry, reason: str) -> Done:
    """Make a dead letter and, if its place in the order is known, an error that takes that place. The error is
    appended to the stream that the message came from, in the same step, so that it cannot get lost."""
    placed = salvage(entry.fields, entry.id)
    if placed is None:
        return Done(entry.id, dead=reason)
    error = Emotions(placed.info, placed.frame_id, (), (), Outcome.error(reason))
    return Done(entry.id, encode_emotions(error)[b"m"], reason)


def picture_of(jpeg: bytes) -> Image | None:
    """Decode a picture that is to be shown; None, and a log line, where it is broken."""
    try:
        return decode_jpeg(jpeg, color=True)
    except JpegError as e:  # nobody has sent us this frame through a detector
        log.warning("a picture cannot be shown: %s", e)
        return None
