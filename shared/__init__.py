"""What every stage uses and no stage owns: messages, streams, the worker loop, settings, metrics, health."""

__all__ = ["claims", "errors", "interrupt", "locks", "log", "smaller", "terminal", "whole"]
