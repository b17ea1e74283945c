"""The classification stage: labels crops, with one of several back ends."""

__all__ = ["__init__", "backend", "classifier", "onnxruntime_backend", "openvino_backend"]
