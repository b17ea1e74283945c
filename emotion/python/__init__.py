"""From Python: what pictures may be given as, what comes back, and how another program listens to a pipeline."""

__all__ = ["results", "taking"]
