"""`emotion train` for real, with narrow networks and a few made-up images. Needs Keras and a back end for it."""

import importlib
import importlib.util
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import network, openvino_export, runlog, trainable, weights
from models.calibration import softmax
from models.network import HEADS, WIDTHS
from tests.training_files import write_csv, write_ferplus

pytestmark = [
    pytest.mark.skipif(
        not importlib.util.find_spec("keras")
        or not (importlib.util.find_spec("tensorflow") or importlib.util.find_spec("torch")),
        reason="training needs Keras with TensorFlow or PyTorch (the train extra)",
    ),
    pytest.mark.filterwarnings("default"),  # Keras and its back ends warn of one another
]

ROOT = Path(__file__).parents[1]
IMAGENET = ROOT.parent / "shared/data/weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
TINY = ["--weights=none", "--width=0.06", "--size=32", "--batch=14", "--log-level=warning"]


@pytest.fixture(scope="module")
def keras() -> Any:
    from models.backend import choose_backend

    choose_backend()
    import keras

    # Keras loads absl, whose handler closes its stream at logging.shutdown(), unless that is the process' own:
    # here it would be pytest's capture.
    absl: Any = importlib.import_module("absl.logging")
    absl.get_absl_handler().python_handler.stream = sys.__stderr__
    return keras


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_ferplus(folder / "plus.csv", write_csv(folder / "fer2013.csv", per_class=8))
    return folder


def command(data: Path, runs: Path, *flags: str) -> list[str]:
    return [f"--data={data}", f"--ferplus={data / 'plus.csv'}", f"--runs={runs}", *TINY, *flags]


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_exported_network_says_what_the_trained_one_says(keras: Any, batch_norm: bool) -> None:
    widths = trainable.scaled_widths(0.06)
    model = trainable.build_trainable(32, HEADS, widths, batch_norm)
    rng = np.random.default_rng(0)
    for layer in model.layers:  # statistics as after training, not 0 and 1
        if layer.name.endswith("_bn"):
            layer.set_weights([rng.uniform(0.5, 2, w.shape) for w in layer.get_weights()])
    crops = rng.integers(0, 256, (6, 32, 32), np.uint8)
    expected = model.predict(crops[..., None].astype(np.float32), verbose=0)
    folded = weights.check(trainable.fold(model), HEADS, "test")
    import openvino as ov

    served = ov.Core().compile_model(
        openvino_export.build(folded, 32), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )({"crops": crops})
    plain = network.build_vgg16(32, HEADS, widths)
    network.load_into(plain, folded)
    rebuilt = plain.predict(crops[..., None].astype(np.float32), verbose=0)
    for head in HEADS:
        np.testing.assert_allclose(softmax(served[head]), expected[head], atol=1e-4)
        np.testing.assert_allclose(softmax(rebuilt[head]), expected[head], atol=1e-4)


@pytest.mark.skipif(not IMAGENET.exists(), reason="no ImageNet weights here")
def test_imagenet_weights_arrive_with_colours_summed(keras: Any) -> None:
    base = trainable.imagenet(str(IMAGENET), 32)
    model = trainable.build_trainable(32, HEADS, WIDTHS, batch_norm=False)
    trainable.start_from(model, base)
    gray = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1)).astype(np.float32)
    centred = np.repeat(gray - network.MEAN, 3, axis=3)
    expected = base.predict(centred, verbose=0)  # [2, 1, 1, 512], after a pooling that ours does not have
    last = keras.Model(model.input, model.get_layer("block5_conv3_relu").output).predict(gray, verbose=0)
    np.testing.assert_allclose(last.max(axis=(1, 2)), expected[:, 0, 0], rtol=1e-3, atol=1e-2)


def test_train_writes_everything_and_learns(keras: Any, data: Path, tmp_path: Path) -> None:
    from models.train import COMMAND

    flags = [
        "--epochs=8",
        "--name=one",
        "--no-augmentation",
        "--average=0.8",
        "--dropout=0",
        "--class-weights=sqrt",
    ]
    assert COMMAND.main(command(data, tmp_path, *flags)) == 0
    run = runlog.read_run(tmp_path / "one")
    assert run.epochs == 8
    assert run.history["loss"][-1] < run.history["loss"][0] - 0.3
    assert run.metrics["fer2013"]["top1"] == pytest.approx(max(run.history[runlog.MONITOR]), abs=1e-6)
    assert run.metrics["consensus"]["images"] == 56
    assert weights.load(tmp_path / "one" / "weights.npz", HEADS)
    assert len(np.load(tmp_path / "one" / "training-hashes.npy")) == 56
    assert "Figures" in (tmp_path / "one" / "log.md").read_text()


