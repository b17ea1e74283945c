"""Windows on this machine's screen, through OpenCV. All calls must come from the main thread of one process."""

import os
import sys

import cv2

from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.drawing.panel import natural_size
from emotion_stream.sink.results.output import Image
from emotion_stream.sink.window.x11 import match_xlib, screen_size

_LARGEST = 1600, 900
"""Pixels of a new window at the most; people make it larger."""
_FILL = 0.9
"""Part of the screen that a new window takes at the most, each way: it has a frame, and there are bars."""


def check_display(instead: str) -> None:
    """Make sure that windows can be opened here. Opens none.

    Args:
        instead: what to do where they cannot, for the message.

    Raises:
        EmotionError: there is no display, or OpenCV was built without windows.
    """
    if not cv2.currentUIFramework():
        raise EmotionError(f"this OpenCV cannot open windows (is it opencv-python-headless?): {instead}")
    if sys.platform == "linux" and screen_size() is None:
        name = os.environ.get("DISPLAY")
        why = f"DISPLAY={name} does not answer" if name else "DISPLAY is not set"
        raise EmotionError(f"there is no display here to open a window on ({why}): {instead}")


def fit(natural: tuple[int, int], screen: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of a new window, pixels: the natural ones, smaller where the screen asks for it. Pure.

    Args:
        natural: width and height that suit what is shown, pixels.
        screen: width and height of the screen, pixels; None where they are not known.
    """
    width, height = natural
    widest, highest = (float(side) for side in _LARGEST)
    if screen:
        widest, highest = min(widest, screen[0] * _FILL), min(highest, screen[1] * _FILL)
    scale = min(1.0, widest / width, highest / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


class Screen:
    """One window. It shows a picture as large as the window is; whoever draws asks for `size` first."""

    def __init__(self, title: str, picture: tuple[int, int]) -> None:
        """Open a window that suits a picture of this width and height, pixels, with its panel."""
        if sys.platform == "linux":
            os.environ["QT_QPA_PLATFORM"] = "xcb"  # the only one that OpenCV's package brings along
            match_xlib()
        self._title = title
        self._size = fit(natural_size(*picture), screen_size() if sys.platform == "linux" else None)
        # The panel is laid out anew for every size, so the picture keeps its ratio and the window need not.
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(title, *self._size)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the window's inside, pixels."""
        if not self.closed:
            _, _, width, height = cv2.getWindowImageRect(self._title)
            if width > 0 and height > 0:
                self._size = width, height
        return self._size

    @property
    def closed(self) -> bool:
        """Whether somebody has closed it."""
        try:
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:  # when the last window is closed, OpenCV takes its whole interface down
            return True

    def close(self) -> None:
        """Close it, if nobody has."""
        if not self.closed:
            cv2.destroyWindow(self._title)

    def show(self, view: Image) -> None:
        """Put a picture of this window's size into it; seen after the next `pressed`. Closed ones stay closed."""
        if not self.closed:
            cv2.imshow(self._title, view)


def pressed(seconds: float) -> str:
    """Handle what happens to all windows for so long, at least 1 ms; the key that was pressed, or "".

    "q" is also Esc. There must be a window.
    """
    code = cv2.waitKey(max(1, round(seconds * 1000)))
    if code < 0:
        return ""
    return "q" if code & 0xFF == 27 else chr(code & 0xFF).lower()
