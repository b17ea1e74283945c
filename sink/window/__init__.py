"""The output `window`."""

__all__ = ["output", "screen"]
