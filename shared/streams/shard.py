"""All streams of one shard behind one object."""

from emotion_stream.shared.streams.frames import Frames
from emotion_stream.shared.streams.groups import Groups
from emotion_stream.shared.streams.letters import Letters
from emotion_stream.shared.streams.showing import Showing

LIVE_RESULTS = 20_000
"""Live mode: small messages kept in `faces` and `emotions` when nobody reads them."""


class Streams(Frames, Groups, Showing, Letters):
    """The streams of one shard, over one client. One thread at a time may use it."""
