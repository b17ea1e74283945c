"""How long results are kept: files that roll over, and the oldest that go."""

__all__ = ["keeper", "naming", "opening", "rules", "store"]
