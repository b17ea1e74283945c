"""Errors that end a process with one clear line instead of a traceback."""

import shlex
import sys


class EmotionError(Exception):
    """Something outside the program is wrong; the message says what, and what to do. Exit code 1."""

    exit_code = 1


class UsageError(EmotionError):
    """A flag, setting or argument is wrong. Exit code 2."""

    exit_code = 2


class DecodeError(ValueError):
    """A stream entry is not a message of ours: garbage or out of bounds."""


class NewerSchema(DecodeError):
    """A message that only a newer version of this program can read."""


TRAIN_ENV = "`make train-env` makes an environment that has it, with .venv-train/bin/emotion"
"""What to do where a package is missing that only training, export and pictures of figures need."""


def to_install(*packages: str) -> str:
    """What to type where packages are missing that only some need: the Python that runs is to have them."""
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])
