"""`emotion run`: the embedded server, the worker processes and who restarts them, the end of a run."""

__all__ = ["hosts", "launch", "pipeline", "processor", "server", "summary", "supervisor"]
