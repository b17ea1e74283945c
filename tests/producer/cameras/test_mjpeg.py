"""HTTP cameras in the dialects that are reported of real ones, over real sockets."""

import hashlib
import itertools
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from emotion_stream.producer.cameras.grab import CaptureError
from emotion_stream.producer.cameras.mjpeg import HttpPictures, MjpegCapture, OtherMedium
from emotion_stream.producer.cameras.splitter import Splitter
from emotion_stream.producer.loop import run_producers
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.streams.shard import Streams
from tests.producer.conftest import Factory
from tests.producer.test_producer import frames
from tests.producer.test_sources import Counts
from tests.support.pictures import SAMPLE, encode, sample_frames

NEXT = b"--frame\r\n"
TYPE = b"Content-Type: image/jpeg\r\n"
MULTIPART = "multipart/x-mixed-replace; boundary="


@cache
def jpegs() -> tuple[bytes, ...]:
    return tuple(encode(frame[::2, ::2]) for frame in sample_frames()[80:90])


def with_thumbnail(jpeg: bytes) -> bytes:
    inner = b"Exif\0\0" + jpegs()[0]
    return jpeg[:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2) + inner + jpeg[2:]


def part(jpeg: bytes, length: int | None = None, head: bytes = TYPE) -> bytes:
    size = len(jpeg) if length is None else length
    return NEXT + head + b"Content-Length: %d\r\n\r\n" % size + jpeg + b"\r\n"


Wrap = Callable[[bytes], bytes]
DIALECTS: dict[str, tuple[str, Wrap]] = {
    "as it should be": (MULTIPART + "frame", part),
    "no first boundary": (MULTIPART + "frame", lambda j: TYPE + b"\r\n" + j + b"\r\n" + NEXT),
    "image/jpg": (MULTIPART + "frame", lambda j: part(j, head=b"Content-Type: image/jpg\r\n")),
    "no type of a part": (MULTIPART + "frame", lambda j: part(j, head=b"")),
    "no head of a part": (MULTIPART + "frame", lambda j: NEXT + b"\r\n" + j + b"\r\n"),
    "a length too short": (MULTIPART + "frame", lambda j: part(j, len(j) // 2)),
    "a length too long": (MULTIPART + "frame", lambda j: part(j, len(j) + 999)),
    "no length": (MULTIPART + "frame", lambda j: NEXT + TYPE + b"\r\n" + j + b"\r\n"),
    "another boundary": (MULTIPART + "other", part),
    "dashes in the boundary": (MULTIPART + "--frame", part),
    "no boundary": ("multipart/x-mixed-replace", part),
    "bare line feeds": (
        MULTIPART + "frame",
        lambda j: part(j).replace(j, b"\0").replace(b"\r\n", b"\n").replace(b"\0", j),
    ),
    "raw pictures": ("video/x-motion-jpeg", lambda j: j),
    "raw pictures as image/jpeg": ("image/jpeg", lambda j: j),
    "raw pictures as bytes": ("application/octet-stream", lambda j: j),
    "text/html": ("text/html", part),
    "padded": (MULTIPART + "frame", lambda j: part(j + bytes(700))),
    "no end marker": (MULTIPART + "frame", lambda j: part(j[:-2])),
    "raw without end markers": ("video/x-mjpeg", lambda j: j[:-2]),
    "a thumbnail inside": (MULTIPART + "frame", lambda j: part(with_thumbnail(j))),
    "junk between": (MULTIPART + "frame", lambda j: b"\0\xff\xd8junk\xff\xd9" + part(j) + b"\xff\xff\xd9\r\n"),
}


@dataclass
class Camera:
    """An HTTP server. `answer` is called for each request."""

    answer: Callable[[BaseHTTPRequestHandler], None]
    requests: list[float] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Camera]:
    camera = Camera(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            camera.requests.append(time.monotonic())
            self.close_connection = True
            try:
                camera.answer(self)
            except (BrokenPipeError, ConnectionResetError):
                return

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    camera.url = f"http://127.0.0.1:{server.server_port}/live"
    try:
        yield camera
    finally:
        server.shutdown()
        server.server_close()


def answer(request: BaseHTTPRequestHandler, kind: str, body: bytes | None = None, status: int = 200) -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind)
    if body is not None:
        request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body or b"")


def stream(kind: str, wrap: Wrap, first: bytes = b"", pause: float = 0.01) -> Callable[..., None]:
    def go(request: BaseHTTPRequestHandler) -> None:
        answer(request, kind)
        request.wfile.write(first)
        for jpeg in itertools.cycle(jpegs()):
            request.wfile.write(wrap(jpeg))
            time.sleep(pause)

    return go


