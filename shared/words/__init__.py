"""Every word that people read in pictures, on the page and in reports: one file per language."""

__all__ = ["words"]
