"""The Haar cascade, and the search that looks where faces are to be expected."""

__all__ = ["cascade", "detector", "schedule", "search"]
