"""The producer against network cameras that fail in every way, with real protocols over real sockets."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from emotion_stream.producer.cameras.grab import CaptureError
from emotion_stream.producer.cameras.url import UrlCapture
from emotion_stream.producer.loop import run_producers
from emotion_stream.shared.log import setup_logging
from emotion_stream.shared.messages.types import Frame
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.streams.shard import Streams
from tests.producer.conftest import Factory
from tests.producer.test_producer import frames
from tests.producer.test_sources import Counts, write_video
from tests.support.scripted_camera import PASSWORD, SIZES, Camera, HttpTalker, Mood, RtspTalker, Talker

STALL = 1.0
TALKERS = [pytest.param(HttpTalker, id="http"), pytest.param(RtspTalker, id="rtsp")]


@contextmanager
def producing(url: str, make: Factory) -> Iterator[Counts]:
    """A producer of one camera in a thread."""
    counts, failures, stop = Counts(), [], threading.Event()
    options = ProducerOptions(source=(f"cam={url}",), stall_after=STALL)

    def run() -> None:
        try:
            run_producers(options, make, stop, counts)
        except Exception as e:
            failures.append(e)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert not failures


def until(condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def after(streams: Streams, seq: int) -> list[Frame]:
    return [f for f in frames(streams) if f.info.seq > seq]


@pytest.mark.parametrize("talker", TALKERS)
def test_a_camera_that_fails_comes_back(
    talker: Callable[[], Talker], factory: Factory, streams: Streams, capfd: pytest.CaptureFixture[str]
) -> None:
    """One fault after the other; after each the picture is back, in the same epoch, numbered without gaps."""
    before = logging.getLogger().handlers[:]
    setup_logging("debug")
    camera = Camera(talker())
    moods: list[Mood] = ["stall", "freeze", "hang up", "garbage", "refuse", "larger"]
    try:
        with producing(camera.url, factory) as counts:
            until(lambda: len(frames(streams)) > 5, "nothing at all")
            for mood in moods:
                if mood == "freeze":  # only of a camera whose pictures usually differ is that told
                    last = frames(streams)[-1].info.seq
                    until(lambda n=last: len(after(streams, n)) > 80, "too few pictures")  # type: ignore[misc]
                reopened, visits = counts.reopened, camera.visits
                camera.mood = mood
                if mood == "larger":
                    until(lambda: last_size(streams) == SIZES["larger"], "the new size")
                elif mood == "garbage":
                    time.sleep(STALL)
                elif mood == "freeze":
                    until(lambda n=visits: camera.visits > n, "no second connection")  # type: ignore[misc]
                    assert counts.reopened == reopened, "the first one is kept"
                else:
                    until(lambda n=reopened: counts.reopened > n, f"{mood} is not noticed")  # type: ignore[misc]
                camera.mood = "play"
                seen = frames(streams)[-1].info.seq
                until(lambda n=seen: len(after(streams, n)) > 5, f"nothing comes after {mood}")  # type: ignore[misc]
                until(lambda: last_size(streams) == SIZES["play"], f"the right size after {mood}")
    finally:
        camera.close()
        logging.getLogger().handlers[:] = before
    found = frames(streams)
    assert len({f.info.epoch for f in found}) == 1
    for earlier, later in pairwise(f.info for f in found):  # every number is a frame, or told as left out
        assert later.seq - later.left_out == earlier.seq + 1
    times = [f.info.media_time for f in found]
    assert times == sorted(times)
    assert {(f.info.width, f.info.height) for f in found} >= set(SIZES.values())
    told = capfd.readouterr().err
    assert "opening it again" in told
    assert "it delivers again" in told
    for secret in (PASSWORD, "geh%3Aeim%401", "geh"):
        assert secret not in told
        assert all(secret not in f.info.source for f in found)


def last_size(streams: Streams) -> tuple[int, int]:
    info = frames(streams)[-1].info
    return info.width, info.height


@pytest.mark.parametrize("talker", TALKERS)
def test_a_camera_that_is_not_there_yet_is_waited_for(
    talker: Callable[[], Talker], factory: Factory, streams: Streams
) -> None:
    first = Camera(talker())
    port, url = first.port, first.url
    first.close()
    with producing(url, factory) as counts:
        until(lambda: counts.reopened >= 1, "no second attempt")
        assert frames(streams) == []
        camera = Camera(talker(), port)
        try:
            until(lambda: len(frames(streams)) > 3, "it is there now")
        finally:
            camera.close()


@pytest.mark.parametrize("talker", TALKERS)
def test_a_wrong_password_is_no_crash(
    talker: Callable[[], Talker], factory: Factory, streams: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    camera = Camera(talker())
    try:
        with producing(camera.url.replace("geh", "falsch"), factory) as counts:
            until(lambda: counts.reopened >= 1, "no second attempt")
            assert frames(streams) == []
    finally:
        camera.close()
    assert camera.visits == 0
    assert "falsch" not in caplog.text


def test_a_playlist_from_the_network_reads_no_file_of_ours(tmp_path: Path) -> None:
    """A camera's address may be anybody's: what it sends must not make us show our own files."""
    clip = write_video(tmp_path / "secret.ts", 30)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\n{}\n#EXT-X-ENDLIST\n"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            own = f"http://{self.headers['Host']}/clip.ts"
            body = clip.read_bytes()
            if self.path.endswith(".m3u8"):
                body = playlist.format(own if "own" in self.path else f"file://{clip}").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop = threading.Event()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert UrlCapture(f"{address}/own.m3u8", 5, stop).read() is not None  # a playlist as such is fine
        shown = None
        with suppress(CaptureError):
            shown = UrlCapture(f"{address}/files.m3u8", 5, stop).read()
        assert shown is None
    finally:
        server.shutdown()
        server.server_close()
