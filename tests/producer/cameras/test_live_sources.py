"""Sources that are live: scripted cameras, and URLs of a real server."""

import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from emotion_stream.producer.cameras import source as source_module
from emotion_stream.producer.cameras.grab import Capture, CaptureError, FreezeWatch, Sample
from emotion_stream.producer.cameras.source import LiveSource
from emotion_stream.producer.pictures.source import Context, Image
from emotion_stream.producer.signals import Signals
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import check_cameras, parse_source, parse_sources, printable
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.signal import State
from emotion_stream.shared.settings.options import ProducerOptions
from tests.producer.test_sources import context, encoded, noise, read_all, same, write_video

# --- cameras and URLs --------------------------------------------------------------------------------------


def test_a_camera_that_is_not_there_is_one_clear_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EmotionError, match=r"camera 97 cannot be opened: .*emotion cameras"):
        read_all_live("97")
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has a file for each camera")
def test_a_camera_that_is_not_plugged_in_is_told_without_opening_it() -> None:
    with pytest.raises(EmotionError, match=r"source 97: no such camera; .*emotion cameras"):
        check_cameras(parse_sources(["hall=97"]))
    check_cameras(parse_sources(["sample", "rtsp://cam/1"]))


def read_all_live(text: str) -> None:
    source = make_source(parse_source(text), "live", ProducerOptions(), context())
    try:
        source.open()
    finally:
        source.close()


@dataclass
class Scripted:
    """A camera of a few pictures, each after `delay` seconds; then it fails, or repeats the last one."""

    pictures: list[Image]
    delay: float = 0.01
    repeat: bool = False
    finite: bool = False
    waits: str | None = None
    heard: float = 0.0

    def read(self) -> Sample | None:
        time.sleep(self.delay)
        if self.pictures:
            image = self.pictures.pop(0)
            if not self.pictures and self.repeat:
                self.pictures.append(image)
            return Sample(image, zlib.crc32(image.data))
        if self.finite:
            return None
        raise CaptureError("cable pulled")

    def close(self) -> None:
        pass


def live(captures: list[Callable[[], Capture]], stall_after: float = 0.3) -> tuple[LiveSource, Context]:
    signals = Signals()
    signals.expect("cam", "rtsp://cam/1")
    shared = replace(context(), tell=signals.tell)

    def opener(_: threading.Event) -> Capture:
        return captures.pop(0)() if len(captures) > 1 else captures[0]()

    source = LiveSource(
        "cam", "rtsp://cam/1", shared, opener, required=False, stall_after=stall_after, first_wait=0.05
    )
    return source, shared


def refuse() -> Capture:
    raise CaptureError("unreachable")


def test_a_lost_camera_is_opened_again() -> None:
    source, shared = live([lambda: Scripted([noise(seed=1)]), refuse, lambda: Scripted([noise(seed=2)])])
    source.open()
    first, second = source.read(), source.read()
    assert first is not None
    assert second is not None
    assert same(first, noise(seed=1))
    assert same(second, noise(seed=2))
    assert second.media_time > first.media_time
    assert shared.observer.reopened == 2  # type: ignore[attr-defined]
    source.close()


def test_attempts_are_told_once_and_without_password(caplog: pytest.LogCaptureFixture) -> None:
    source, shared = live([refuse])
    threading.Timer(1.0, shared.stop.set).start()
    source.open()
    assert source.read() is None
    assert shared.observer.reopened >= 2  # type: ignore[attr-defined]
    assert [r.message for r in caplog.records] == ["camera cam (rtsp://cam/1): unreachable; opening it again"]


def test_only_the_newest_picture_counts() -> None:
    images = [np.full((4, 4, 3), i, np.uint8) for i in range(100)]
    source, _ = live([lambda: Scripted(images, delay=0.005)])
    source.open()
    source.read()
    time.sleep(0.2)
    picture = source.read()
    assert picture is not None
    assert picture.image is not None
    assert 10 < picture.image[0, 0, 0] < 90
    assert time.time() - picture.captured_at < 0.1
    source.close()


