"""Ctrl-C and SIGHUP while a command begins."""

import os
import signal
import sys
import threading
from types import FrameType

from emotion_stream.shared.terminal import has_terminal


def interrupt(number: int, frame: FrameType | None) -> None:
    """End what is beginning. Python drops what is raised within some of its own callbacks, so that a first Ctrl-C
    could go unheard: whoever takes the signal over asks `was_interrupted`."""
    signal.signal(number, interrupt_again)
    raise KeyboardInterrupt


def interrupt_again(number: int, frame: FrameType | None) -> None:
    """End it after a Ctrl-C that nobody may have heard."""
    raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Whether there was a Ctrl-C since `interrupt` was set to handle it."""
    return signal.getsignal(signal.SIGINT) is interrupt_again


def hear_hang_ups() -> None:
    """From now on SIGHUP asks for the settings file to be read again, and whoever takes the signal over asks
    `was_hung_up`. It still ends a process whose terminal has gone."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else somebody wants it otherwise, as nohup does
        signal.signal(signal.SIGHUP, _at_terminal if has_terminal() else _hung_up)


def hear_none() -> None:
    """SIGHUP does again what it did before `hear_hang_ups`, unless somebody has taken it over."""
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) in (_at_terminal, _hung_up, _hung_up_before):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def was_hung_up() -> bool:
    """Whether there was a SIGHUP since `hear_hang_ups`."""
    return sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is _hung_up_before


def _at_terminal(number: int, frame: FrameType | None) -> None:
    if has_terminal():
        _hung_up(number, frame)
        return
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _hung_up(number: int, frame: FrameType | None) -> None:
    signal.signal(number, _hung_up_before)


def _hung_up_before(number: int, frame: FrameType | None) -> None:
    """It is known already."""
