"""From trained weights to an artifact that can be served."""

__all__ = ["artifact", "formats", "origin"]
