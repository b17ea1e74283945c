"""HTTP cameras that send JPEGs: MJPEG in all its dialects, and addresses that give one picture a request."""

import http.client
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections import deque
from typing import Any, Literal

from emotion_stream import __version__
from emotion_stream.producer.cameras.grab import CaptureError, Sample
from emotion_stream.producer.cameras.reasons import plain
from emotion_stream.producer.cameras.splitter import LIMIT, Splitter
from emotion_stream.producer.pictures.header import read_header
from emotion_stream.producer.pictures.pixels import decode
from emotion_stream.producer.pictures.source import Image, too_large
from emotion_stream.shared.messages.jpeg import EOI, SOI, ended

SNAPSHOTS = 2.0
"""Pictures a second that are asked for where one request gives one picture, unless `--fps` says otherwise."""
PIECE = 64 * 1024
MOST_BROKEN = 25
"""Pictures in a row that may be broken."""
MOST_JUNK = 8 * 1024 * 1024
"""Bytes without a picture after which a server is not believed to send any."""
_HEAD = 4096
_TURN = 0.2
_PICTURES = (SOI + b"\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"GIF8")
_TEXT = bytes((9, 10, 13, *range(0x20, 0x7F)))


class OtherMedium(Exception):
    """The server sends something else than pictures."""


class HttpPictures:
    """The pictures of an HTTP camera, as the bytes that it sends. Used by one thread.

    Attributes:
        kind: "mjpeg" (one answer that does not end), "snapshot" (one picture for each request), or "" before that
            is known.
        content_type: what the server calls it.
        heard: when bytes came last, seconds of the monotonic clock.
    """

    def __init__(self, url: str, timeout: float, stop: threading.Event, rate: float | None = None) -> None:
        """Connect, and look at what comes.

        Args:
            url: http:// or https://, with user and password where they are needed.
            timeout: seconds that the server may be silent.
            stop: gives up waiting for the next snapshot when it is set.
            rate: snapshots a second.

        Raises:
            OtherMedium: it sends no pictures, or speaks no HTTP that is understood here.
            CaptureError: it is not there, or refuses.
        """
        self.kind: Literal["", "mjpeg", "snapshot"] = ""
        self._opener, self._request = _prepared(url)
        self._timeout = timeout
        self._stop = stop
        self._interval = 1 / (rate or SNAPSHOTS)
        self._splitter = Splitter()
        self.heard = time.monotonic()
        self._ready: deque[bytes] = deque()
        self._answer = self._ask()
        self.content_type = str(self._answer.headers.get_content_type())
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def next(self) -> bytes | None:
        """The next picture, as soon as it is complete. None: told to stop, or the stream has ended.

        Raises:
            CaptureError: the server does not answer any more.
        """
        since = time.monotonic()
        while not self._ready:
            if self._stop.is_set():
                return None
            if self.kind != "snapshot" and time.monotonic() - since > self._timeout:
                raise CaptureError("no whole picture in what it sends")
            piece = self._piece()
            if piece:
                self._take(piece)
            elif not self._again():
                return None
        self._count += 1
        return self._ready.popleft()

    def close(self) -> None:
        """Hang up."""
        self._answer.close()

    def _ask(self) -> http.client.HTTPResponse:
        self._asked, self._count, self._junk = time.monotonic(), 0, 0
        try:
            answer: http.client.HTTPResponse = self._opener.open(self._request, timeout=self._timeout)
        except urllib.error.HTTPError as e:
            e.close()
            raise CaptureError(f"{e.code} {e.reason}") from None
        except urllib.error.URLError as e:
            raise CaptureError(_why(e.reason)) from None
        except OSError as e:
            raise CaptureError(_why(e)) from None
        except (http.client.HTTPException, ValueError) as e:  # no HTTP, or a way to log in that is not known here
            raise OtherMedium(type(e).__name__) from None
        if answer.headers.get_content_maintype() == "multipart":
            answer.length = None  # cameras announce nonsense for what does not end
        return answer

    def _look(self) -> None:
        """Whether pictures come, from the first bytes.

        Raises:
            OtherMedium: they do not.
        """
        kind = self._answer.headers.get_content_maintype()
        sure = kind == "multipart" or self.content_type in ("image/jpeg", "image/jpg", "image/pjpeg")
        if kind in ("video", "audio") and "jpeg" not in self.content_type:
            raise OtherMedium(self.content_type)
        head = b""
        while len(head) < _HEAD and not _begins_with_picture(head) and not (sure and head):
            piece = self._piece()
            head += piece
            if not piece:
                break
        if not sure and not _begins_with_picture(head):
            raise OtherMedium(self.content_type)
        if head.startswith(_PICTURES[1:]):
            self._ready.append(self._whole(head))
        else:
            self._take(head)

    def _whole(self, body: bytes) -> bytes:
        """All of an answer that is one picture of another format than JPEG."""
        pieces = [body]
        while (piece := self._piece()) and sum(map(len, pieces)) < LIMIT:
            pieces.append(piece)
        return b"".join(pieces)

    def _piece(self) -> bytes:
        try:
            piece = self._answer.read1(PIECE)
            self.heard = time.monotonic()
            return piece
        except (OSError, http.client.HTTPException) as e:
            raise CaptureError(_why(e)) from None
        except (ValueError, AttributeError):  # a broken chunk; or closed by `close`
            return b""

    def _take(self, piece: bytes) -> None:
        found = self._splitter.feed(piece)
        self._ready.extend(found)
        self._junk = 0 if found else self._junk + len(piece)
        if self._junk > MOST_JUNK + LIMIT:
            raise CaptureError("no JPEG pictures in what it sends")

    def _again(self) -> bool:
        """The answer has ended. Ask for the next picture, if it was a single one. False: it was a stream."""
        self._ready.extend(self._splitter.finish())
        if self._ready:
            return True
        if self.kind == "mjpeg" or self._count != 1:
            if not self._count:
                raise CaptureError("it sends no picture")
            return False
        self.kind = "snapshot"
        due = self._asked + self._interval
        while (left := due - time.monotonic()) > 0:
            if self._stop.wait(min(left, _TURN)):
                return False
        self.close()
        self._answer = self._ask()
        self._look()
        return True


class MjpegCapture:
    """An HTTP camera as a `grab.Capture`: its pictures, decoded and upright."""

    finite = False
    waits = None

    def __init__(self, url: str, timeout: float, stop: threading.Event, rate: float | None = None) -> None:
        """
        Raises:
            OtherMedium, CaptureError: as `HttpPictures`.
        """
        self._pictures = HttpPictures(url, timeout, stop, rate)
        self._ends: bool | None = None
        self._broken = 0

    @property
    def heard(self) -> float:
        """When bytes came last, seconds of the monotonic clock."""
        return self._pictures.heard

    def read(self) -> Sample | None:
        """The next picture that can be decoded; None: told to stop, or the stream has ended.

        Raises:
            CaptureError: nothing comes, or nothing that could be decoded.
        """
        while (data := self._pictures.next()) is not None:
            try:
                image = self._decoded(data)
            except ValueError as e:  # the next one is there soon
                self._broken += 1
                if self._broken >= MOST_BROKEN:
                    raise CaptureError(str(e)) from None
            else:
                self._broken = 0
                return Sample(image, zlib.crc32(data))
        return None

    def close(self) -> None:
        """Close the connection."""
        self._pictures.close()

    def _decoded(self, data: bytes) -> Image:
        if data.startswith(SOI):
            data = self._closed(data)
        header = read_header(data)
        problem = too_large(header.width, header.height)
        if problem:
            raise ValueError(problem)
        return decode(data, header)

    def _closed(self, data: bytes) -> bytes:
        """The picture with an end marker. Of a camera that writes some, one without is cut off. The first picture
        of one that writes none is decoded twice, to see that it is whole; the others are believed then.

        Raises:
            ValueError: it is cut off.
        """
        if data.endswith(EOI):
            self._ends = True
        elif self._ends:
            raise ValueError("JPEG is cut off")
        elif self._ends is None:
            data, self._ends = ended(data), False
        else:
            data += EOI
        return data


def _begins_with_picture(head: bytes) -> bool:
    """Whether these first bytes are a picture, or the head of a part and then a JPEG. Pure."""
    start = head.find(SOI + b"\xff")
    if start >= 0 and not head[:start].translate(None, _TEXT):
        return True
    return head.startswith(_PICTURES[1:]) and (head[:4] != b"RIFF" or head[8:12] == b"WEBP")


def _prepared(url: str) -> tuple[urllib.request.OpenerDirector, urllib.request.Request]:
    """What asks, and what is asked. Certificates are not looked at: cameras sign theirs themselves."""
    parts = urllib.parse.urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    path = urllib.parse.quote(parts.path or "/", safe="%/:=&?~+!$,;'@()*[]")
    query = urllib.parse.quote(parts.query, safe="%/:=&?~+!$,;'@()*[]")
    address = urllib.parse.urlunsplit((parts.scheme.lower(), place, path, query, ""))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    handlers: list[Any] = [urllib.request.HTTPSHandler(context=context)]
    if parts.username:
        known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        user, password = (urllib.parse.unquote(text or "") for text in (parts.username, parts.password))
        known.add_password(None, f"{parts.scheme.lower()}://{place}", user, password)
        handlers += [urllib.request.HTTPBasicAuthHandler(known), _Digest(known)]
    request = urllib.request.Request(
        address, headers={"User-Agent": f"emotion-stream/{__version__}", "Accept": "*/*"}
    )
    return urllib.request.build_opener(*handlers), request


class _Digest(urllib.request.HTTPDigestAuthHandler):
    """Tries a password once: cameras lock themselves after a few wrong ones."""

    def http_error_auth_reqed(
        self, auth_header: str, host: str, req: urllib.request.Request, headers: http.client.HTTPMessage
    ) -> None:
        if self.retried:  # type: ignore[attr-defined]
            self.reset_retry_count()
            raise urllib.error.HTTPError(req.full_url, 401, "Unauthorized", headers, None)
        return super().http_error_auth_reqed(auth_header, host, req, headers)


def _why(error: object) -> str:
    """What the system says, in a few words and without the URL. Pure."""
    if isinstance(error, TimeoutError):
        return "timed out"
    return plain(str(getattr(error, "strerror", None) or type(error).__name__).splitlines()[0][:200])
