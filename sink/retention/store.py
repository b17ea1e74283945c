"""What the keeper asks of an output whose results it keeps in order, and how a full disk is borne."""

import errno
import logging
import sqlite3
import time
from pathlib import Path
from typing import Protocol

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.sound import Sound
from emotion_stream.sink.events.event import Event
from emotion_stream.sink.results.output import Image, Output, Result
from emotion_stream.sink.retention.policy import Segment

log = logging.getLogger(__name__)

FULL = {errno.ENOSPC, errno.EDQUOT}


class Store(Output, Protocol):
    """An output, seen as results that lie somewhere, the oldest of which may go."""

    kind: str
    """As in `--output`: `jsonl`."""
    target: Path
    """The file or folder that the user named."""
    limit: int | None
    """Bytes at which a file ends, and another one begins; None: only its period ends it."""

    def size(self) -> int:
        """Bytes that all its results take, as of the last flush."""

    def growing(self) -> int:
        """Bytes by which closing a file may grow it."""

    def writing(self) -> int:
        """How many files are being written."""

    def oldest(self) -> Segment | None:
        """What would go first; never what is being written."""

    def remove(self, segment: Segment, until: float) -> bool:
        """Remove this segment, the oldest, or as much of it as can be done until then (seconds of the monotonic
        clock). Returns whether anything went. Whatever in it is not ours stays."""

    def rest(self, now: float) -> None:
        """Finish files that nothing comes for any more; `now` is seconds since 1970."""

    def let_go(self, camera: str) -> None:
        """See `sink.results.leaving.Leaving`."""

    def stop(self) -> None:
        """Finish all files, also on a full disk: what is there can be read. Writing begins new ones."""

    def forget(self) -> None:
        """See `sink.output.Buffering`."""

    def tell(self, event: Event) -> None:
        """See `sink.events.event.Listener`."""

    def hear(self, sound: Sound) -> None:
        """See `sink.results.hearing.Hearing`."""


def is_full(error: EmotionError) -> bool:
    """Whether an output failed because its disk, or a quota, is full."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return getattr(cause, "errno", None) in FULL


class Held:
    """A store that stands a full disk: it is not written until there is room again, and all else goes on.

    Attributes:
        store: what is written.
        paused: whether it is not written now.
        left_out: results, or events, that were not written therefore.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.needs_image = store.needs_image
        self.paused = False
        self.failed_at: float | None = None
        self.left_out = 0
        self._since = 0
        self._told = False

    def write(self, result: Result, image: Image | None) -> None:
        """Write a result, unless the disk is full."""
        if self._admits():
            try:
                self.store.write(result, image)
            except EmotionError as e:
                self._bear(e)

    def tell(self, event: Event) -> None:
        """Write an event, unless the disk is full."""
        if self.store.kind == "events" and self._admits():
            try:
                self.store.tell(event)
            except EmotionError as e:
                self._bear(e)

    def flush(self) -> None:
        """Hand what is written to the operating system."""
        if not self.paused:
            try:
                self.store.flush()
            except EmotionError as e:
                self._bear(e)
            else:
                self._wrote()

    def forget(self) -> None:
        """See `sink.output.Buffering`."""
        self.store.forget()

    def close(self) -> None:
        """Finish all files."""
        try:
            self.store.close()
        except EmotionError as e:
            self._bear(e)

    def rest(self, now: float) -> None:
        """Finish files that nothing comes for any more."""
        try:
            self.store.rest(now)
        except EmotionError as e:
            self._bear(e)

    def let_go(self, camera: str) -> None:
        """A camera is gone: finish its files."""
        try:
            self.store.let_go(camera)
        except EmotionError as e:
            self._bear(e)

    def pause(self, why: str, at: float | None = None) -> None:
        """Write nothing until `go_on`, and say so once; `at`: when writing failed, monotonic seconds."""
        self.paused, self.failed_at = True, at
        if not self._told:
            self._told = True
            log.warning("%s: %s: it is not written until there is room; all else goes on", self._name, why)
        self.store.stop()

    def go_on(self) -> None:
        """There is room again, it seems."""
        self.paused = False

    @property
    def _name(self) -> str:
        return f"{self.store.kind}={self.store.target}"

    def _admits(self) -> bool:
        if self.paused:
            self.left_out += 1
            return False
        self._since += 1
        return True

    def _wrote(self) -> None:
        if self._told and self._since:
            self._told = False
            log.info("%s: there is room again: it is written; %d were left out so far", self._name, self.left_out)
        self._since = 0

    def _bear(self, error: EmotionError) -> None:
        """
        Raises:
            EmotionError: this one, where it tells of anything but a full disk.
        """
        if not is_full(error):
            raise error
        self.left_out += self._since
        self._since = 0
        self.pause(str(error), time.monotonic())


class HeldVideo(Held):
    """One that wants the sound of cameras, too."""

    def hear(self, sound: Sound) -> None:
        """See `sink.results.hearing.Hearing`."""
        self.store.hear(sound)
