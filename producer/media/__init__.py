"""Video as FFmpeg (PyAV) reads it: opening it, and the picture as players show it."""

__all__ = ["bursts", "clock", "container", "shown"]