# --- finding pictures --------------------------------------------------------------------------------------------


def split(data: bytes, seed: int, largest: int) -> list[bytes]:
    rng, splitter, at, found = random.Random(seed), Splitter(), 0, []
    while at < len(data):
        size = rng.randint(1, largest)
        found += splitter.feed(data[at : at + size])
        at += size
    return found + splitter.finish()


@pytest.mark.parametrize("largest", [3, 100, 5000, 10**6])
@pytest.mark.parametrize("name", list(DIALECTS))
def test_every_picture_is_found_wherever_the_pieces_end(name: str, largest: int) -> None:
    wrap = DIALECTS[name][1]
    sent = [with_thumbnail(j) if "thumbnail" in name else j for j in jpegs()[:4]]
    found = split(b"HTTP nonsense\r\n" + b"".join(map(wrap, jpegs()[:4])), 1, largest)
    if "end marker" in name:
        assert [j.removesuffix(b"\r\n") for j in found] == [j[:-2] for j in sent]
    else:
        assert found == sent


def test_a_picture_comes_with_its_last_byte() -> None:
    splitter, jpeg = Splitter(), jpegs()[0]
    assert splitter.feed(jpeg[:-1]) == []
    assert splitter.feed(jpeg[-1:]) == [jpeg]


def test_what_is_cut_off_costs_no_other_picture() -> None:
    good = jpegs()[:6]
    for cut in (2, 10, 200, 700, len(good[1]) // 2):
        found = split(b"".join(part(j[:cut] if n == 1 else j) for n, j in enumerate(good)), cut, 5000)
        assert [j for j in found if j in good] == [good[0], *good[2:]]


@pytest.mark.parametrize(
    "filler", [b"\0", b"\xff", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\xff\xff", b"\xff\xd8\xff\xd9"]
)
def test_memory_and_time_are_bounded(filler: bytes) -> None:
    splitter = Splitter(limit=200_000)
    started = time.process_time()
    for _ in range(100):
        splitter.feed(filler * (50_000 // len(filler)))
        assert splitter.held <= 250_000
    scan = jpegs()[0][: jpegs()[0].index(b"\xff\xda") + 20]
    splitter.feed(scan)
    for _ in range(100):  # a picture that never ends
        splitter.feed(b"\x55" * 50_000)
        assert splitter.held <= 250_000
    assert splitter.passed_over > 100_000
    assert time.process_time() - started < 3
    assert jpegs()[1] in splitter.feed(jpegs()[1] + jpegs()[1])


# --- over HTTP ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(DIALECTS))
def test_every_dialect_delivers(name: str) -> None:
    kind, wrap = DIALECTS[name]
    with serving(stream(kind, wrap)) as camera:
        capture = MjpegCapture(camera.url, 10, threading.Event())
        images = [capture.read() for _ in range(12)]
        capture.close()
    for sample, jpeg in zip(images[1:], itertools.islice(itertools.cycle(jpegs()), 1, None), strict=False):
        assert sample is not None
        assert sample.image.shape == (180, 320, 3)
        assert np.abs(sample.image.astype(int) - sample_frames()[80 + jpegs().index(jpeg)][::2, ::2]).mean() < 8
    assert len(camera.requests) == 1


def test_a_preamble_is_passed_over() -> None:
    with serving(stream(MULTIPART + "frame", part, b"This is a camera.\r\n" * 900)) as camera:
        capture = MjpegCapture(camera.url, 10, threading.Event())
        assert capture.read() is not None
        capture.close()


def test_broken_pictures_are_left_out_and_only_broken_ones_are_told() -> None:
    numbers = itertools.count()
    half: Wrap = lambda j: part(j if next(numbers) % 2 else j[: len(j) // 2])  # noqa: E731
    with serving(stream(MULTIPART + "frame", half)) as camera:
        capture = MjpegCapture(camera.url, 10, threading.Event())
        assert all(capture.read() is not None for _ in range(10))
        capture.close()
    with serving(stream(MULTIPART + "frame", lambda j: part(j[:500] + b"\xff\xd9"))) as camera:
        capture = MjpegCapture(camera.url, 1, threading.Event())
        with pytest.raises(CaptureError, match="no whole picture"):
            capture.read()
        capture.close()


@pytest.mark.parametrize("kind", ["image/jpeg", "image/jpg", "application/octet-stream", "text/plain"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_one_picture_for_each_request_is_polled(kind: str, suffix: str) -> None:
    pictures = itertools.cycle([encode(frame, suffix) for frame in sample_frames()[80:84]])
    with serving(lambda request: answer(request, kind, next(pictures))) as camera:
        source = HttpPictures(camera.url, 10, threading.Event(), rate=20)
        found = [source.next() for _ in range(8)]
        source.close()
        assert source.kind == "snapshot"
    assert len(set(found)) == 4
    asked = np.diff(camera.requests)
    assert len(asked) == 7
    assert np.mean(asked) > 0.045  # not faster than was wanted; slower on a busy machine


def test_a_snapshot_camera_runs_without_a_reopening(
    factory: Factory, streams: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = itertools.cycle(jpegs())
    counts, stop = Counts(), threading.Event()
    with serving(lambda request: answer(request, "image/jpeg", next(pictures))) as camera:
        options = ProducerOptions(source=(f"cam={camera.url}",), fps=10, stall_after=0.5)
        thread = threading.Thread(target=run_producers, args=(options, factory, stop, counts), daemon=True)
        thread.start()
        deadline = time.monotonic() + 40
        while len(frames(streams)) < 12 and time.monotonic() < deadline:
            time.sleep(0.02)
        stop.set()
        thread.join(10)
    assert len(frames(streams)) >= 12
    assert counts.reopened == 0
    assert "opening it again" not in caplog.text


@pytest.mark.parametrize("rate", [0.5, 5])
def test_slow_polling_stops_at_once(rate: float) -> None:
    stop = threading.Event()
    with serving(lambda request: answer(request, "image/jpeg", jpegs()[0])) as camera:
        source = HttpPictures(camera.url, 10, stop, rate)
        assert source.next() is not None
        threading.Timer(0.1, stop.set).start()
        started = time.monotonic()
        assert source.next() is None or rate > 1
        assert time.monotonic() - started < 1.5
        source.close()


def test_what_sends_no_pictures_is_left_to_others() -> None:
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n"
    clip = SAMPLE.read_bytes()
    for kind, body in (
        ("application/vnd.apple.mpegurl", playlist),
        ("video/mp4", clip),
        ("application/octet-stream", clip),
        ("text/html", b"<html>login</html>"),
    ):
        other = partial(answer, kind=kind, body=body)
        with serving(other) as camera, pytest.raises(OtherMedium):
            HttpPictures(camera.url, 10, threading.Event())


@pytest.mark.parametrize(("status", "told"), [(401, "401 Unauthorized"), (404, "404 Not Found"), (503, "503")])
def test_a_refusal_is_told_in_the_servers_words(status: int, told: str) -> None:
    refusing = partial(answer, kind="text/html", body=b"no", status=status)
    with serving(refusing) as camera, pytest.raises(CaptureError, match=told):
        HttpPictures(camera.url, 10, threading.Event())
    with pytest.raises(CaptureError, match="refused"):
        HttpPictures(camera.url, 10, threading.Event())


def digest(request: BaseHTTPRequestHandler) -> None:
    """A camera that wants a digest of the password `p@ss:1/2`."""
    given = dict(re.findall(r'(\w+)="?([^",]+)"?', request.headers.get("Authorization", "")))
    one = hashlib.md5(b"admin:cam:p@ss:1/2").hexdigest()
    two = hashlib.md5(b"GET:/live").hexdigest()
    parts = [one, given.get("nonce"), given.get("nc"), given.get("cnonce"), given.get("qop"), two]
    if given.get("response") == hashlib.md5(":".join(map(str, parts)).encode()).hexdigest():
        stream(MULTIPART + "frame", part)(request)
        return
    request.send_response(401)
    request.send_header("WWW-Authenticate", 'Digest realm="cam", nonce="abc", qop="auth", algorithm=MD5')
    request.send_header("Content-Length", "0")
    request.end_headers()


def test_a_camera_that_wants_a_digest_gets_one_and_a_wrong_password_is_tried_once() -> None:
    with serving(digest) as camera:
        right, wrong = (camera.url.replace("//", f"//admin:{p}@") for p in ("p%40ss:1%2F2", "wrong"))
        capture = MjpegCapture(right, 10, threading.Event())
        assert capture.read() is not None
        capture.close()
        before = len(camera.requests)
        with pytest.raises(CaptureError, match="401"):
            MjpegCapture(wrong, 10, threading.Event())
        assert len(camera.requests) - before == 2  # the question, and one answer: cameras lock themselves
