"""Sources: how they are named, and what files, folders, cameras and URLs deliver."""

import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from producer.factory import make_source
from producer.folder import natural_key, read_picture
from producer.grab import Capture, CaptureError, LiveSource
from producer.header import read_header
from producer.jpeg import to_jpeg
from producer.pace import Pace
from producer.source import Context, Image, Picture
from producer.spec import SourceSpec, check_cameras, parse_source, parse_sources
from shared.errors import EmotionError, UsageError
from shared.options import ProducerOptions


@dataclass
class Counts:
    """An observer that remembers."""

    appended: int = 0
    failed: int = 0
    reopened: int = 0
    lost: list[str] = field(default_factory=list)

    def frames(self, n: int) -> None:
        self.appended += n

    def dropped(self, reason: str, n: int) -> None:
        self.lost += [reason] * n

    def errors(self, n: int) -> None:
        self.failed += n

    def reconnects(self) -> None:
        self.reopened += 1


def context() -> Context:
    return Context(threading.Event(), Counts())


def read_all(text: str, start: int = 0) -> list[Picture]:
    spec = parse_source(text)
    source = make_source(spec, "lossless", ProducerOptions(), context())
    source.open(start)
    pictures = list(iter(source.read, None))
    source.close()
    return pictures


def noise(width: int = 64, height: int = 48, seed: int = 0) -> Image:
    """Smooth random colours, so that JPEG changes them little."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def same(picture: Picture | None, image: Image | None) -> bool:
    assert picture is not None
    assert picture.image is not None
    assert image is not None
    return np.array_equal(picture.image, image)


def encoded(suffix: str, image: np.ndarray) -> bytes:
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def write_video(path: Path, count: int, rate: int = 25, size: tuple[int, int] = (64, 48)) -> Path:
    """Frame i is gray of brightness 10 + 8 (i mod 25), with a white block in the top left corner."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 2_000_000
        for i in range(count):
            image = np.full((size[1], size[0], 3), 10 + 8 * (i % 25), np.uint8)
            image[:16, :16] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))
    return path


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "kind", "target"),
    [
        ("0", "camera0", "camera", "0"),
        ("hall=02", "hall", "camera", "2"),
        ("/dev/video3", "camera3", "camera", "3"),
        ("rtsp://u:p@cam-1.lan:554/s?a=b", "cam-1.lan", "url", "rtsp://u:p@cam-1.lan:554/s?a=b"),
        ("http://host/x?name=1", "host", "url", "http://host/x?name=1"),
        ("door=http://host/x?name=1", "door", "url", "http://host/x?name=1"),
        ("https://[::1]:80/x", "_1", "url", "https://[::1]:80/x"),
        ("rtsp://cam/my stream", "cam", "url", "rtsp://cam/my stream"),
    ],
)
def test_what_a_text_means(text: str, name: str, kind: str, target: str) -> None:
    spec = parse_source(text)
    assert (spec.name, spec.kind, spec.target) == (name, kind, target)


def test_sample_is_the_clip_that_comes_along() -> None:
    spec = parse_source("sample")
    assert (spec.name, spec.kind) == ("sample", "video")
    assert spec.target.endswith("sample.mp4")


def test_paths_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "my pics").mkdir()
    (tmp_path / "clip=1.mp4").touch()
    (tmp_path / "one.JPG").touch()
    assert parse_source(f"{tmp_path}/my pics") == SourceSpec("my_pics", "pictures", f"{tmp_path}/my pics")
    assert parse_source(f"{tmp_path}/my pics/*.png").name == "my_pics"
    assert parse_source(f"{tmp_path}/clip=1.mp4").name == "clip_1"
    assert parse_source(f"a={tmp_path}/clip=1.mp4").name == "a"
    assert parse_source(f"{tmp_path}/one.JPG").kind == "pictures"


def test_an_existing_file_with_an_equals_sign_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "take=2.mp4").touch()
    assert parse_source("take=2.mp4").target == "take=2.mp4"


@pytest.mark.parametrize(
    "text", ["", "a=", "=0", "my cam=0", "x" * 65 + "=0", "ftp://host/x", "a=file:///x", "1000", "a\0b"]
)
def test_malformed_texts_are_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError):
        parse_source(text)


@pytest.mark.parametrize("text", ["C:\\clips\\a=b.mp4", "nowhere.mp4", "x" * 5000, "/nowhere/*/x.mp4=1"])
def test_missing_files_are_one_clear_line(text: str) -> None:
    if "*" in text:
        assert parse_source(text).kind == "pictures"
        return
    with pytest.raises(EmotionError) as caught:
        parse_source(text)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


