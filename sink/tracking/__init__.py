"""Tracks: which face is which from frame to frame, and labels that do not flicker."""

__all__ = ["cuts", "follow", "posters", "tracks"]
