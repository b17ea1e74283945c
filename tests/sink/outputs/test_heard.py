"""The sound of cameras in the annotated clip: over a real connection, a real server, into a real file."""

import itertools
import logging
import math
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from emotion_stream.producer.cameras.listen import Ear, Listening
from emotion_stream.producer.loop import run_producers
from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.codec import decode_frame, encode_emotions
from emotion_stream.shared.messages.sound import MAX_PIECES, Piece, Sound, decode_sound, encode_sound
from emotion_stream.shared.messages.types import OK, Emotions, FrameInfo
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions, ProducerOptions
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.catalogue import open_outputs
from emotion_stream.sink.drawing.draw import COLOURS
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.outputs.video import Video
from emotion_stream.sink.results.hearing import Ears
from emotion_stream.sink.results.output import Output, Result
from emotion_stream.sink.retention.rules import Rules
from emotion_stream.sink.tracking.follow import Follower, following
from tests.conftest import make_frame
from tests.producer.cameras.test_mjpeg import answer, serving
from tests.producer.conftest import Factory, factory
from tests.producer.test_sources import Counts
from tests.shared.test_worker import own_connection, until
from tests.sink.outputs.test_sound import CLICK, EVEN, PICTURE, RATE, kinds, media
from tests.support.scripted_camera import Camera, RtspTalker

__all__ = ["factory"]
IN_STEP = 0.06
"""Seconds between a click and its flash: one picture of 25 a second, and what a busy machine adds."""


def at_its_rate(stream: Path, seconds: float, request: BaseHTTPRequestHandler) -> None:
    """Send a transport stream as fast as it is heard, then hang up."""
    data = stream.read_bytes()
    answer(request, "video/mp2t")
    began = time.monotonic()
    for at in range(0, len(data), 188 * 7):
        request.wfile.write(data[at : at + 188 * 7])
        time.sleep(max(0.0, began + seconds * at / len(data) - time.monotonic()))


@contextmanager
def producing(factory: Factory, *sources: str, **options: Any) -> Iterator[Counts]:
    given, stop, counts = ProducerOptions(source=sources, mode="live", **options), threading.Event(), Counts()
    thread = threading.Thread(target=run_producers, args=(given, factory, stop, counts), daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join(20)


def show(streams: Streams, ears: Ears, outputs: list[Output], flashes: int, most: int = 10_000) -> list[FrameInfo]:
    """As a sink does, without faces, until half a second after so many flashes, or until so many frames."""
    after, seen, bright, until = "-", list[FrameInfo](), [True], math.inf
    deadline = time.monotonic() + 25
    while (not seen or seen[-1].media_time < until) and len(seen) < most and time.monotonic() < deadline:
        entries: Any = streams.client.xrange(streams.keys.frames, after)
        for i, fields in entries:
            after = f"({i.decode()}"
            frame = decode_frame(fields, i.decode())
            image = np.asarray(cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
            seen.append(frame.info)
            bright.append(bool(np.mean(image) > 150))
            if bright[-1] and not bright[-2]:
                flashes -= 1
                until = frame.info.media_time + 0.5 if not flashes else math.inf
            for output in outputs:
                output.write(Result(frame.info, OK, tuple(COLOURS), (), 0.1), image)
            ears.hand_on(frame.info, outputs)
        time.sleep(0.05)
    return seen


def flashes(path: Path) -> list[float]:
    """When pictures become white, seconds of the clip."""
    with av.open(str(path)) as container:
        seen = [(float(f.time or 0), f.to_ndarray(format="gray").mean() > 150) for f in container.decode(video=0)]
    return [b[0] for a, b in itertools.pairwise(seen) if b[1] and not a[1]]


def clicks(path: Path) -> list[float]:
    """When it clicks, seconds of the clip."""
    found: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray().ravel().astype(float)) > 0.3)
            at = float(frame.time or 0) + float(loud[0]) / RATE if loud.size else 0.0
            if loud.size and (not found or at - found[-1] > 0.1):
                found.append(at)
    return found


def pieces(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.timeout(120)
def test_a_camera_stays_in_step(tmp_path: Path, streams: Streams, factory: Factory) -> None:
    """Its clock begins late; with fewer pictures than it sends; it hangs up in the middle, and is opened again."""
    source = media(tmp_path / "in.ts", EVEN[:50], late=1.4, seconds=2.0, flash=True)
    target = tmp_path / "out.mp4"
    with serving(partial(at_its_rate, source, 2.0)) as camera, closing(Video(target)) as video:
        with producing(factory, f"hall={camera.url}", sound=True, fps=10.0) as counts:
            seen = show(streams, Ears(streams), [video], 2)
        assert counts.reopened >= 1
    assert kinds(target) == ["video", "audio"]
    shown, heard = flashes(target), clicks(target)
    assert len(shown) == len(heard) == 2
    # The first white picture of ten a second comes up to 0.1 s after the click.
    assert [flash - 0.05 for flash in shown] == pytest.approx(heard, abs=IN_STEP + 0.05)
    assert len(seen) < 60
    sent, kept = pieces(media(tmp_path / "in.mp4", EVEN)), pieces(target)
    assert set(kept) <= set(sent), "not encoded again"
    assert {piece for piece in sent if len(piece) > 100} <= set(kept)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "in.ts", "out.mp4"], "nothing is left behind"


