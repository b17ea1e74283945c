"""What travels through Redis: the messages, their form on the wire, and the bounds they are checked against."""

__all__ = [
    "areas",
    "bounds",
    "camera",
    "codec",
    "geometry",
    "jpeg",
    "manifest",
    "scene",
    "signal",
    "sound",
    "types",
]
