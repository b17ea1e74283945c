"""What travels through Redis: the messages, their form on the wire, and the bounds they are checked against."""

__all__ = ["bounds", "codec", "jpeg", "manifest", "scene", "signal", "types"]