def lively(count: int = 80) -> list[Image]:
    """Pictures of a camera that has noise, as all real ones."""
    return [noise(seed=n) for n in range(count)]


def test_a_frozen_camera_is_told_kept_and_replaced_by_one_that_moves(caplog: pytest.LogCaptureFixture) -> None:
    """It goes on delivering, while a second connection is tried again, until one shows something else."""
    frozen = Scripted([*lively(), noise(seed=1000)], delay=0.002, repeat=True)
    same_again = Scripted([noise(seed=1000)], repeat=True)
    moving = Scripted(lively(1000)[500:], delay=0.02)
    source, shared = live([lambda: frozen, lambda: same_again, refuse, lambda: moving])
    told: list[tuple[str, str | None]] = []
    tell = shared.tell

    def listen(camera: str, state: State, reason: str | None = None, retry: float | None = None) -> None:
        told.append((state, reason))
        tell(camera, state, reason, retry)

    source._context = replace(shared, tell=listen)
    source_module.SPARE, before = 0.4, source_module.SPARE
    try:
        source.open()
        still = 0
        while "frozen" not in [state for state, _ in told]:
            assert source.read() is not None
        while not same(picture := source.read(), noise(seed=501)) and still < 2000:
            assert picture is not None
            still += same(picture, noise(seed=1000))
        for _ in range(3):
            assert source.read() is not None
    finally:
        source_module.SPARE = before
        source.close()
    assert 5 < still < 2000, "its pictures go on while it is frozen"
    states = [state for state, _ in told]
    assert states.index("live") < states.index("frozen") < len(states) - states[::-1].index("live")
    assert {"frozen, the same picture to the last bit all the time"} == {r for s, r in told if s == "frozen"}
    assert "lost" not in states
    assert shared.observer.reopened == 1  # type: ignore[attr-defined]
    assert caplog.text.count("trying a second connection") == 1


@pytest.mark.parametrize("before", [[], [noise(seed=1), noise(seed=2)] * 3])
def test_a_still_scene_is_no_frozen_camera(before: list[Image], caplog: pytest.LogCaptureFixture) -> None:
    """A night, a lens cover, a slide: nothing is told, nothing is hung up, what comes then is there at once."""
    still = [np.zeros((48, 64, 3), np.uint8)] * 150
    people = [noise(seed=n) for n in range(100, 110)]
    source, shared = live([lambda: Scripted([*before, *still, *people], delay=0.01), refuse])
    source.open()
    seen = [source.read() for _ in range(len(before) + len(still))]
    while not same(source.read(), people[-1]):
        pass
    source.close()
    assert len(seen) > 100
    assert shared.observer.reopened == 0  # type: ignore[attr-defined]
    assert not caplog.records


def test_a_camera_that_repeats_a_time_stamp_is_frozen() -> None:
    """However still it was before: two pictures cannot be of one moment."""
    watch = FreezeWatch(1.0)
    image = np.zeros((8, 8, 3), np.uint8)
    for n in range(50):
        assert watch.look(Sample(image, 7, stamp=n / 25), n / 25) is None
    told = [watch.look(Sample(image, 7, stamp=2.0), 2 + n / 25) for n in range(50)]
    assert told[-1] is None, "some time stamps of this picture did go on"
    assert watch.look(Sample(image, 8, stamp=2.0), 5) is None
    told = [watch.look(Sample(image, 8, stamp=2.0), 5 + n / 25) for n in range(50)]
    assert told[10] is None
    assert told[-1] == "frozen, the same picture and time stamp all the time"


def test_a_slide_show_may_stay() -> None:
    """A picture that stays for a while now and then is what this source does."""
    watch = FreezeWatch(1.0)
    image = np.zeros((8, 8, 3), np.uint8)
    now = 0.0
    for slide in range(1, 10):
        for _ in range(250):
            now += 0.04
            assert watch.look(Sample(image, slide), now) is None


