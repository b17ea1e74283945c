"""What a result is, what an output must do, and the statistics of a run."""

__all__ = ["history", "kept", "monitor", "output", "pose", "stats"]
