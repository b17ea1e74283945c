"""The same picture gives the same answer in every back end and precision, and as plain NumPy computes it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from classifier_worker.backend import Backend
from classifier_worker.openvino_backend import OpenVinoBackend, openvino_file
from classifier_worker.tensorflow_backend import TensorFlowBackend
from detector_worker.cascade import FaceFinder
from detector_worker.crop import crop_face
from models import weights
from models.calibration import softmax
from models.network import DEPTHS, MEAN, convolutions
from shared.manifest import DEFAULT_ARTIFACTS, Manifest, load_manifest
from shared.options import DetectorOptions
from tests.model_files import artifact

SAMPLE = Path(__file__).parents[1] / "samples" / "sample.mp4"


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


def shipped_weights(manifest: Manifest) -> weights.Weights:
    if "weights" in manifest.files:
        return weights.load(manifest.paths("weights")[0])
    return weights.from_openvino(openvino_file(manifest, "int8"), [head.name for head in manifest.heads])


@pytest.fixture(scope="module")
def shipped(crops: np.ndarray) -> tuple[Manifest, dict[str, np.ndarray]]:
    """The model in models/artifacts, and what plain NumPy computes with its weights."""
    manifest = load_manifest(DEFAULT_ARTIFACTS)
    return manifest, expected(shipped_weights(manifest), manifest, crops)


def test_the_model_that_is_shipped(crops: np.ndarray, shipped: tuple[Manifest, dict[str, np.ndarray]]) -> None:
    manifest, truth = shipped
    # int8 rounds activations to 1/256 of their range: a probability moves by some hundredths
    tolerances = {"int8": 0.12, "bf16": 0.04, "fp32": 2e-3}
    served = ["int8", *(["bf16", "fp32"] if "weights" in manifest.files else [])]
    for precision in served:
        answers = probabilities(OpenVinoBackend(manifest, precision, manifest.default_head), manifest, crops)
        for head, values in answers.items():
            np.testing.assert_allclose(
                values, truth[head], atol=tolerances[precision], err_msg=f"{precision} {head}"
            )


@pytest.mark.needs("tensorflow")
@pytest.mark.filterwarnings("default")
def test_the_model_that_is_shipped_in_tensorflow(
    crops: np.ndarray, shipped: tuple[Manifest, dict[str, np.ndarray]]
) -> None:
    manifest, truth = shipped
    answers = probabilities(TensorFlowBackend(manifest, "fp32", manifest.default_head), manifest, crops)
    for head, values in answers.items():
        np.testing.assert_allclose(values, truth[head], atol=2e-3, err_msg=head)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.03)])
def test_any_model_in_openvino(crops: np.ndarray, tmp_path: Path, precision: str, tolerance: float) -> None:
    manifest = artifact(tmp_path, with_npz=True)
    truth = expected(weights.load(manifest.paths("weights")[0]), manifest, crops)
    answers = probabilities(OpenVinoBackend(manifest, precision, "fer2013"), manifest, crops)
    for head, values in answers.items():
        np.testing.assert_allclose(values, truth[head], atol=tolerance, err_msg=head)


@pytest.mark.needs("tensorflow")
@pytest.mark.filterwarnings("default")
def test_any_model_in_tensorflow(crops: np.ndarray, tmp_path: Path) -> None:
    manifest = artifact(tmp_path, with_npz=True)
    truth = expected(weights.load(manifest.paths("weights")[0]), manifest, crops)
    answers = probabilities(TensorFlowBackend(manifest, "int8", "fer2013"), manifest, crops)
    for head, values in answers.items():
        np.testing.assert_allclose(values, truth[head], atol=1e-4, err_msg=head)