def test_names_must_differ() -> None:
    with pytest.raises(UsageError, match="2 sources are named camera0"):
        parse_sources(["0", "00"])
    with pytest.raises(UsageError, match="--source"):
        parse_sources([])
    assert [s.name for s in parse_sources(["0", "b=0"])] == ["camera0", "b"]


def test_pictures_that_a_shell_listed_are_one_camera(tmp_path: Path) -> None:
    files = []
    for n in (2, 10):
        files.append(str(tmp_path / f"{n}.png"))
        Path(files[-1]).write_bytes(encoded(".png", noise()))
    specs = parse_sources(["hall=0", *files])
    assert [s.kind for s in specs] == ["camera", "pictures"]
    assert specs[1].files == tuple(files)
    assert specs[1].name == tmp_path.name[:64]


def test_no_password_in_messages() -> None:
    source = make_source(parse_source("rtsp://me:geheim@cam/1"), "live", ProducerOptions(), context())
    assert source.url == "rtsp://me:***@cam/1"


# --- video files -------------------------------------------------------------------------------------------


def test_every_frame_of_a_video_with_its_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 12)
    pictures = read_all(str(path))
    assert [p.media_time for p in pictures] == pytest.approx([i / 25 for i in range(12)])
    levels = [int(p.image[40, 50, 0]) for p in pictures if p.image is not None]
    assert levels == pytest.approx([10 + 8 * i for i in range(12)], abs=6)


def test_a_restarted_video_goes_on(tmp_path: Path) -> None:
    path = str(write_video(tmp_path / "a.mp4", 12))
    whole, rest = read_all(path), read_all(path, start=7)
    assert [p.media_time for p in rest] == [p.media_time for p in whole[7:]]
    assert all(same(a, b.image) for a, b in zip(rest, whole[7:], strict=True))
    assert read_all(path, start=12) == []


def test_a_truncated_video_gives_what_decodes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 25)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert 5 < len(read_all(str(path))) < 25


def test_rotation_metadata_turn_the_picture(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 3)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    one = 0x10000
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)  # clockwise
    path.write_bytes(data)
    image = read_all(str(path))[0].image
    assert image is not None
    assert image.shape == (64, 48, 3)
    assert image[:12, -12:].min() > 200  # the block went from the top left to the top right
    assert image[:12, :12].max() < 100


def test_an_animated_gif_is_a_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.gif"), "w") as container:
        stream = container.add_stream("gif", 10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "rgb8"
        for i in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((24, 32, 3), 50 * i, np.uint8), "rgb24")
            container.mux(stream.encode(frame.reformat(format="rgb8")))
        container.mux(stream.encode(None))
    pictures = read_all(str(tmp_path / "a.gif"))
    assert [p.media_time for p in pictures] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert not any(p.still for p in pictures)


@pytest.mark.parametrize(
    "content", [b"", b"just a text\n" * 50, b"#EXTM3U\n#EXTINF:1,\nhttp://localhost:1/x.ts\n", b"\0" * 5000]
)
def test_what_is_no_video_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(EmotionError, match=r"a\.mp4: .*video") as caught:
        read_all(str(path))
    assert "\n" not in str(caught.value)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", 48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(EmotionError, match="there is no video in it"):
        read_all(str(tmp_path / "a.mp4"))


# --- pictures ----------------------------------------------------------------------------------------------


def test_natural_order() -> None:
    names = ["img10.png", "img2.png", "IMG1.png", "a/b3.png", "img2b.png", "2.png", "10.png"]
    ordered = [str(p) for p in sorted(map(Path, names), key=natural_key)]
    assert ordered == ["2.png", "10.png", "a/b3.png", "IMG1.png", "img2.png", "img2b.png", "img10.png"]


