"""Finds the JPEGs in a stream of bytes, whatever stands between them.

MJPEG servers disagree on everything around a picture: boundaries, headers, lengths. They agree on JPEG's own
markers, so only those count: lengths and boundaries that are wrong or missing do no harm.
"""

import re

from emotion_stream.shared.messages.jpeg import EOI, SOI

LIMIT = 32 * 1024 * 1024
"""Bytes that are held at the most: a picture that is longer is given up."""

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PART = re.compile(
    rb"(?:\r?\n)?--[\x20-\x7e]*\r?\n(?:[\x20-\x7e]*\r?\n)*\Z|\r?\n(?:[A-Za-z-]+:[\x20-\x7e]*\r?\n)+\r?\n\Z"
)
"""A boundary and the head of a part, or such a head alone, at the end of what came before a picture."""
_LONGEST_PART = 4096
_START_OF_SCAN = 0xDA
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


class Splitter:
    """Takes bytes as they come; gives each picture as soon as its last byte is there.

    Pictures inside a picture (thumbnails in EXIF data) belong to it. One without an end marker ends where the next
    one begins. What is no picture is passed over, also what a broken one has left.

    Attributes:
        passed_over: bytes so far that were given up as parts of broken pictures.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.passed_over = 0
        self._limit = limit
        self._held = bytearray()
        self._at = 0
        self._in_scan = False

    @property
    def held(self) -> int:
        """Bytes that wait for the rest of their picture."""
        return len(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """The pictures that are complete with `data`."""
        self._held += data
        found = []
        while (picture := self._next()) is not None:
            if picture:
                found.append(picture)
        if len(self._held) > self._limit:
            self._give_up(len(self._held))
        return found

    def finish(self) -> list[bytes]:
        """What is left when nothing more comes: a last picture without an end marker."""
        last = _without_head(bytes(self._held)) if self._in_scan else b""
        self._begin(len(self._held))
        return [last] if last else []

    def _next(self) -> bytes | None:
        """A picture, b"" where something was given up, None where more bytes are wanted."""
        if not self._at:
            start = self._held.find(SOI + b"\xff")
            if start < 0:
                del self._held[: -len(SOI)]
                return None
            del self._held[:start]
            self._at = len(SOI)
        while True:
            found = (_IN_SCAN if self._in_scan else _MARKER).search(self._held, self._at)
            if found is None:
                self._at = max(self._at, len(self._held) - 1)
                return None
            marker, at = self._held[found.end() - 1], found.end()
            if marker == EOI[1]:
                return self._take(at) if self._in_scan else self._give_up(at)
            if marker == SOI[1]:
                if len(self._held) <= at:
                    self._at = found.start()
                    return None
                whole = self._in_scan and self._held[at] == 0xFF
                return _without_head(self._take(found.start())) if whole else self._give_up(found.start())
            if marker in _WITHOUT_LENGTH and not self._in_scan:
                self._at = at
                continue
            if marker < 0xC0:
                return self._give_up(at)
            length = int.from_bytes(self._held[at : at + 2]) if at + 2 <= len(self._held) else None
            if length is not None and length < 2:
                return self._give_up(at)
            if length is None or at + length > len(self._held):
                self._at = found.start()
                return None
            self._in_scan |= marker == _START_OF_SCAN
            self._at = at + length

    def _take(self, end: int) -> bytes:
        picture = bytes(self._held[:end])
        self._begin(end)
        return picture

    def _give_up(self, end: int) -> bytes:
        self.passed_over += end
        self._begin(end)
        return b""

    def _begin(self, at: int) -> None:
        del self._held[:at]
        self._at, self._in_scan = 0, False


def _without_head(picture: bytes) -> bytes:
    """A picture without an end marker, without what announces the next one."""
    end = _PART.search(picture, max(0, len(picture) - _LONGEST_PART))
    return picture[: end.start()] if end else picture
