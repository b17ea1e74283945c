"""Images varied on the device, inside the train step: the same as those that the processor makes. Needs Keras."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotion_stream.models.data.augment import NONE, Jitter, augment, draw, draw_mixture, mix_images
from emotion_stream.models.evaluation import runlog
from emotion_stream.models.network import HEADS
from tests.support.training_files import write_csv, write_ferplus

pytestmark = [
    pytest.mark.needs("keras"),
    pytest.mark.skipif(
        not any(importlib.util.find_spec(name) for name in ("tensorflow", "torch", "jax")),
        reason="training needs TensorFlow, PyTorch or JAX (the train extras)",
    ),
    pytest.mark.filterwarnings("default"),  # Keras and its back ends warn of one another
]


@pytest.fixture(scope="module")
def keras() -> Any:
    from emotion_stream.models.training.backend import choose_backend

    choose_backend()
    import keras

    absl: Any = importlib.import_module("absl.logging")  # see test_training_keras.py
    absl.get_absl_handler().python_handler.stream = sys.__stderr__
    return keras


def pictures(count: int, side: int) -> Any:
    """Smooth ones, as faces are: uint8 [count, side, side]."""
    down, across = np.mgrid[:side, :side] / side
    phase = np.random.default_rng(5).uniform(1, 6, (4, count, 1, 1))
    waves = np.sin(phase[0] * down + phase[1]) + np.cos(phase[2] * across + phase[3] * down)
    return (127 + 60 * waves).astype(np.uint8)


@pytest.mark.parametrize(("side", "size"), [(48, 48), (48, 64)])
@pytest.mark.parametrize("kind", ["none", "mixup", "cutmix"])
def test_both_ways_give_the_same_images(keras: Any, kind: str, side: int, size: int) -> None:
    from emotion_stream.models.data.on_device import packed, varied

    images, count = pictures(64, side), 64
    rng = np.random.default_rng(3)
    expected = augment(images, size, Jitter(), rng)[..., None].astype(np.float32)
    expected = mix_images(expected, draw_mixture(count, size, kind, 1.0, rng))
    rng = np.random.default_rng(3)
    drawn = draw(count, side, size, Jitter(), rng)
    draws = packed(drawn, draw_mixture(count, size, kind, 1.0, rng))
    found = keras.ops.convert_to_numpy(varied(images, draws, size))
    assert found.shape == (count, size, size, 1)
    assert (np.abs(expected - images.mean()) > 30).any()
    apart = np.abs(found - expected)
    assert apart.mean() < 0.5  # gray values: OpenCV's 1/32 of a pixel
    assert np.percentile(apart, 99.9) <= 3


def test_images_that_are_not_varied_stay_as_they_are(keras: Any) -> None:
    from emotion_stream.models.data.on_device import packed, varied

    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)
    rng = np.random.default_rng(0)
    draws = packed(draw(5, 48, 48, NONE, rng), draw_mixture(5, 48, "none", 1.0, rng))
    assert np.array_equal(keras.ops.convert_to_numpy(varied(images, draws, 48))[..., 0], images)


def test_both_feeds_have_the_same_labels_and_chance(keras: Any) -> None:
    from emotion_stream.models.data.on_device import varied
    from emotion_stream.models.training.feeding import Batches, Vary

    images, rng = pictures(32, 48), np.random.default_rng(0)
    y = {head: rng.dirichlet(np.ones(7), 32).astype(np.float32) for head in HEADS}
    w = {head: rng.uniform(0, 1, 32).astype(np.float32) for head in HEADS}
    here, there = (
        Batches(images, y, w, Vary(48, Jitter(), on_device), batch=16, seed=1, mixing=("cutmix", 1.0))
        for on_device in (False, True)
    )
    assert len(here) == len(there) == 2
    for index in range(2):
        (x, *told), (plain, *told_too) = here[index], there[index]
        for arrays, others in zip(told, told_too, strict=True):
            for head in HEADS:
                assert np.array_equal(arrays[head], others[head])
        found = keras.ops.convert_to_numpy(varied(plain["pixels"], plain["draws"], 48))
        assert np.abs(found - x).mean() < 0.5


def test_training_varies_on_the_device_and_learns_the_same(keras: Any, tmp_path: Path) -> None:
    from emotion_stream.models.training.train import COMMAND

    write_ferplus(tmp_path / "plus.csv", write_csv(tmp_path / "fer2013.csv", per_class=16))
    flags = [
        f"--data={tmp_path}", f"--ferplus={tmp_path / 'plus.csv'}", f"--runs={tmp_path / 'runs'}",
        "--weights=none", "--width=0.06", "--size=32", "--batch=14", "--log-level=warning",
        "--epochs=2", "--mix=mixup", "--dropout=0", "--learning-rate=0.002",
    ]  # fmt: skip
    losses = {}
    for place in ("cpu", "device"):
        assert COMMAND.main([*flags, f"--augment-on={place}", f"--name={place}"]) == 0
        losses[place] = runlog.read_run(tmp_path / "runs" / place).history["loss"]
    assert len(losses["device"]) == 2
    assert losses["device"] == pytest.approx(losses["cpu"], rel=0.05)