def test_a_folder_in_order_with_errors_in_their_place(tmp_path: Path) -> None:
    jpeg = encoded(".jpg", noise())
    (tmp_path / "img10.jpg").write_bytes(jpeg)
    (tmp_path / "img2.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "img1.PNG").write_bytes(encoded(".png", noise()))
    (tmp_path / "img3.bmp").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("left out")
    (tmp_path / "folder.png").mkdir()
    pictures = read_all(str(tmp_path))
    assert [p.error is None for p in pictures] == [True, False, False, True]
    assert pictures[1].error == "img2.jpg: cannot be decoded: JPEG is cut off"
    assert pictures[2].error is not None
    assert pictures[2].error.startswith("img3.bmp: cannot be decoded: ")
    assert [p.media_time for p in pictures] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert all(p.still for p in pictures)
    assert pictures[3].jpeg == jpeg  # untouched
    assert pictures[3].source == str(tmp_path / "img10.jpg")
    assert [p.source for p in read_all(str(tmp_path), start=3)] == [pictures[3].source]


def test_globs_go_deep(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for path in ("1.jpg", "a/2.jpg", "a/b/3.jpg", "a/b/4.txt"):
        (tmp_path / path).write_bytes(encoded(".jpg", noise()))
    assert len(read_all(f"{tmp_path}/**/*")) == 3
    assert len(read_all(f"{tmp_path}/*.jpg")) == 1


def test_hidden_files_of_a_folder_are_no_pictures(tmp_path: Path) -> None:
    """What is copied, or thrown away, often lies there as `.x.jpg` or `._x.jpg` for a while."""
    for name in ("1.jpg", ".1.jpg", "._2.jpg"):
        (tmp_path / name).write_bytes(encoded(".jpg", noise()))
    assert len(read_all(str(tmp_path))) == len(read_all(f"{tmp_path}/*.jpg")) == 1


def test_an_empty_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(EmotionError, match=r"no pictures in .*: supported are JPEG, PNG, BMP, WebP, TIFF"):
        read_all(str(tmp_path))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_headers_tell_the_size(suffix: str) -> None:
    header = read_header(encoded(suffix, noise(70, 50)))
    assert header.kind == {".jpg": "jpeg"}.get(suffix, suffix[1:])
    assert (header.width, header.height, header.orientation) == (70, 50, 1)


@pytest.mark.parametrize("kind", [4, 5])
def test_a_tiff_that_tells_two_sizes_has_the_one_that_its_decoder_makes(kind: int) -> None:
    """390 KB took 1.6 GB so: the decoder goes by the first of two tags, and by sorts of numbers nobody uses."""
    tags = [(256, kind, 30_000), (256, 4, 8), (257, 4, 30_000), (257, 4, 8)]
    entries = b"".join(struct.pack("<HHII", tag, sort, 1, value) for tag, sort, value in tags)
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    if kind == 4:
        header = read_header(data)
        assert (header.width, header.height) == (30_000, 30_000)
    else:
        with pytest.raises(ValueError, match="damaged"):
            read_header(data)


def test_a_png_begins_with_its_header() -> None:
    data = encoded(".png", noise(70, 50))
    other = struct.pack(">I4sII", 8, b"abCd", 8, 8) + bytes(4)
    with pytest.raises(ValueError, match="no picture"):
        read_header(data[:8] + other + data[8:])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_damaged_headers_are_refused_without_a_traceback(suffix: str, tmp_path: Path) -> None:
    data = encoded(suffix, noise())
    rng = np.random.default_rng(1)
    path = tmp_path / f"a{suffix}"
    for length in range(0, min(len(data), 60), 3):
        path.write_bytes(data[:length])
        assert read_picture(path, 0).error is not None
    for _ in range(25):
        mangled = bytearray(data)
        for at in rng.integers(2, min(len(data), 80), 3):
            mangled[at] = rng.integers(256)
        path.write_bytes(mangled)
        read_picture(path, 0)  # any result will do, an exception will not


def test_size_is_checked_before_decoding(tmp_path: Path) -> None:
    data = bytearray(encoded(".png", noise()))
    data[16:24] = struct.pack(">II", 16_000, 16_000)
    (tmp_path / "bomb.png").write_bytes(data)
    picture = read_picture(tmp_path / "bomb.png", 0)
    assert picture.error is not None
    assert "16000 x 16000 pixels is too large" in picture.error


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 274, 3, 1, orientation, 0) + b"\0\0\0\0"
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_opencv_understands_it(orientation: int, tmp_path: Path) -> None:
    data = with_exif(encoded(".jpg", noise(seed=3)), orientation)
    (tmp_path / "a.jpg").write_bytes(data)
    picture = read_picture(tmp_path / "a.jpg", 0)
    wanted = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert wanted is not None
    assert (picture.height, picture.width) == wanted.shape[:2]
    assert (picture.jpeg is None) == (orientation != 1)
    if picture.image is not None:
        assert np.array_equal(picture.image, wanted)


def test_png_and_webp_orientation(tmp_path: Path) -> None:
    exif = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 274, 3, 1, 6, 0) + b"\0\0\0\0"
    png = encoded(".png", noise())
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif
    (tmp_path / "a.png").write_bytes(png[:33] + chunk + struct.pack(">I", 0) + png[33:])
    header = read_header((tmp_path / "a.png").read_bytes())
    assert header.orientation == 6


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_become_8(suffix: str, tmp_path: Path) -> None:
    image = noise()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded(suffix, image.astype(np.uint16) * 257))
    picture = read_picture(path, 0)
    assert picture.image is not None
    assert np.array_equal(picture.image, image)


