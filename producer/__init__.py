"""The producer: reads cameras, URLs, videos and image folders, and appends their frames as JPEG to a stream."""

__all__ = ["__init__", "changes", "loop"]
