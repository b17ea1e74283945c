"""What a result is, what an output must do, and the statistics of a run."""

__all__ = ["hearing", "history", "kept", "leaving", "monitor", "output", "pose", "stats"]
