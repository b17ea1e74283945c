"""Ctrl-C while a command begins."""

import signal
from types import FrameType


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
