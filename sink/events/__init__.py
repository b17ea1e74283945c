"""Events: what has changed, told once; and where people's other software gets it."""

__all__ = ["broker", "cameras", "event", "lines", "mqtt", "names", "post", "watch", "webhook"]
