"""Facial emotion recognition. `from emotion_stream import analyze` (docs/how-to/python.md).

This is the one package that is imported and installed. In the repository the folders beside it hold its parts, and
the links in it lead there; a wheel holds the parts themselves.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # typing is not loaded for it: Ctrl-C could not end that quietly
if TYPE_CHECKING:
    from typing import Any

    from emotion_stream.emotion.analyzer import Analysis, Analyzer, Box, Face, Faces, Top, analyze, analyze_source
    from emotion_stream.emotion.python.subscribing import subscribe

__version__ = "0.1.0"
__all__ = ["Analysis", "Analyzer", "Box", "Face", "Faces", "Top", "analyze", "analyze_source", "subscribe"]


def __getattr__(name: str) -> Any:
    """Load the Python interface only when it is asked for: the command line starts faster without it."""
    if name in __all__:
        module = "python.subscribing" if name == "subscribe" else "analyzer"
        return getattr(importlib.import_module(f"emotion_stream.emotion.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
