"""A screen for tests: Xvfb on a free display, operated through xdotool."""

import ctypes
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from tests.support.pictures import Image

SIZE = 1400, 900
_TOOLS = ("Xvfb", "xdotool")
_Z_PIXMAP, _CLIENT_MESSAGE = 2, 33


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


@dataclass(frozen=True)
class Display:
    """A running X server; `name` is for DISPLAY."""

    name: str
    process: "subprocess.Popen[bytes]"

    def windows(self, title: str = ".") -> list[int]:
        """Windows whose title matches a regular expression."""
        out = self._do("search", "--onlyvisible", "--name", title)
        return [int(line) for line in out.split()]

    def title(self, window: int) -> str:
        return self._do("getwindowname", str(window)).strip()

    def press(self, window: int, key: str) -> None:
        """Press a key in a window, as a person would."""
        self._do("windowfocus", str(window), "key", key)

    def resize(self, window: int, width: int, height: int) -> None:
        self._do("windowsize", "--sync", str(window), str(width), str(height))

    def look(self, window: int) -> Image:
        """What a window shows, BGR."""
        with self._connected() as (xcb, connection):
            asked = xcb.xcb_get_geometry(connection, window)
            width, height = struct.unpack_from(
                "=HH", _reply(xcb.xcb_get_geometry_reply(connection, asked, None)), 16
            )
            asked = xcb.xcb_get_image(connection, _Z_PIXMAP, window, 0, 0, width, height, 0xFFFFFFFF)
            data = _reply(xcb.xcb_get_image_reply(connection, asked, None), width * height * 4)
        return np.frombuffer(data, np.uint8, offset=32).reshape(height, width, 4)[..., :3].copy()

    def close(self, window: int) -> None:
        """Ask a window to close, as the button in its frame does (WM_DELETE_WINDOW)."""

        def atom(name: bytes) -> int:
            asked = xcb.xcb_intern_atom(connection, 0, len(name), name)
            return int.from_bytes(_reply(xcb.xcb_intern_atom_reply(connection, asked, None))[8:12], sys.byteorder)

        with self._connected() as (xcb, connection):
            protocols, delete = atom(b"WM_PROTOCOLS"), atom(b"WM_DELETE_WINDOW")
            event = struct.pack("=BBHII5I", _CLIENT_MESSAGE, 32, 0, window, protocols, delete, 0, 0, 0, 0)
            xcb.xcb_send_event(connection, 0, window, 0, event)
            # A busy server that finds the connection hung up drops what it has not read yet. So wait for an answer
            # to a later question: requests are served in order.
            atom(b"WM_PROTOCOLS")

    @contextmanager
    def _connected(self) -> Iterator[tuple[ctypes.CDLL, ctypes.c_void_p]]:
        xcb = ctypes.CDLL("libxcb.so.1")
        for name in ("connect", "get_geometry_reply", "get_image_reply", "intern_atom_reply"):
            getattr(xcb, f"xcb_{name}").restype = ctypes.c_void_p
        connection = ctypes.c_void_p(xcb.xcb_connect(self.name.encode(), None))
        try:
            yield xcb, connection
        finally:
            xcb.xcb_disconnect(connection)

    def _do(self, *arguments: str) -> str:
        env = {**os.environ, "DISPLAY": self.name}
        done = subprocess.run(["xdotool", *arguments], env=env, capture_output=True, text=True, timeout=30)
        return done.stdout


def _reply(address: int | None, more: int = 0) -> bytes:
    """A reply of the X server: 32 bytes, and more where it has some. Leaks it, as tests may."""
    assert address, "the X server refuses: is the window still there?"
    return ctypes.string_at(address, 32 + more)


@contextmanager
def x_server(*more: str) -> Iterator[Display]:
    """A display of the test's own, with more flags for Xvfb; skips the test where no display can be made."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: no display to test windows on")
    there, here = os.pipe()
    screen = f"{SIZE[0]}x{SIZE[1]}x24"
    process = subprocess.Popen(
        ["Xvfb", "-displayfd", str(here), "-screen", "0", screen, "-nolisten", "tcp", *(more or ("-noreset",))],
        pass_fds=[here],
        stderr=subprocess.DEVNULL,
    )
    os.close(here)
    try:
        with os.fdopen(there) as told:
            number = told.readline().strip()
        assert number, "Xvfb does not start"
        yield Display(f":{number}", process)
    finally:
        process.kill()
        process.wait()