def test_a_killed_run_continues_where_it_was(
    keras: Any, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from models.train import COMMAND

    flags = command(data, tmp_path, "--epochs=5", "--optimizer=adamw", "--schedule=cosine")
    process = subprocess.Popen(
        [sys.executable, "-m", "models.train", *flags], cwd=ROOT, stdout=subprocess.DEVNULL,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend(), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob("*/last.keras")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder,) = tmp_path.iterdir()
    before = runlog.read_history(folder / "history.csv")
    assert 1 <= len(before["epoch"]) < 5
    assert COMMAND.main([f"--runs={tmp_path}", "--resume", "--batch=28"]) == 2
    assert "--batch 28: run" in capsys.readouterr().err
    assert COMMAND.main([f"--runs={tmp_path}", "--resume", "--log-level=warning"]) == 0
    after = runlog.read_run(folder)
    assert after.history["epoch"] == [0, 1, 2, 3, 4]
    assert after.metrics
    rates = after.history["learning_rate"]
    assert rates[-1] == pytest.approx(0, abs=1e-9)  # the optimizer's steps went on, or the cosine would not end
    assert all(a > b for a, b in itertools.pairwise(rates[1:]))
    assert COMMAND.main([f"--runs={tmp_path}", "--resume"]) == 1
    assert "no unfinished run" in capsys.readouterr().err


def test_plateau_early_stopping_and_one_head(keras: Any, data: Path, tmp_path: Path) -> None:
    from models.train import COMMAND

    flags = [f"--data={data}", f"--runs={tmp_path}", *TINY, "--name=one", "--epochs=30", "--patience=1"]
    flags += ["--schedule=plateau", "--no-batch-norm", "--learning-rate=1e-6", "--mixed-precision", "--average=0"]
    try:
        assert COMMAND.main(flags) == 0
    finally:
        keras.mixed_precision.set_global_policy("float32")
    run = runlog.read_run(tmp_path / "one")
    assert run.epochs < 30
    assert list(run.metrics) == ["fer2013"]
    assert runlog.MONITOR in run.history


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 2, "--data is missing"),
        (["--data=nowhere"], 1, "no data at nowhere"),
        (["--data={data}", "--weights=nowhere.h5"], 1, "no file nowhere.h5"),
        (["--data={data}", "--weights={data}/fer2013.csv"], 1, "does not hold VGG16's convolutions"),
        (["--data={data}", "--width=0.5"], 2, "--width other than 1"),
        (["--data={data}", "--recipe=frozen", "--weights=none"], 2, "needs ImageNet weights"),
        (["--data={data}", "--name=a/b"], 2, "not the name of a folder"),
        (["--resume"], 1, "no training runs"),
    ],
)
def test_wrong_use_is_one_clear_line(
    keras: Any, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], code: int,
    message: str,
) -> None:  # fmt: skip
    from models.train import COMMAND

    filled = [flag.format(data=data) for flag in flags]
    assert COMMAND.main([*filled, f"--runs={tmp_path}", "--log-level=error"]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not IMAGENET.exists(), reason="no ImageNet weights here")
def test_the_original_recipe(keras: Any, data: Path, tmp_path: Path) -> None:
    from models.train import COMMAND

    flags = [f"--data={data}", f"--weights={IMAGENET}", "--recipe=frozen", "--epochs=3", "--limit=2", "--batch=7"]
    assert COMMAND.main([*flags, f"--runs={tmp_path}", "--name=base", "--log-level=warning"]) == 0
    run = runlog.read_run(tmp_path / "base")
    assert run.settings["size"] == 64
    assert run.metrics["fer2013"]["images"] == 14
    assert not (tmp_path / "base" / "weights.npz").exists()  # it is a baseline, not a model to serve
