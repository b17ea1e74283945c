"""Live sources: cameras of this machine and of the network, opened again when they fail."""

__all__ = ["device", "doctor", "grab", "listen", "mjpeg", "permission", "source", "url"]
