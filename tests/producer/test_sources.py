"""Sources: how they are named, and what files, folders, cameras and URLs deliver."""

import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from emotion_stream.producer.pace import Pace
from emotion_stream.producer.pictures.source import Context, Image, Picture
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import SourceSpec, parse_source, parse_sources
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.settings.options import ProducerOptions


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
        ("rtsp://u:p@cam/x#stream=1&transport=udp", "cam", "url", "rtsp://u:p@cam/x"),
        ("rtsp://viewer:12/34@cam/x", "camera", "url", "rtsp://viewer:12/34@cam/x"),
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
    "text", ["", "a=", "=0", "my\ncam=0", " =0", "x" * 65 + "=0", "ftp://host/x", "a=file:///x", "1000", "a\0b"]
)
def test_malformed_texts_are_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError):
        parse_source(text)


@pytest.mark.parametrize("password", ["pa#ss", "#pass", "pass#", "12#34", "pa/ss", "pa?ss", "pa[ss", "p:/a"])
def test_a_reserved_letter_in_a_password_gets_a_hint_and_is_not_told(password: str) -> None:
    with pytest.raises(UsageError, match="write # as %23, / as %2F") as caught:
        parse_source(f"rtsp://me:{password}@cam/1")
    assert password not in str(caught.value)
    assert "me" not in str(caught.value).split("...")[0]


@pytest.mark.parametrize("fragment", ["stream=x", "stream=", "transport=ftp", "transport", "t=5", "stream=1&x=2"])
def test_what_stands_behind_a_number_sign_is_known_or_refused(fragment: str) -> None:
    with pytest.raises(UsageError, match=r"stream=N, transport=auto\|tcp\|udp\|udp_multicast .*%23"):
        parse_source(f"rtsp://cam/1#{fragment}")


@pytest.mark.parametrize("text", ["C:\\clips\\a=b.mp4", "nowhere.mp4", "x" * 5000, "/nowhere/*/x.mp4=1"])
def test_missing_files_are_one_clear_line(text: str) -> None:
    if "*" in text:
        assert parse_source(text).kind == "pictures"
        return
    with pytest.raises(EmotionError) as caught:
        parse_source(text)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "camera"),
    [
        ("Haupteingang Süd", "Haupteingang_Sud"),
        ("Große Straße 5", "Grosse_Strasse_5"),
        ("正門", "u6b63u9580"),
        ("Вход", "u412u445u43eu434"),
        ("door #2", "door_2"),
    ],
)
def test_a_name_for_people_gives_the_camera_one_for_machines(name: str, camera: str) -> None:
    spec = parse_source(f"{name}=0")
    assert (spec.name, spec.display_name, spec.target) == (camera, name, "0")
    assert parse_source("hall-1=0").display_name == ""


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


def test_recordings_of_different_phases_come_between_one_anothers_frames() -> None:
    began = time.monotonic()
    for phase in (0.0, 0.5):
        pace = Pace(threading.Event(), None, recorded=True, phase=phase, rate=4.0)
        began = time.monotonic()
        pace.admit(0.0)
        first = time.monotonic() - began
        pace.admit(0.25)
        assert first == pytest.approx(phase / 4, abs=0.05)
        assert time.monotonic() - began == pytest.approx(0.25 + phase / 4, abs=0.05)


@pytest.mark.parametrize("phase", [0.0, 0.5])
def test_capped_cameras_of_different_phases_are_read_at_different_instants(phase: float) -> None:
    pace = Pace(threading.Event(), 5.0, recorded=False, phase=phase)
    pace.before_read()
    slots = []
    for _ in range(5):
        pace.before_read()
        slots.append((time.monotonic() * 5.0 + phase) % 1)
    assert sorted(slots)[2] < 0.25  # a busy machine wakes late, but not always
