"""How the sample clip is made; not part of what is installed."""

__all__ = ["make_sample"]
