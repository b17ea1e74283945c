"""The process behind the output `window`: takes results from a pipe and shows the newest of each camera.

Windows live in a process of their own, because the windowing system wants the main thread and its attention at all
times, and the sink has neither to give: a slow or stuck screen never holds up the pipeline.
"""

import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import cv2

from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.types import FrameInfo, Outcome
from emotion_stream.shared.words.words import AUTO, ENGLISH, Words, chosen
from emotion_stream.sink.drawing.draw import NO_EPOCH, Rate
from emotion_stream.sink.drawing.panel import compose, natural_size
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.window.screen import Screen, pressed

PUMP = 0.02
"""Seconds between two looks at what has come, while the windows are served."""
SILENT = 2.0
"""Seconds without a new frame after which the window says so: a frozen picture is not a live one."""
EMPTY = 640, 360
"""Pixels of the place for a picture that has not come yet."""
_TOLD = 3.0
"""Seconds for which the window says where a snapshot went."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One frame to show: the result, its picture if there is one, and the camera's frames per second.

    `came` is when it came, seconds of the monotonic clock.
    """

    result: Result
    image: Image | None
    fps: float | None
    came: float


@dataclass(frozen=True, slots=True)
class Ready:
    """To the sink: frames are taken from now on."""


@dataclass(frozen=True, slots=True)
class Ended:
    """To the sink: somebody pressed `q` or closed the last window."""


@dataclass(frozen=True, slots=True)
class Saved:
    """To the sink: a snapshot was stored in this file, or why not."""

    path: str
    error: str | None = None


Word = Ready | Ended | Saved
Given = tuple[Result, Image | None] | dict[str, Signal] | str | None
"""From the sink: a result and its picture, how the cameras do, or the name of one that has gone; None ends it."""


class Inbox:
    """The newest frame of each camera, filled by a thread of its own so that the sink never waits for a window."""

    def __init__(self, pipe: "Connection[Word, Given]") -> None:
        self._pipe = pipe
        self._news = threading.Condition()
        self._shots: dict[str, Shot] = {}
        self._rates: dict[str, Rate] = {}
        self._over = False
        self._gone: set[str] = set()
        self.signals: Mapping[str, Signal] = {}
        """How each camera does; replaced as a whole."""
        threading.Thread(target=self._fill, name="inbox", daemon=True).start()

    def _fill(self) -> None:
        while True:
            try:
                given = self._pipe.recv()
            except (EOFError, OSError):  # the sink has died
                given = None
            if given is None:
                break
            if isinstance(given, dict):
                self.signals = given
                continue
            if isinstance(given, str):
                self.signals = {camera: told for camera, told in self.signals.items() if camera != given}
                with self._news:
                    self._gone.add(given)
                    self._shots.pop(given, None)
                continue
            result, image = given
            with self._news:
                camera = result.info.camera
                rate = self._rates.setdefault(camera, Rate())
                fps = rate.update(result.info.captured_at + result.latency)
                self._shots[camera] = Shot(result, image, fps, time.monotonic())
                self._news.notify()
        with self._news:
            self._over = True
            self._news.notify()

    def take(self, wait: float) -> dict[str, Shot]:
        """What has come since the last call, by camera; where nothing has, wait so many seconds for it."""
        with self._news:
            if not self._shots and not self._over and wait > 0:
                self._news.wait(wait)
            shots, self._shots = self._shots, {}
            return shots

    def gone(self) -> set[str]:
        """The cameras that have gone since the last call."""
        with self._news:
            gone, self._gone = self._gone, set()
            return gone

    @property
    def over(self) -> bool:
        """Whether nothing will come any more."""
        with self._news:
            return self._over


def empty(camera: str, signal: Signal) -> Shot:
    """What the window of a camera shows that has given no picture yet. Pure, but for the time."""
    width, height = EMPTY
    info = FrameInfo(camera, signal.source, NO_EPOCH, 0, signal.since, 0.0, width, height, "live")
    reason = Outcome.error(signal.reason or "it has given no picture yet")
    return Shot(Result(info, reason, (), (), 0.0), None, None, time.monotonic())


