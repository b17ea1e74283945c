"""What OpenCV does not ask the X server of Linux, through libxcb, to which OpenCV itself links."""

import contextlib
import ctypes
import struct

_RETAIN_TEMPORARY = 2
"""A close-down mode other than Destroy: the server does not reset itself when this connection, its last, ends."""
_SETUP_ROOTS = 20
"""Byte of a screen's description (`xcb_screen_t`) at which its width and height begin, two numbers of 16 bits."""


class _Screens(ctypes.Structure):
    """`xcb_screen_iterator_t`."""

    _fields_ = (("data", ctypes.c_void_p), ("rem", ctypes.c_int), ("index", ctypes.c_int))


def screen_size() -> tuple[int, int] | None:
    """Width and height of the display's first screen, pixels; None where no X server answers.

    It asks as OpenCV's Qt would, which ends the whole process when nobody answers.
    """
    xcb = ctypes.CDLL("libxcb.so.1")
    for name in ("xcb_connect", "xcb_get_setup", "xcb_get_input_focus_reply"):
        getattr(xcb, name).restype = ctypes.c_void_p
    xcb.xcb_setup_roots_iterator.restype = _Screens
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    try:
        if xcb.xcb_connection_has_error(connection):
            return None
        # A server without other clients would begin anew when this one leaves, and refuse who comes meanwhile.
        xcb.xcb_set_close_down_mode(connection, _RETAIN_TEMPORARY)
        asked = xcb.xcb_get_input_focus(connection)
        reply = ctypes.c_void_p(xcb.xcb_get_input_focus_reply(connection, asked, None))  # all above is done
        ctypes.CDLL(None).free(reply)
        screens = xcb.xcb_setup_roots_iterator(ctypes.c_void_p(xcb.xcb_get_setup(connection)))
        if not screens.rem:
            return None
        return struct.unpack_from("=HH", ctypes.string_at(screens.data, _SETUP_ROOTS + 4), _SETUP_ROOTS)
    finally:
        xcb.xcb_disconnect(connection)


def match_xlib() -> None:
    """Give Qt the libX11-xcb that belongs to this machine's libX11. Call it before the first window.

    OpenCV's wheel brings an older libX11-xcb along, but not its libX11. The older one writes "events belong to
    XCB" to another place than the newer libX11 reads. So Xlib takes events away from Qt where Qt's own reader
    starts late, as on a busy machine: the window never learns that it is on the screen, and stays black.
    """
    with contextlib.suppress(OSError):  # a machine without it has the wheel's
        ctypes.CDLL("libX11-xcb.so.1", mode=ctypes.RTLD_GLOBAL)
