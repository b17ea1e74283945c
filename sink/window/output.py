"""The output `window`: a window per camera with the picture, the faces and their bars."""

import contextlib
import logging
import threading
from collections.abc import Callable
from multiprocessing import get_context

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import NOTICE
from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.types import FrameInfo
from emotion_stream.shared.words.words import AUTO
from emotion_stream.sink.results.monitor import Report
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.window import viewer
from emotion_stream.sink.window.screen import check_display

log = logging.getLogger(__name__)

INSTEAD = "use --output web, which any browser shows"
"""What to do where there is no display."""
_START = 45.0
"""Seconds that the windows' process may take to start: the frames of a run begin only then."""
_PATIENCE = 3.0
"""Seconds that the windows may take to close."""


class Window:
    """Hands results to a process that shows them; which of them it shows is up to that.

    Closing the last window, or `q` in one, asks the run to end; results go on being taken, and are shown no more.

    Raises:
        EmotionError: there is no display.
    """

    needs_image = True

    def __init__(self, end: Callable[[], None], notice: str = "", language: str = AUTO) -> None:
        """
        Args:
            end: asks the run to end; called once, by another thread.
            notice: a line to show with the pictures; empty for none.
            language: as `--language` names it.
        """
        check_display(INSTEAD)
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._end = end
        self._over = self._lost = False
        self._signals: dict[str, Signal] = {}
        how = theirs, notice, language
        self._viewer = context.Process(target=viewer.show, args=how, name="window", daemon=True)
        self._viewer.start()
        theirs.close()
        if not self._pipe.poll(_START):
            raise EmotionError(f"the window's process does not start within {_START:.0f} s")
        self._listener = threading.Thread(target=self._listen, name="window", daemon=True)
        self._listener.start()

    def write(self, result: Result, image: Image | None) -> None:
        """Hand the result to the window.

        Raises:
            EmotionError: the process of the window has died.
        """
        if self._lost:
            raise EmotionError("the window's process has died: is the display still there?")
        if self._over:
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the listener finds out why
            self._pipe.send((result, image))

    def wants_image(self, info: FrameInfo) -> bool:
        """Whether a picture of this frame would be shown."""
        return not self._over

    def lost(self, camera: str, reason: str, count: int) -> None:
        """Nothing to do: the window tells of what it shows."""

    def let_go(self, camera: str) -> None:
        """Close the window of this camera."""
        if not self._over:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._pipe.send(camera)

    def report(self, report: Report) -> None:
        """Pass on how the cameras do, where that has changed."""
        signals = dict(report.signals)
        if signals != self._signals and not self._over:
            self._signals = signals
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._pipe.send(signals)

    def flush(self) -> None:
        """Nothing to do: nothing is stored."""

    def close(self) -> None:
        """Close the windows. May be called twice."""
        self._over = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._pipe.send(None)
        self._viewer.join(_PATIENCE)
        if self._viewer.exitcode is None:
            self._viewer.kill()
        self._listener.join(_PATIENCE)

    def _listen(self) -> None:
        while True:
            try:
                word = self._pipe.recv()
            except (EOFError, OSError):
                break
            match word:
                case viewer.Saved(path, None):
                    log.log(NOTICE, "saved %s", path)
                case viewer.Saved(path, error):
                    log.warning("cannot write %s: %s", path, error)
                case viewer.Ended() if not self._over:
                    self._over = True
                    self._end()
        self._lost = not self._over
