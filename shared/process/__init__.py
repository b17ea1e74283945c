"""What every process of a stage does: the worker loop, its watchdog, health and metrics."""

__all__ = ["metrics", "service", "stage", "watchdog", "worker"]
