"""The sections of `emotion bench`: each has `run(plan)`, which measures and returns a `Section`."""

__all__ = ["cameras", "latency", "profiling", "scaling", "start", "throughput"]
