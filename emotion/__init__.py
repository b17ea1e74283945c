"""Facial emotion recognition. From Python: `from emotion import analyze` (see docs/python.md)."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emotion.analyzer import Analysis, Analyzer, Box, Face, analyze, analyze_source

__all__ = ["Analysis", "Analyzer", "Box", "Face", "analyze", "analyze_source"]


def __getattr__(name: str) -> Any:
    """Loads the Python interface only when it is asked for: the command line starts faster without it."""
    if name in __all__:
        return getattr(importlib.import_module("emotion.analyzer"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
