"""The last stage: restores order, follows faces, and shows or stores the results."""

__all__ = ["__init__", "catalogue", "claims", "clock", "marks", "order", "veil"]
