"""The output `window` on a real (virtual) screen: what is seen, the keys, closing it, and no screen at all."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.log import NOTICE
from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.types import OK, Box, FrameInfo, Prediction
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.sink.catalogue import parse
from emotion_stream.sink.drawing.draw import COLOURS
from emotion_stream.sink.drawing.panel import compose, natural_size
from emotion_stream.sink.results.monitor import Report
from emotion_stream.sink.results.output import Face, Result
from emotion_stream.sink.results.stats import Stats
from emotion_stream.sink.window.output import Window
from emotion_stream.sink.window.screen import fit
from emotion_stream.sink.window.viewer import SILENT, empty
from emotion_stream.sink.window.x11 import screen_size
from tests.support.display import SIZE, Display, until, x_server
from tests.support.pictures import Image, sample_frames

ROOT = Path(__file__).parents[3]
FAST = ("--scan-width=320", "--min-face=0.2", "--scale-factor=1.2")
LABELS = tuple(COLOURS)
NATURAL = natural_size(640, 360)
NOTICE_TEXT = "emotion recognition in use"


@pytest.fixture(scope="module")
def server() -> Iterator[Display]:
    with x_server() as display:
        yield display


@pytest.fixture
def display(server: Display, monkeypatch: pytest.MonkeyPatch) -> Display:
    monkeypatch.setenv("DISPLAY", server.name)
    return server


class Feed:
    """A window that is fed with frames of the sample clip."""

    def __init__(self, notice: str = "") -> None:
        self.ended = threading.Event()
        self.window = Window(self.ended.set, notice)
        self.image = sample_frames()[115]
        self._seq: dict[str, int] = {}

    def give(self, camera: str = "hall") -> tuple[Result, Image]:
        """Write the next frame of a camera; all are the same picture."""
        seq = self._seq[camera] = self._seq.get(camera, -1) + 1
        image = self.image
        info = FrameInfo(camera, "x", "a", seq, 1e9, 0.0, image.shape[1], image.shape[0], "live")
        shares = (0.02, 0.01, 0.02, 0.9, 0.01, 0.03, 0.01)
        faces = (Face.alone(7, Prediction(Box(379, 84, 156, 156), 1.0, shares)),)
        result = Result(info, OK, LABELS, faces, 0.05)
        self.window.write(result, image)
        return result, image


@pytest.fixture
def feed(display: Display) -> Iterator[Feed]:
    one = Feed(NOTICE_TEXT)
    yield one
    one.window.close()


def window_of(display: Display, camera: str) -> int:
    until(lambda: bool(display.windows(f"^{camera} - ")))
    return display.windows(f"^{camera} - ")[0]


def shows(display: Display, window: int, view: Image) -> bool:
    """Whether the window shows this."""
    seen = display.look(window)
    return seen.shape == view.shape and bool(np.abs(seen.astype(int) - view).mean() < 0.5)


def test_a_window_shows_picture_and_bars_at_any_size(display: Display, feed: Feed) -> None:
    result, image = feed.give()
    window = window_of(display, "hall")
    for size in (NATURAL, (450, 850), (1300, 500)):
        display.resize(window, *size)
        view = compose(image, result, size, notice=NOTICE_TEXT)
        until(lambda view=view: bool(feed.give()) and shows(display, window, view))  # type: ignore[misc]


def test_the_window_of_a_camera_that_has_gone_closes_and_opens_again(display: Display, feed: Feed) -> None:
    for camera in ("hall", "yard"):
        feed.give(camera)
        window_of(display, camera)
    feed.window.let_go("hall")
    until(lambda: not display.windows("^hall - "))
    assert display.windows("^yard - ")
    feed.give("hall")
    window_of(display, "hall")
    lost = Signal("lost", "refused", time.time(), "rtsp://x")
    feed.window.report(Report(Stats(), 0.0, (), {"hall": lost}))
    for camera in ("hall", "yard"):
        feed.window.let_go(camera)
    until(lambda: not display.windows())
    time.sleep(0.2)
    assert not display.windows(), "what was told of it before is out of date"
    feed.give("yard")  # nobody has closed anything: the run goes on
    window_of(display, "yard")
    assert not feed.ended.is_set()


def test_qt_uses_the_part_of_xlib_that_fits_this_machines_xlib(display: Display) -> None:
    """With the wheel's own part, a window on a busy machine stays black: Xlib takes away that it was mapped."""
    code = """
import ctypes, os
from emotion_stream.sink.window.screen import Screen, pressed
screen = Screen("part", (320, 180))
pressed(0.1)
libraries = {os.path.realpath(line.split()[-1]) for line in open("/proc/self/maps") if "/libX11" in line}
class Info(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char_p), ("base", ctypes.c_void_p), ("more", ctypes.c_void_p * 2)]
used = Info()
ctypes.CDLL(None).dladdr(ctypes.CDLL(None).XSetEventQueueOwner, ctypes.byref(used))
xlib, = {os.path.dirname(path) for path in libraries if "/libX11.so" in path}
assert os.path.dirname(os.path.realpath(used.file.decode())) == xlib, (used.file, libraries)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_process_of_the_windows_loads_no_pyav() -> None:
    """Its wheel brings libxcb libraries under the names of OpenCV's: Qt would hang in the wrong ones."""
    code = "import sys, emotion_stream.sink.window.viewer; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=100, check=False).returncode == 0


