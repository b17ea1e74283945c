"""How a small benchmark is called: it explains itself by its docstring, and bad input gets one line."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import first_line

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Where photos, clips and FER-2013 lie beside the repository, if they do."""


@contextmanager
def script(name: str, text: str | None) -> Iterator[argparse.ArgumentParser]:
    """A parser for the arguments of `benchmarks.<name>`, whose docstring is `text`. What goes wrong inside ends
    the process with a line and exit code 1."""
    usage = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=text, formatter_class=usage)
    try:
        yield parser
    except (EmotionError, OSError, ImportError) as e:
        sys.exit(f"{name}: {first_line(e)}")


def data_folder(text: str) -> Path:
    """A folder with photos whose faces are known, for argparse.

    Raises:
        ArgumentTypeError: it is none.
    """
    folder = Path(text)
    if not (folder / "faces" / "training.xml").is_file() or not (folder / "video").is_dir():
        raise argparse.ArgumentTypeError(f"{text} holds no faces/training.xml, or no video/")
    return folder


def at_least_one(text: str) -> int:
    """A whole number from 1 on, for argparse.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def seconds(text: str) -> float:
    """A length of time, for argparse.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        length = float(text)
    except ValueError:
        length = 0.0
    if not 0 < length < 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return length
