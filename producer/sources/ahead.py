"""Reads a source in a thread of its own: a picture is decoded while the one before it is encoded and sent."""

import queue
import threading

from emotion_stream.producer.pictures.source import Picture, Source
from emotion_stream.shared.messages.types import Mode

DEPTH = 2
"""Pictures that are decoded ahead; each one of 4K takes 25 MB."""
TURN = 0.1
"""Seconds between two looks at whether anybody still wants pictures."""


class Ahead:
    """A `Source` that delivers what another one does, a little earlier. For files: a network may hang for long."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._pictures: queue.Queue[Picture | BaseException | None] = queue.Queue(DEPTH)
        self._ended = False

    @property
    def name(self) -> str:
        """As that of the source."""
        return self._source.name

    @property
    def url(self) -> str:
        """As that of the source."""
        return self._source.url

    @property
    def mode(self) -> Mode:
        """As that of the source."""
        return self._source.mode

    @property
    def rate(self) -> float | None:
        """As that of the source."""
        return self._source.rate

    def open(self, start: int = 0) -> None:
        """See `Source.open`."""
        self._stop_reading()
        self._source.open(start)
        self._over, self._pictures, self._ended = threading.Event(), queue.Queue(DEPTH), False
        self._thread = threading.Thread(target=self._read_on, name=f"decode-{self.name}", daemon=True)
        self._thread.start()

    def read(self) -> Picture | None:
        """See `Source.read`. What the source raised, this raises."""
        if self._ended or self._thread is None:
            return None
        found = self._pictures.get()
        if isinstance(found, Picture):
            return found
        self._ended = True
        if found is not None:
            raise found
        return None

    def close(self) -> None:
        """See `Source.close`."""
        self._stop_reading()
        self._source.close()

    def _stop_reading(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _read_on(self) -> None:
        while True:
            found: Picture | BaseException | None
            try:
                found = self._source.read()
            except BaseException as e:
                found = e
            while not self._over.is_set():
                try:
                    self._pictures.put(found, timeout=TURN)
                    break
                except queue.Full:
                    continue
            if self._over.is_set() or not isinstance(found, Picture):
                return
