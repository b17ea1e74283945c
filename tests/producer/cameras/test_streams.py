"""Streams over the network as they are: rare key frames, clocks that jump, bursts; over real HTTP."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from emotion_stream.producer.link import Job
from emotion_stream.producer.live import run_live
from emotion_stream.producer.loop import run_producers
from emotion_stream.producer.pictures.source import Context, Picture
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import parse_source
from emotion_stream.shared.messages.signal import State
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.streams.shard import Streams
from tests.producer.cameras.test_mjpeg import answer, serving
from tests.producer.conftest import Factory
from tests.producer.test_producer import frames, options
from tests.producer.test_sources import Counts, context, noise
from tests.support.scripted_camera import Camera, H264Talker, RtspTalker

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg makes the streams")
RATE = 25


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


def pictures(seconds: float) -> tuple[str, ...]:
    return "-f", "lavfi", "-t", str(seconds), "-i", f"testsrc=size=160x96:rate={RATE}"


@contextmanager
def files(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A server of a folder: its address, and what was asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


class Heard:
    """What a source tells."""

    def __init__(self) -> None:
        self.told: list[tuple[State, str | None]] = []

    def __call__(self, camera: str, state: State, reason: str | None = None, retry: float | None = None) -> None:
        if not self.told or self.told[-1] != (state, reason):
            self.told.append((state, reason))


def at_the_rate_of_the_medium(stream: Path, begin: int, request: BaseHTTPRequestHandler) -> None:
    """Send a transport stream from its byte `begin` on, as fast as it was made, for ever."""
    data = stream.read_bytes()
    request.send_response(200)
    request.send_header("Content-Type", "video/mp2t")
    request.send_header("Connection", "close")
    request.end_headers()
    per_turn = len(data) // (12 * 20) // 188 * 188 + 188
    for at in range(begin, len(data), per_turn):
        request.wfile.write(data[at : at + per_turn])
        time.sleep(0.05)


def test_a_stream_with_rare_key_frames_is_waited_for(tmp_path: Path) -> None:
    """One key frame in 6 s, joined just behind one, with a stall after 1 s: its packets are life."""
    stream = tmp_path / "rare.ts"
    ffmpeg(*pictures(12), "-c:v", "mpeg2video", "-g", 150, "-sc_threshold", 1e9, "-b:v", "400k", "-muxrate",
           "800k", "-pat_period", "0.1", stream)  # fmt: skip
    begin = stream.stat().st_size // 12 // 188 * 188
    heard = Heard()
    with serving(partial(at_the_rate_of_the_medium, stream, begin)) as camera:
        shared = replace(context(), tell=heard)
        given = ProducerOptions(stall_after=1.0)
        source = make_source(parse_source(camera.url), "live", given, shared)
        source.open()
        began = time.monotonic()
        picture = source.read()
        lasted = time.monotonic() - began
        source.close()
    assert picture is not None
    assert lasted > 2, "it was joined behind a key frame"
    assert shared.observer.reopened == 0  # type: ignore[attr-defined]
    assert [state for state, _ in heard.told][-1] == "live"
    assert all(state != "lost" for state, _ in heard.told)


def test_a_camera_with_rare_key_frames_says_what_it_waits_for(tmp_path: Path) -> None:
    """RTSP, a key frame in 6 s, joined in the middle, a stall after 1 s."""
    stream = tmp_path / "rare.h264"
    ffmpeg(*pictures(12), "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
           "-x264-params", "aud=1:keyint=150:min-keyint=150:scenecut=0", "-f", "h264", stream)  # fmt: skip
    camera = Camera(H264Talker(stream.read_bytes(), first=30))
    heard = Heard()
    shared = replace(context(), tell=heard)
    try:
        source = make_source(parse_source(camera.url), "live", ProducerOptions(stall_after=1.0), shared)
        source.open()
        began = time.monotonic()
        found = [source.read() for _ in range(20)]
        lasted = time.monotonic() - began
        source.close()
    finally:
        camera.close()
    assert all(found)
    assert lasted > 3, "it was joined behind a key frame"
    assert heard.told == [("waiting", "waiting for a key frame"), ("live", None)]
    assert shared.observer.reopened == 0  # type: ignore[attr-defined]
    assert camera.visits == 1


@pytest.mark.parametrize(("kind", "jump"), [("mkv", 7200), ("mp4", 7200), ("ts", -7)])
@pytest.mark.parametrize("way", ["lossless", "live", "http"])
def test_a_recording_whose_clock_jumps_plays_once_and_evenly(
    kind: str, way: str, jump: int, factory: Factory, streams: Streams, tmp_path: Path
) -> None:
    if jump < 0:
        # Other formats hold none that goes back: two recordings, joined.
        for name, offset in (("a", 10), ("b", 10 + 38 / RATE + jump)):
            count = 38 if name == "a" else 37
            ffmpeg(*pictures(3), "-frames:v", count, "-c:v", "mpeg2video", "-bf", 0, "-muxdelay", 0,
                   "-output_ts_offset", offset, tmp_path / f"{name}.ts")  # fmt: skip
        clip = tmp_path / "jump.ts"
        clip.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    else:
        clip = tmp_path / f"jump.{kind}"
        ffmpeg(*pictures(3), "-vf", f"setpts='PTS+if(gt(N,37),{jump}/TB,0)'", "-vsync", "vfr", "-c:v", "libx264",
               "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", 0, clip)  # fmt: skip
    with files(tmp_path) as (address, asked):
        source = f"{address}/{clip.name}" if way == "http" else str(clip)
        counts = Counts()
        began = time.monotonic()
        given = options(f"cam={source}", mode="lossless" if way == "lossless" else "live")
        streams.register_sink("nobody-waits")
        thread = threading.Thread(
            target=run_producers, args=(given, factory, stop := threading.Event(), counts), daemon=True
        )
        thread.start()
        deadline = time.monotonic() + 25
        while sum(1 + frame.info.left_out for frame in frames(streams)) < 75 and time.monotonic() < deadline:
            time.sleep(0.05)
        if way == "lossless":
            stop.set()
        thread.join(10)
        assert not thread.is_alive(), "it ends"
        assert len(asked) <= 3, "it is not begun again"
    found = [frame.info for frame in frames(streams)]
    assert sum(1 + info.left_out for info in found) == 75
    steps = [b.media_time - a.media_time for a, b in pairwise(found)]
    # Over HTTP, live, a busy machine may show a picture late; its place in time is as told.
    assert max(steps) < 0.5
    assert sum(steps) == pytest.approx(74 / RATE, abs=0.6)
    assert {info.seq: pytest.approx(jump, abs=0.1) for info in found if info.gap} == {38: jump}
    if way == "lossless":
        assert steps == pytest.approx([1 / RATE] * 74, abs=1e-3)
    else:
        assert time.monotonic() - began < 25
    assert counts.reopened == 0


def test_a_recording_of_unknown_length_ends_once(tmp_path: Path) -> None:
    """A server without ranges, a format without a length in seconds: its bytes are counted."""
    clip = tmp_path / "clip.ts"
    ffmpeg(*pictures(1), "-c:v", "mpeg2video", clip)

    with serving(lambda request: answer(request, "video/mp2t", clip.read_bytes())) as camera:
        shared = context()
        source = make_source(parse_source(camera.url), "live", ProducerOptions(), shared)
        source.open()
        assert sum(1 for _ in iter(source.read, None)) >= 20
        source.close()
        assert shared.observer.reopened == 0  # type: ignore[attr-defined]
        assert len(camera.requests) <= 3


def test_a_recording_goes_on_where_its_connection_broke(tmp_path: Path) -> None:
    """A server with ranges that hangs up in the middle, twice: no picture comes again."""
    clip = tmp_path / "clip.mkv"
    ffmpeg(*pictures(2), "-c:v", "mpeg2video", "-b:v", "2M", clip)
    data = clip.read_bytes()

    def cut_off(request: BaseHTTPRequestHandler) -> None:
        begin = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        request.send_response(206)
        request.send_header("Content-Type", "video/x-matroska")
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - begin))
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(data[begin : begin + len(data) // 2 + 1000])

    with serving(cut_off) as camera:
        shared = context()
        source = make_source(parse_source(camera.url), "live", ProducerOptions(), shared)
        source.open()
        found = list(iter(source.read, None))
        source.close()
    assert len(found) == 2 * RATE
    assert shared.observer.reopened == 0  # type: ignore[attr-defined]


def test_segments_come_out_evenly(tmp_path: Path) -> None:
    """A live playlist, two seconds at once: 25 pictures a second come out as 25."""
    making = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", f"testsrc=size=160x96:rate={RATE}", "-c:v",
         "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-f", "hls", "-hls_time", "2",
         "-hls_list_size", "4", "-hls_flags", "delete_segments", "live.m3u8"], cwd=tmp_path)  # fmt: skip
    try:
        until(lambda: len(list(tmp_path.glob("live*.ts"))) >= 3)
        with files(tmp_path) as (address, _):
            shared = context()
            source = make_source(parse_source(f"{address}/live.m3u8"), "live", ProducerOptions(), shared)
            source.open()
            found: list[Picture] = []
            while len(found) < 200 and (picture := source.read()) is not None:
                found.append(picture)
            source.close()
    finally:
        making.kill()
        making.wait()
    steps = [b.media_time - a.media_time for a, b in pairwise(found)]
    steps = [step / (b.skipped + 1) for step, b in zip(steps, found[1:], strict=True)]
    assert len(found) == 200
    assert sum(step > 0.2 for step in steps) <= 1, "the delay may grow once"
    assert sorted(steps)[100] == pytest.approx(1 / RATE, abs=0.005)
    assert sum(picture.skipped for picture in found) < 30, "no burst"
    assert shared.observer.reopened == 0  # type: ignore[attr-defined]


class Fast:
    """A source that delivers each third picture only, because nobody was quick enough."""

    name, url, mode, rate = "cam", "rtsp://cam/1", "live", None

    def __init__(self) -> None:
        self._left = 5

    def open(self, start: int = 0) -> None: ...
    def close(self) -> None: ...

    def read(self) -> Picture | None:
        if not self._left:
            return None
        self._left -= 1
        n = 5 - self._left
        skipped = 0 if n == 1 else 2
        return Picture(noise(seed=n), None, 64, 48, n * 0.12, time.time(), skipped=skipped, gap=5.0 * (n == 3))


@pytest.mark.parametrize("fps", [None, 30.0])
def test_pictures_that_nobody_took_count_as_dropped(fps: float | None, streams: Streams) -> None:
    """Unless somebody asked for fewer pictures."""
    counts = Counts()
    shared = Context(threading.Event(), counts)
    job = Job(Fast(), streams, options("x", mode="live", fps=fps), "live", shared, "run", "me")  # type: ignore[arg-type]
    job.wait_for_lease()
    run_live(job)
    found = frames(streams)
    left_out = [0, 0, 0, 0, 0] if fps else [0, 2, 2, 2, 2]
    assert [f.info.left_out for f in found] == left_out
    assert [f.info.seq for f in found] == [n + sum(left_out[: n + 1]) for n in range(5)]
    assert counts.lost == ["superseded_camera"] * sum(left_out)
    assert streams.position("cam", "run") == 5 + sum(left_out)
    assert [f.info.gap for f in found] == [0, 0, 5.0, 0, 0]
    assert [f.info.media_time for f in found] == sorted(f.info.media_time for f in found)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("transport", "asked"),
    [
        ("auto", "Transport: RTP/AVP/TCP;unicast;interleaved="),
        ("tcp", "Transport: RTP/AVP/TCP;unicast;interleaved="),
        ("udp", "Transport: RTP/AVP/UDP;unicast;client_port="),
        ("udp_multicast", "Transport: RTP/AVP/UDP;multicast"),
    ],
)
@pytest.mark.parametrize("by", ["flag", "fragment"])
def test_how_rtsp_is_carried(by: str, transport: str, asked: str) -> None:
    """For all sources by the flag, for one in its address, which counts more."""
    talker = RtspTalker()
    camera = Camera(talker)
    flag = transport if by == "flag" else "udp_multicast" if transport == "tcp" else "tcp"
    given = ProducerOptions(rtsp_transport=flag, stall_after=0.5)
    shared = context()
    source = make_source(
        parse_source(camera.url + (f"#transport={transport}" if by == "fragment" else "")), "live", given, shared
    )
    try:
        source.open()
        until(lambda: bool(talker.asked))
        assert talker.asked[0].startswith(asked)
        if transport in ("auto", "tcp"):
            assert source.read() is not None
    finally:
        shared.stop.set()
        source.close()
        camera.close()


def test_the_stream_with_the_most_pixels_unless_another_is_named(tmp_path: Path) -> None:
    clip = tmp_path / "two.mkv"
    ffmpeg(*pictures(1), *pictures(1), "-map", "0", "-map", "1", "-c:v", "mpeg2video", "-s:v:1", "320x192", clip)
    with files(tmp_path) as (address, _):
        for fragment, width in (("", 320), ("#stream=0", 160), ("#stream=1&transport=tcp", 320)):
            spec = parse_source(f"{address}/two.mkv{fragment}")
            source = make_source(spec, "live", ProducerOptions(), context())
            source.open()
            picture = source.read()
            source.close()
            assert picture is not None
            assert picture.width == width
        heard, shared = Heard(), context()
        source = make_source(
            parse_source(f"{address}/two.mkv#stream=2"), "live", ProducerOptions(), replace(shared, tell=heard)
        )
        threading.Timer(1.0, shared.stop.set).start()
        source.open()
        assert source.read() is None
        source.close()
        assert ("lost", "there is no video stream 2 in it: the last one is 1") in heard.told