class Singing(RtspTalker):
    """A camera that also sends AAC (RFC 3640), and flashes when it clicks."""

    def __init__(self, heard: list[bytes]) -> None:
        super().__init__()
        self._heard = heard

    def medium(self) -> str:
        config = "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=118856e500"
        sound = (
            f"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/{RATE}/1\r\na=fmtp:97 streamtype=5;{config}\r\n"
        )
        return f"{sound}a=control:audio\r\n{super().medium()}"

    def wrap(self, jpeg: bytes, number: int) -> bytes:
        at = number / 25
        if CLICK - 1e-6 <= at < CLICK + 0.2:
            jpeg = cv2.imencode(".jpg", np.full((96, 160, 3), 255, np.uint8))[1].tobytes()
        sound = b""
        for n in range(math.ceil(at * RATE / 1024), math.ceil((at + 1 / 25) * RATE / 1024)):
            piece = self._heard[n % len(self._heard)]
            head = struct.pack(">BBHIIHH", 0x80, 0x80 | 97, n & 0xFFFF, n * 1024, 0x4321, 16, len(piece) << 3)
            sound += b"$\2" + struct.pack(">H", len(head) + len(piece)) + head + piece
        return sound + super().wrap(jpeg, number)


@pytest.mark.timeout(120)
def test_a_camera_over_rtsp_stays_in_step(tmp_path: Path, streams: Streams, factory: Factory) -> None:
    heard = pieces(media(tmp_path / "in.mp4", EVEN, seconds=10.0))
    target = tmp_path / "out.mp4"
    camera = Camera(Singing(heard))
    try:
        with closing(Video(target)) as video, producing(factory, f"hall={camera.url}", sound=True):
            show(streams, Ears(streams), [video], 1)
    finally:
        camera.close()
    assert kinds(target) == ["video", "audio"]
    assert clicks(target) == pytest.approx(flashes(target), abs=IN_STEP)
    assert len(clicks(target)) == 1
    assert set(pieces(target)) <= set(heard), "not encoded again"


@pytest.mark.timeout(120)
def test_nobody_listens_by_default(tmp_path: Path, streams: Streams, factory: Factory) -> None:
    source = media(tmp_path / "in.ts", EVEN, flash=True)
    video = Video(tmp_path / "out.mp4")
    with (
        serving(partial(at_its_rate, source, 3.0)) as camera,
        producing(factory, f"hall={camera.url}"),
    ):
        show(streams, Ears(streams), [video], 1, most=10)
    video.close()
    assert kinds(tmp_path / "out.mp4") == ["video"]
    assert not streams.client.exists(streams.keys.sound)


def test_what_cannot_be_heard_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd, silent = tmp_path / "odd.avi", tmp_path / "silent.mp4"
    media(odd, EVEN[:20], codec="adpcm_ms")
    Video(silent).close()
    with av.open(str(silent), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(PICTURE, format="bgr24")))
        container.mux(stream.encode(None))
    with caplog.at_level(logging.WARNING):
        for path in (odd, silent):
            ear = Ear("hall")
            for _ in range(2):  # opened again
                with av.open(str(path)) as container_in:
                    assert not Listening(ear, container_in).streams
    assert [record.getMessage() for record in caplog.records] == [
        "camera hall: --sound: its sound is adpcm_ms, which does not fit into MP4: choose AAC in the camera;"
        " it is silent in clips",
        "camera hall: --sound: it sends no sound; it is silent in clips",
    ]


def listened(path: Path, jitter: float = 0.0) -> tuple[bytes, list[Piece]]:
    """What is heard of a file, where pictures come `jitter` late, in turn, beginning at 1000 s of our clock."""
    ear = Ear("hall")
    ear.began = 1000.0
    with av.open(str(path)) as container:
        listening = Listening(ear, container)
        begin = None
        for n, packet in enumerate(container.demux()):
            if packet.stream.type == "audio":
                listening.take(packet)
            elif packet.pts is not None:
                stamp = float(packet.pts * Fraction(packet.time_base))
                begin = stamp if begin is None else begin
                listening.saw(stamp, 1000.0 + stamp - begin + (jitter if n % 2 else 0.0))
    ((track, found),) = ear.take()
    return track, list(found)


