"""Pictures with boxes, words and bars, and pictures with faces made unrecognisable."""

__all__ = ["draw", "panel", "privacy", "resize", "text"]