def test_a_silent_camera_is_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    silent = Scripted([noise(seed=1), noise(seed=2)], delay=1.0)
    source, _ = live([lambda: silent, lambda: Scripted([noise(seed=3)])])
    source.open()
    picture = source.read()
    assert picture is not None
    assert same(picture, noise(seed=3))
    assert "nothing new for 0.3 s" in caplog.text
    source.close()


def test_a_recording_on_the_net_ends() -> None:
    source, _ = live([lambda: Scripted([noise(seed=1)], finite=True)])
    source.open()
    assert source.read() is not None
    assert source.read() is None
    source.close()


@pytest.mark.parametrize("whole", [True, False])
def test_of_a_recording_nothing_is_left_out(whole: bool) -> None:
    """Whoever is slow gets all of its pictures, later, unless fewer are wanted."""
    how = {"required": False, "stall_after": 0.3, "whole": whole}
    clip = Scripted(lively(30), delay=0.002, finite=True)
    source = LiveSource("cam", "http://cam/1.mp4", context(), lambda _: clip, **how)  # type: ignore[arg-type]
    source.open()
    found = []
    while (picture := source.read()) is not None:
        found.append(picture)
        time.sleep(0.03)
    source.close()
    assert len(found) == 30 if whole else len(found) < 30
    # What came before the first one that was asked for does not count.
    assert sum(picture.skipped for picture in found) <= 30 - len(found)


class _Mjpeg(BaseHTTPRequestHandler):
    """Serves an endless MJPEG stream at /live and a clip at /clip.mp4; both want a password."""

    clip = b""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Basic bWU6Z2VoZWlt":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/clip.mp4":
            self.send_header("Content-Length", str(len(self.clip)))
            self.end_headers()
            self.wfile.write(self.clip)
            return
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for n in range(10_000):
                jpeg = encoded(".jpg", noise(seed=n))
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                time.sleep(0.01)
        except OSError:
            pass

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    _Mjpeg.clip = write_video(tmp_path / "clip.mp4", 10).read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Mjpeg)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"me:geheim@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_mjpeg_over_http(host: str) -> None:
    source = make_source(parse_source(f"http://{host}/live"), "live", ProducerOptions(), context())
    source.open()
    pictures = [source.read() for _ in range(5)]
    source.close()
    assert all(p is not None and p.image is not None and p.image.shape == (48, 64, 3) for p in pictures)
    assert "geheim" not in source.url


def test_a_clip_over_http_live_and_lossless(host: str) -> None:
    url = f"http://{host}/clip.mp4"
    assert len(read_all(url)) == 10
    source = make_source(parse_source(url), "live", ProducerOptions(), context())
    source.open()
    began = time.monotonic()
    pictures = list(iter(source.read, None))
    source.close()
    assert pictures
    assert time.monotonic() - began > 0.25  # 10 frames at 25 a second: at its own rate
    last = pictures[-1].image
    assert last is not None
    assert last[40, 50, 0] == pytest.approx(82, abs=6)


def test_an_unreachable_url_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    spec = parse_source("cam=http://me:geheim@127.0.0.1:1/x")
    signals = Signals()
    signals.expect("cam", printable(spec.target))
    shared = replace(context(), tell=signals.tell)
    source = make_source(spec, "live", ProducerOptions(), shared)
    source.open()

    def stop() -> None:
        deadline = time.monotonic() + 60
        while "connection refused" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.05)
        shared.stop.set()

    threading.Thread(target=stop).start()
    assert source.read() is None
    source.close()
    assert "connection refused" in caplog.text
    assert "geheim" not in caplog.text
    with pytest.raises(EmotionError, match="Connection refused") as caught:
        make_source(spec, "lossless", ProducerOptions(), context()).open()
    assert "geheim" not in str(caught.value)