def test_gray_alpha_and_float(tmp_path: Path) -> None:
    image = noise()
    gray = image[:, :, 0].copy()
    alpha = np.dstack([image, np.full(gray.shape, 255, np.uint8)])
    alpha[:10, :, 3] = 0
    for name, pixels in (("gray.png", gray), ("alpha.png", alpha), ("float.tiff", (image / 255).astype("f4"))):
        (tmp_path / name).write_bytes(encoded(name[name.index(".") :], pixels))
    by_name = {Path(p.source or "").name: np.asarray(p.image) for p in read_all(str(tmp_path))}
    assert np.array_equal(by_name["gray.png"], np.dstack([gray] * 3))
    assert (by_name["alpha.png"][:10] == 255).all()
    assert np.array_equal(by_name["alpha.png"][10:], image[10:])
    assert np.array_equal(by_name["float.tiff"], image)


def test_scaling_keeps_the_aspect_and_small_pictures() -> None:
    jpeg = encoded(".jpg", noise(200, 100))
    picture = Picture(None, jpeg, 200, 100, 0, 0)
    assert to_jpeg(picture, 0, 90).data is jpeg
    assert to_jpeg(picture, 200, 90).data is jpeg
    small = to_jpeg(picture, 50, 90)
    assert (small.width, small.height) == (50, 25)
    decoded = cv2.imdecode(np.frombuffer(small.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (25, 50, 3)
    line = Picture(np.zeros((1, 5000, 3), np.uint8), None, 5000, 1, 0, 0)
    assert to_jpeg(line, 100, 90).height == 1


# --- pace --------------------------------------------------------------------------------------------------


def test_a_cap_takes_one_frame_of_each_slot() -> None:
    stop = threading.Event()
    stop.set()  # nothing waits
    pace = Pace(stop, 10.0, recorded=True)
    assert sum(pace.admit(i / 25) for i in range(100)) == 40


def test_a_recording_plays_at_its_own_rate() -> None:
    pace = Pace(threading.Event(), None, recorded=True)
    began = time.monotonic()
    assert all(pace.admit(i / 50) for i in range(11))
    assert time.monotonic() - began == pytest.approx(0.2, abs=0.08)


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

    def read(self) -> Image | None:
        time.sleep(self.delay)
        if self.pictures:
            image = self.pictures.pop(0)
            if not self.pictures and self.repeat:
                self.pictures.append(image)
            return image
        if self.finite:
            return None
        raise CaptureError("cable pulled")

    def close(self) -> None:
        pass


def live(captures: list[Callable[[], Capture]], stall_after: float = 0.3) -> tuple[LiveSource, Context]:
    shared = context()

    def opener(_: threading.Event) -> Capture:
        return captures.pop(0)() if len(captures) > 1 else captures[0]()

    spec = SourceSpec("cam", "url", "rtsp://cam/1")
    source = LiveSource(spec, shared, opener, required=False, stall_after=stall_after, first_wait=0.05)
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


def test_a_frozen_picture_is_reported_and_withheld(caplog: pytest.LogCaptureFixture) -> None:
    source, shared = live(
        [
            lambda: Scripted([noise(seed=1), noise(seed=2)], repeat=True),
            lambda: Scripted([noise(seed=2)], repeat=True),
            lambda: Scripted([noise(seed=2), noise(seed=3)], delay=0.05),
        ]
    )
    source.open()
    frozen_at = []
    while True:
        picture = source.read()
        if same(picture, noise(seed=3)):
            break
        if same(picture, noise(seed=2)):
            assert picture is not None
            frozen_at.append(picture.captured_at)
    source.close()
    assert 0.2 < frozen_at[-1] - frozen_at[0] < 0.7
    assert shared.observer.reopened >= 2  # type: ignore[attr-defined]
    assert caplog.text.count("the same picture for 0.3 s") == 1


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
    shared = context()
    spec = parse_source("cam=http://me:geheim@127.0.0.1:1/x")
    source = make_source(spec, "live", ProducerOptions(), shared)
    source.open()
    threading.Timer(0.5, shared.stop.set).start()
    assert source.read() is None
    source.close()
    assert "Connection refused" in caplog.text
    assert "geheim" not in caplog.text
    with pytest.raises(EmotionError, match="Connection refused") as caught:
        make_source(spec, "lossless", ProducerOptions(), context()).open()
    assert "geheim" not in str(caught.value)
