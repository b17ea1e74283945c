"""What a process needs of its surroundings before it says anything: three open streams, and letters."""

import codecs
import io
import os
import sys

from emotion_stream.shared.errors import EmotionError

if sys.platform != "win32":
    import fcntl


def settle() -> None:
    """Make sure that whatever is said can be said. To be called first, by programs only.

    A standard stream that is closed becomes the null device: else the next file that is opened gets its number,
    and what is said by libraries goes there. In a locale without Unicode (C, EUC-JP) the process begins anew with
    file names and files in UTF-8; the terminal keeps its own letters, and what it has none for is an escape.
    """
    _open_all()
    if not sys.flags.utf8_mode and not is_unicode(sys.getfilesystemencoding()):
        terminal = sys.stdout.encoding if sys.stdout is not None else "utf-8"
        os.environ |= {"PYTHONUTF8": "1", "PYTHONIOENCODING": f"{terminal}:backslashreplace"}
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print to standard output, at once.

    Raises:
        EmotionError: it takes nothing, as where it goes to a full disk.
        BrokenPipeError: whoever read it has had enough.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as e:
        discard_output()
        raise EmotionError(f"cannot write standard output: {e.strerror}") from e


def discard_output() -> None:
    """Keep the interpreter from failing on what is left in the buffer when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def has_terminal() -> bool:
    """Whether somebody at a terminal has started this process, and is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except (OSError, AttributeError):  # the latter where there are no such terminals
        return False
    return True


def is_unicode(encoding: str) -> bool:
    """Whether it has all letters. Pure."""
    return codecs.lookup(encoding).name.startswith("utf")


def _open_all() -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if not _usable(number):
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:  # so does Python where the stream is closed
            how = "w" if number else "r"
            setattr(sys, name, open(number, how, encoding="utf-8", closefd=False))  # noqa: SIM115


def _usable(number: int) -> bool:
    """Whether a standard stream is open, and can be written if it is for writing."""
    try:
        os.fstat(number)
        if number == 0 or sys.platform == "win32":
            return True
        return fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return False