class View:
    """The window of one camera and what it shows."""

    def __init__(self, shot: Shot, notice: str, words: Words = ENGLISH) -> None:
        info = shot.result.info
        self.screen = Screen(f"{info.called} - Emotion Stream", (info.width, info.height))
        self._notice = notice
        self.words = words
        self._shot = self._newest = shot
        self._paused = False
        self._signal: Signal | None = None
        self._told = ("", 0.0)
        self._drawn: object = None

    def take(self, shot: Shot) -> None:
        """Show this one next, unless paused. One whose picture has left the stream is passed over."""
        if shot.image is None and shot.result.outcome.status == "ok":
            return
        self._newest = shot
        if not self._paused:
            self._shot = shot

    def pause(self, paused: bool) -> None:
        """Hold what is shown, or go on with the newest."""
        self._paused = paused
        self._shot = self._shot if paused else self._newest

    def tell(self, text: str) -> None:
        """Show a line for a few seconds."""
        self._told = (text, time.monotonic() + _TOLD)

    def draw(self, signal: Signal | None = None) -> None:
        """Bring the window up to date, if anything has changed. `signal`: how its camera does."""
        self._signal = signal
        size, notes = self.screen.size, self._notes(time.monotonic())
        now = (self._shot, size, notes)
        if now != self._drawn:
            self._drawn = now
            self.screen.show(self._composed(size, notes))

    def save(self, folder: Path) -> Saved:
        """Store what is shown, at the picture's own size, as `<camera>-<seq>.png` in a folder."""
        info = self._shot.result.info
        view = self._composed(natural_size(info.width, info.height), keys="")
        data = cv2.imencode(".png", view, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        path, n = folder / f"{info.camera}-{info.seq:08}.png", 1
        while True:
            try:
                with path.open("xb") as file:
                    file.write(data)
            except FileExistsError:
                n += 1
                path = folder / f"{info.camera}-{info.seq:08}-{n}.png"
            except OSError as e:
                return Saved(str(path), e.strerror or "unknown reason")
            else:
                return Saved(str(path))

    def _composed(self, size: tuple[int, int], notes: Sequence[str] = (), keys: str | None = None) -> Image:
        shot = self._shot
        return compose(shot.image, shot.result, size, shot.fps, notes, self._notice, keys, self.words)

    def _notes(self, now: float) -> tuple[str, ...]:
        text, until = self._told
        silent = now - self._newest.came
        trouble = trouble_of(self._signal, time.time(), self.words) if self._signal else ""
        notes = (
            self.words("picture.paused") if self._paused else "",
            trouble or (self._silent(silent) if silent >= SILENT else ""),
            text if now < until else "",
        )
        return tuple(filter(None, notes))

    def _silent(self, seconds: float) -> str:
        return self.words("picture.silent", time=self.words("units.s", n=f"{seconds:.0f}"))


def trouble_of(signal: Signal, now: float, words: Words) -> str:
    """A line for people: "No signal: 401 Unauthorized. Trying again in 8 s"; empty where all is well. Pure."""
    if signal.reason is None:
        return ""
    text = words.reason(signal.said(now) or "")
    text = words("camera.no_signal_why", why=text) if signal.state == "lost" else text[:1].upper() + text[1:]
    retry = signal.retry_s(now)
    return words("camera.again_in", text=text, n=f"{retry:.0f}") if retry is not None and retry >= 1 else text


def told_saved(saved: Saved, words: Words) -> str:
    """Where a snapshot went, or why not, for people. Pure."""
    if saved.error is None:
        return words("picture.saved", path=saved.path)
    return words("picture.not_saved", why=saved.error)


def show(pipe: "Connection[Word, Given]", notice: str = "", language: str = AUTO) -> None:
    """Show windows until the sink ends, or somebody has had enough.

    Keys: `q` or Esc ends, space pauses, `s` saves a snapshot of every window into the current folder.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the sink, which closes the pipe when it is done
    cv2.setNumThreads(1)
    inbox = Inbox(pipe)
    words = chosen(language) or ENGLISH
    pipe.send(Ready())
    views: dict[str, View] = {}
    paused = False
    try:
        while not inbox.over:
            for camera in inbox.gone():
                if camera in views:
                    views.pop(camera).screen.close()
            for camera, shot in inbox.take(0.0 if views else 0.5).items():
                if camera in views:
                    views[camera].take(shot)
                else:
                    views[camera] = View(shot, notice, words)
            for camera, told in inbox.signals.items():
                if camera not in views and told.state == "lost":
                    views[camera] = View(empty(camera, told), notice, words)
            if not views:
                continue
            for camera, view in views.items():
                view.draw(inbox.signals.get(camera))
            key = pressed(PUMP)
            if key == " ":
                paused = not paused
                for view in views.values():
                    view.pause(paused)
            elif key == "s":
                for view in views.values():
                    saved = view.save(Path())
                    view.tell(told_saved(saved, words))
                    pipe.send(saved)
            if key == "q" or all(view.screen.closed for view in views.values()):
                pipe.send(Ended())
                break
    except (BrokenPipeError, ConnectionResetError):
        pass  # the sink is gone
    finally:
        cv2.destroyAllWindows()
