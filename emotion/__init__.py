"""The `emotion` command, the one-machine runner, and the stages without a queue for use from Python."""

__all__ = ["__main__", "analyzer", "idle", "labels", "written"]
