"""How a figure is made: the plan, the pipeline as processes, their CPU time, clips, tables."""

__all__ = ["clips", "hops", "loop", "machine", "pipeline", "plan", "processes", "report", "script", "tracing"]
