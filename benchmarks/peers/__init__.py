"""What the pipeline is compared with, each in a process of its own."""

__all__ = ["running"]