def test_pictures_that_come_unevenly_do_not_move_sound(tmp_path: Path) -> None:
    """As those of a camera over RTSP do: what is heard goes on without gaps."""
    _, found = listened(media(tmp_path / "in.ts", EVEN, late=1.4, early=0.3), jitter=0.03)
    assert found[0].time == pytest.approx(-0.3, abs=0.06)
    steps = [b.time - a.time for a, b in itertools.pairwise(found)]
    assert sum(abs(step - 1024 / RATE) > 1e-3 for step in steps) <= 2
    assert max(steps) < 0.05


def written(video: Video, epoch: str, seq: int, media_time: float) -> None:
    info = FrameInfo("hall", "rtsp://hall/1", epoch, seq, 1e9 + media_time, media_time, 64, 48, "live")
    video.write(Result(info, OK, tuple(COLOURS), (), 0.1), PICTURE.copy())


def test_a_producer_that_begins_anew_goes_on_in_step(tmp_path: Path) -> None:
    """Media time begins again with it; what was heard before its first picture, or long after, is in no clip."""
    track, found = listened(media(tmp_path / "in.ts", EVEN))
    target = tmp_path / "out.mp4"
    video = Video(target)
    for n in range(50):
        written(video, "a", n, 5.0 + n / 25)
    for n in range(50):
        written(video, "b", n, n / 25)
    video.hear(Sound("hall", "a", track, tuple(Piece(p.time + 5.0, p.length, p.data) for p in found)))
    video.hear(Sound("hall", "b", track, tuple(Piece(p.time - 0.5, p.length, p.data) for p in found)))
    video.hear(Sound("hall", "never", track, tuple(found)))
    video.hear(Sound("elsewhere", "a", track, tuple(found)))
    video.close()
    assert clicks(target) == pytest.approx([CLICK, 2.0 + CLICK - 0.5], abs=0.03)
    with av.open(str(target)) as container:
        sound = container.streams.audio[0]
        assert float((sound.duration or 0) * (sound.time_base or 0)) == pytest.approx(4.0, abs=0.05)


def test_damaged_sound_costs_no_clip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = tmp_path / "out.mp4"
    video = Video(target)
    for n in range(5):
        written(video, "a", n, n / 25)
    video.hear(Sound("hall", "a", b"no file", (Piece(0.0, 0.02, b"x"),)))
    with caplog.at_level(logging.WARNING):
        video.close()
    assert kinds(target) == ["video"]
    assert "out.mp4" in caplog.text


def test_messages_are_checked() -> None:
    sound = Sound("hall", "a", b"track", (Piece(1.5, 0.02, b"data"), Piece(-0.1, 0.0, b"")))
    fields = encode_sound(sound)
    assert decode_sound(fields) == sound
    for broken in (
        Sound("a b", "a", b"", ()),
        Sound("hall", "a" * 65, b"", ()),
        Sound("hall", "a", b"x" * 70_000, ()),
        Sound("hall", "a", b"", (Piece(float("nan"), 0.0, b""),)),
        Sound("hall", "a", b"", (Piece(0.0, -1.0, b""),)),
        Sound("hall", "a", b"", (Piece(0.0, 0.0, "text"),)),  # type: ignore[arg-type]
        Sound("hall", "a", b"", (Piece(0.0, 0.0, b""),) * (MAX_PIECES + 1)),
    ):
        with pytest.raises(DecodeError):
            decode_sound(encode_sound(broken))


def test_a_sink_gives_each_file_that_is_kept_its_sound(tmp_path: Path, streams: Streams) -> None:
    """Two files of a second each: the click is in the second one."""
    track, found = listened(media(tmp_path / "in.ts", EVEN))
    streams.append_sound(Sound("cam", "run", track, tuple(found)))
    streams.client.xadd(streams.keys.sound, {b"m": b"no message"})
    assert streams.lease("camera:cam", "me", 60)
    now = math.floor(time.time())
    for seq in range(50):
        frame = make_frame(seq, mode="live", captured_at=now + seq / 25, media_time=seq / 25)
        frame_id = streams.append_frame(frame, "me", ttl=60) or ""
        fields: Any = encode_emotions(Emotions(frame.info, frame_id, (), ()))
        streams.client.xadd(streams.keys.emotions, fields)
    service, follower = Service("sink", "0", CommonOptions()), Follower(following("1/1", 0.0, "off"))
    outputs = [f"video={tmp_path / 'v.mp4'}", f"jsonl={tmp_path / 'r.jsonl'}"]
    kept = partial(open_outputs, outputs, kept=Rules(keep=1e10, period=1))
    sink = Sink(service, own_connection(streams), "sink", kept, 1.0, Watchdog(10), follower)
    thread = threading.Thread(target=sink.run)
    thread.start()
    until(lambda: streams.progress().shown.get(("sink", "cam", "run")) == 50)
    service.stop.set()
    thread.join(20)
    first, second = sorted(tmp_path.glob("v-cam-*.mp4"))
    assert kinds(first) == kinds(second) == ["video", "audio"]
    assert clicks(first) == []
    assert clicks(second) == pytest.approx([CLICK - 1.0], abs=0.03)
