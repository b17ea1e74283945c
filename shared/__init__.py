"""What every stage uses and no stage owns: messages, streams, the worker loop, settings, metrics, health."""

__version__ = "0.1.0"
