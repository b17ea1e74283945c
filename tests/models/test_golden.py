"""The same picture gives the same answer in every back end and precision, and as plain NumPy computes it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.classifier_worker.backend import Backend
from emotion_stream.classifier_worker.onnxruntime_backend import OnnxRuntimeBackend
from emotion_stream.classifier_worker.openvino_backend import OpenVinoBackend, served_weights
from emotion_stream.classifier_worker.tensorflow_backend import TensorFlowBackend
from emotion_stream.detector_worker.crop import crop_face
from emotion_stream.detector_worker.haar.cascade import FaceFinder
from emotion_stream.models import weights
from emotion_stream.models.calibration import softmax
from emotion_stream.models.network import DEPTHS, MEAN, convolutions
from emotion_stream.shared.messages.manifest import MODELS, Manifest, load_manifest, model_directory
from emotion_stream.shared.settings.options import DetectorOptions
from tests.support.model_files import artifact

Engine = type[OnnxRuntimeBackend] | type[TensorFlowBackend]
SAMPLE = Path(__file__).parents[2] / "samples" / "sample.mp4"


def plain(w: weights.Weights, crops: np.ndarray, heads: list[str]) -> dict[str, np.ndarray]:
    """The network in NumPy: logits [n, classes] per head of crops uint8 [n, size, size]."""
    x = (crops.astype(np.float32) - np.float32(MEAN))[..., None]
    for b, block in enumerate(convolutions(weights.widths_of(w)), start=1):
        for name, _, _ in block:
            around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            n, height, width, _ = x.shape
            windows = np.concatenate(
                [around[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], 3
            )
            kernel = w[f"{name}/kernel"]
            x = windows.reshape(-1, 9 * kernel.shape[2]) @ kernel.reshape(-1, kernel.shape[3])
            x = np.maximum(x + w[f"{name}/bias"], 0).reshape(n, height, width, -1)
        if b < len(DEPTHS):
            n, height, width, channels = x.shape
            x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
    features = x.mean(axis=(1, 2))
    return {head: features @ w[f"{head}/kernel"] + w[f"{head}/bias"] for head in heads}


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """Faces of the sample clip as the pipeline cuts them out, uint8 [n, 48, 48]."""
    manifest, finder = load_manifest(), FaceFinder(DetectorOptions())
    clip, cut = cv2.VideoCapture(str(SAMPLE)), []
    for _ in range(3):
        read, frame = clip.read()
        assert read
        gray = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        cut += [crop_face(gray, box, manifest.size, manifest.margin) for box, _ in finder.find(gray)]  # type: ignore[arg-type]
    clip.release()
    assert cut
    return np.frombuffer(b"".join(cut[:4]), np.uint8).reshape(-1, manifest.size, manifest.size)


def probabilities(backend: Backend, manifest: Manifest, crops: np.ndarray) -> dict[str, np.ndarray]:
    backend.open()
    logits = backend.every_head(crops)
    backend.close()
    return {head.name: softmax(logits[head.name].astype(np.float64), head.temperature) for head in manifest.heads}


def expected(w: weights.Weights, manifest: Manifest, crops: np.ndarray) -> dict[str, np.ndarray]:
    logits = plain(w, crops, [head.name for head in manifest.heads])
    return {head.name: softmax(logits[head.name].astype(np.float64), head.temperature) for head in manifest.heads}


TENSORFLOW = [pytest.mark.needs("tensorflow"), pytest.mark.filterwarnings("default")]
OTHERS = pytest.mark.parametrize(
    "engine", [OnnxRuntimeBackend, pytest.param(TensorFlowBackend, marks=TENSORFLOW)], ids=["onnx", "tensorflow"]
)
"""The engines that compute in float32 only."""


@pytest.fixture(scope="module", params=MODELS)
def shipped(request: pytest.FixtureRequest, crops: np.ndarray) -> tuple[Manifest, dict[str, np.ndarray]]:
    """Each model in models/artifacts, and what plain NumPy computes with its weights."""
    manifest = load_manifest(model_directory(request.param))
    return manifest, expected(served_weights(manifest)[0], manifest, crops)


def test_the_model_that_is_shipped(crops: np.ndarray, shipped: tuple[Manifest, dict[str, np.ndarray]]) -> None:
    manifest, truth = shipped
    # int8 rounds activations to 1/256 of their range: a probability moves by some hundredths
    tolerances = {"int8": 0.12, "bf16": 0.04, "fp32": 2e-3}
    for precision in ("int8", "bf16", "fp32"):
        answers = probabilities(OpenVinoBackend(manifest, precision, manifest.default_head), manifest, crops)
        for head, values in answers.items():
            np.testing.assert_allclose(
                values, truth[head], atol=tolerances[precision], err_msg=f"{precision} {head}"
            )


@OTHERS
def test_the_model_that_is_shipped_in_other_engines(
    crops: np.ndarray, shipped: tuple[Manifest, dict[str, np.ndarray]], engine: Engine
) -> None:
    manifest, truth = shipped
    answers = probabilities(engine(manifest, "fp32", manifest.default_head), manifest, crops)
    for head, values in answers.items():
        np.testing.assert_allclose(values, truth[head], atol=2e-3, err_msg=head)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.03)])
def test_any_model_in_openvino(crops: np.ndarray, tmp_path: Path, precision: str, tolerance: float) -> None:
    manifest = artifact(tmp_path, with_npz=True)
    truth = expected(weights.load(manifest.paths("weights")[0]), manifest, crops)
    answers = probabilities(OpenVinoBackend(manifest, precision, "fer2013"), manifest, crops)
    for head, values in answers.items():
        np.testing.assert_allclose(values, truth[head], atol=tolerance, err_msg=head)


@OTHERS
def test_any_model_in_other_engines(crops: np.ndarray, tmp_path: Path, engine: Engine) -> None:
    manifest = artifact(tmp_path, with_npz=True)
    truth = expected(weights.load(manifest.paths("weights")[0]), manifest, crops)
    answers = probabilities(engine(manifest, "int8", "fer2013"), manifest, crops)
    for head, values in answers.items():
        np.testing.assert_allclose(values, truth[head], atol=1e-4, err_msg=head)