def test_looking_for_the_display_leaves_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that begins anew when its last client leaves, as of xvfb-run, refuses whoever comes meanwhile."""
    with x_server("-reset") as fresh:
        monkeypatch.setenv("DISPLAY", fresh.name)
        assert [screen_size() for _ in range(200)] == [SIZE] * 200


def test_a_new_window_fits_the_screen() -> None:
    assert fit((640, 360), (1440, 900)) == (640, 360)
    assert fit((1600, 720), (1440, 900)) == (1296, 583)
    assert fit((3000, 1000), (2560, 1440)) == (1600, 533)
    assert fit((3000, 1000), None) == (1600, 533)
    assert fit((300, 3000), (800, 600)) == (54, 540)


def test_each_camera_has_its_window_and_closing_the_last_ends_the_run(display: Display, feed: Feed) -> None:
    feed.give("hall")
    feed.give("door")
    hall, door = window_of(display, "hall"), window_of(display, "door")
    display.close(hall)
    until(lambda: hall not in display.windows())
    feed.give("hall")
    feed.give("door")
    assert not feed.ended.wait(0.5)
    assert display.windows("Emotion Stream") == [door]
    display.close(door)
    assert feed.ended.wait(30)
    until(lambda: not display.windows("Emotion Stream"))
    feed.give("hall")  # taken, and shown no more


@pytest.mark.parametrize("key", ["q", "Escape"])
def test_keys_that_end(display: Display, feed: Feed, key: str) -> None:
    feed.give()
    display.press(window_of(display, "hall"), key)
    assert feed.ended.wait(30)


def test_a_pause_holds_the_picture_and_then_shows_the_newest(display: Display, feed: Feed) -> None:
    result, image = feed.give()
    window = window_of(display, "hall")
    until(
        lambda: bool(feed.give()) and shows(display, window, compose(image, result, NATURAL, notice=NOTICE_TEXT))
    )
    display.press(window, "space")
    held = compose(image, result, NATURAL, notes=["paused"], notice=NOTICE_TEXT)
    until(lambda: bool(feed.give()) and shows(display, window, held))
    feed.image = np.asarray(255 - image, np.uint8)
    feed.give()
    time.sleep(0.5)
    feed.give()
    assert shows(display, window, held)
    display.press(window, "space")
    newest = compose(feed.image, result, NATURAL, notice=NOTICE_TEXT)
    until(lambda: bool(feed.give()) and shows(display, window, newest))


def test_snapshots_are_whole_pictures_and_overwrite_nothing(
    display: Display, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(NOTICE)
    (tmp_path / "hall-00000000.png").write_bytes(b"mine")
    feed = Feed()
    try:
        result, image = feed.give()
        window = window_of(display, "hall")
        display.resize(window, 500, 300)
        display.press(window, "s")
        path = tmp_path / "hall-00000000-2.png"
        until(lambda: "saved hall-00000000-2.png" in caplog.text)
        seen = cv2.imread(str(path))
        assert seen is not None
        assert np.array_equal(seen, compose(image, result, NATURAL, keys=""))
        assert (tmp_path / "hall-00000000.png").read_bytes() == b"mine"
    finally:
        feed.window.close()


def test_a_silent_camera_is_not_shown_as_live(display: Display, feed: Feed) -> None:
    feed.give()
    window = window_of(display, "hall")
    until(lambda: display.look(window).shape == (NATURAL[1], NATURAL[0], 3))
    time.sleep(SILENT / 4)
    before = display.look(window)[-60:]
    until(lambda: np.abs(display.look(window)[-60:].astype(int) - before).mean() > 1, 20)


def test_a_lost_camera_says_why(display: Display, feed: Feed) -> None:
    """One that has given no picture yet has a window, too."""
    result, image = feed.give("hall")
    hall = window_of(display, "hall")
    lost = Signal("lost", "401 Unauthorized", time.time(), "rtsp://x")
    feed.window.report(Report(Stats(), 0.0, (), {"hall": lost}))
    notes = ("No signal: 401 Unauthorized",)
    until(lambda: shows(display, hall, compose(image, result, NATURAL, None, notes, NOTICE_TEXT)))
    feed.window.report(Report(Stats(), 0.0, (), {"hall": lost, "door": lost}))
    door = window_of(display, "door")
    without = empty("door", lost).result
    until(lambda: shows(display, door, compose(None, without, NATURAL, None, notes, NOTICE_TEXT)))
    result, image = feed.give("door")
    feed.window.report(Report(Stats(), 0.0, (), {}))
    until(lambda: shows(display, door, compose(image, result, NATURAL, None, (), NOTICE_TEXT)))


def test_a_window_whose_display_is_gone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with x_server() as lost:
        monkeypatch.setenv("DISPLAY", lost.name)
        feed = Feed()
        feed.give()
        window_of(lost, "hall")
    with pytest.raises(EmotionError, match="display"):
        until(lambda: feed.give() is None)
    assert not feed.ended.is_set()
    feed.window.close()


def test_a_dead_sink_leaves_no_window(display: Display) -> None:
    code = "from tests.sink.window.test_window import Feed; import time; Feed().give(); time.sleep(100)"
    sink = subprocess.Popen([sys.executable, "-c", f"if __name__ == '__main__': {code}"], cwd=ROOT)
    try:
        window_of(display, "hall")
    finally:
        sink.kill()
        sink.wait()
    until(lambda: not display.windows("Emotion Stream"))


def test_without_a_display_one_line_suggests_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "emotion_stream", "run", "--source=sample", "--output=window"],
        env={**os.environ, "DISPLAY": ":987"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("emotion run: there is no display here")
    assert "DISPLAY=:987 does not answer" in done.stderr
    assert "--output web" in done.stderr
    assert done.stderr.count("\n") == 1
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(EmotionError, match=r"DISPLAY is not set.*web"):
        parse(["window"])


def test_a_window_takes_no_value_and_comes_once(display: Display) -> None:
    with pytest.raises(UsageError, match="no value"):
        parse(["window=big"])
    with pytest.raises(UsageError, match="once"):
        parse(["window", "window"])


def test_a_stage_on_its_own_stops_when_its_user_has_seen_enough() -> None:
    service = Service("sink", "", CommonOptions())
    service.end_run()
    assert service.stopping


@pytest.mark.timeout(300)
def test_a_run_in_a_window_ends_with_q_and_keeps_its_results(display: Display, tmp_path: Path) -> None:
    outputs = ("--output=window", "--output=jsonl=r.jsonl")
    command = [
        sys.executable,
        "-m",
        "emotion_stream",
        "run",
        "--source=sample",
        "--mode=live",
        "--loop",
        *outputs,
        *FAST,
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: bool(display.windows("^sample - ")) or run.poll() is not None, 200)
        window = window_of(display, "sample")
        time.sleep(1)
        display.press(window, "s")
        until(lambda: bool(list(tmp_path.glob("sample-*.png"))))
        time.sleep(1)  # until the runner has read what the sink says
        display.press(window, "q")
        _, errors = run.communicate(timeout=60)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 0, errors
    (saved,) = tmp_path.glob("sample-*.png")
    assert f"saved {saved.name}" in errors
    shown = int(errors.split("frames ")[1].split()[0])
    assert shown == len((tmp_path / "r.jsonl").read_text().splitlines()) > 0
    assert "not shown" not in errors


@pytest.mark.timeout(300)
def test_pictures_go_on_with_any_key_and_end_with_q(display: Display, tmp_path: Path) -> None:
    for n, size in enumerate(((640, 360), (320, 180), (64, 36), (200, 400))):
        cv2.imwrite(str(tmp_path / f"{n}.png"), cv2.resize(sample_frames()[115], size))
    command = [sys.executable, "-m", "emotion_stream", "picture", "--window", f"--image={tmp_path}/*.png"]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: bool(display.windows("Emotion Stream")) or run.poll() is not None, 200)
        (window,) = display.windows("Emotion Stream")
        until(lambda: display.look(window).std() > 20)
        first = display.look(window)
        display.press(window, "n")
        until(lambda: not np.array_equal(display.look(window), first))
        display.press(window, "q")
        out, errors = run.communicate(timeout=60)
    finally:
        run.kill()
        run.wait()
    assert (run.returncode, errors) == (0, "")
    assert [line.split(":")[0][-5:] for line in out.splitlines() if "pixels" in line] == ["0.png", "1.png"]
