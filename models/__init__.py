"""The network and its data, training, evaluation and export."""

__all__ = ["calibration", "folders", "labels", "network", "onnx_export", "openvino_export", "weights"]
