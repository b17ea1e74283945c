"""Ten steps of `emotion train` from one state are the same on every back end of Keras that is installed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

EXPECTED = {
    "sgd": ([3.56632, 3.66762, 3.70352, 3.78857, 3.6364, 3.76293, 3.67786, 3.43037, 3.43288, 3.19107], 3.60264),
    "adamw": ([3.56632, 3.65412, 3.70799, 3.8244, 3.60936, 3.91997, 3.83798, 3.50217, 3.53942, 3.33418], 3.64463),
}
"""The loss of each step, and of other images by the average of the weights after the last one; what TensorFlow,
PyTorch and JAX computed on a CPU, in float32, which were 0.0001 apart at the most."""
TOLERANCE = 1e-3
"""Relative."""

pytestmark = pytest.mark.needs("keras")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_ten_steps_have_the_losses_that_they_have_elsewhere(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: make test-training BACKEND={backend}")
    environment = {
        **os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT),
        "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu",  # GPUs round convolutions to fewer bits
    }  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.ten_steps"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told.pop("backend") == backend
    assert told.keys() == EXPECTED.keys()
    for optimizer, (losses, average) in EXPECTED.items():
        assert told[optimizer][0] == pytest.approx(losses, rel=TOLERANCE)
        assert told[optimizer][1] == pytest.approx(average, rel=TOLERANCE)
