"""`emotion train` and `emotion runs`."""

__all__ = ["backend", "feeding", "resume", "runs", "train", "trainable"]
