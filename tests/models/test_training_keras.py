"""`emotion train` for real, with narrow networks and a few made-up images. Needs Keras and a back end for it."""

import importlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_stream.models import network, openvino_export, weights
from emotion_stream.models.calibration import softmax
from emotion_stream.models.evaluation import runlog
from emotion_stream.models.export.origin import read_origin
from emotion_stream.models.network import HEADS, WIDTHS
from emotion_stream.models.training import trainable
from emotion_stream.shared.messages.manifest import load_manifest
from tests.support.training_files import write_csv, write_ferplus

pytestmark = [
    pytest.mark.needs("keras"),
    pytest.mark.skipif(
        not any(importlib.util.find_spec(name) for name in ("tensorflow", "torch", "jax")),
        reason="training needs TensorFlow, PyTorch or JAX (the train extras)",
    ),
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),  # Keras and its back ends warn of one another
]

ROOT = Path(__file__).parents[2]
IMAGENET = ROOT.parent / "shared/data/weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
TINY = ["--weights=none", "--width=0.06", "--size=32", "--batch=14", "--log-level=warning"]


@pytest.fixture(scope="module")
def keras() -> Any:
    from emotion_stream.models.training.backend import choose_backend

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
    write_ferplus(folder / "plus.csv", write_csv(folder / "fer2013.csv", per_class=16))
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
    trained_further = trainable.build_trainable(32, HEADS, widths, batch_norm=False)
    trainable.go_on_from(trained_further, folded)
    again = trained_further.predict(crops[..., None].astype(np.float32), verbose=0)
    for head in HEADS:
        np.testing.assert_allclose(again[head], expected[head], atol=1e-4)
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
    from emotion_stream.models.training.train import COMMAND

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
    assert run.metrics["consensus"]["images"] == 112
    assert weights.load(tmp_path / "one" / "weights.npz", HEADS)
    assert len(np.load(tmp_path / "one" / "training-hashes.npy")) == 112
    assert "Figures" in (tmp_path / "one" / "log.md").read_text()


def test_a_finished_model_is_trained_further(keras: Any, data: Path, tmp_path: Path) -> None:
    from emotion_stream.models.training.train import COMMAND

    rng = np.random.default_rng(0)
    shapes = network.shapes(HEADS, trainable.scaled_widths(0.06))
    start = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    weights.save(tmp_path / "a.npz", start)
    np.save(tmp_path / "training-hashes.npy", np.array([7], np.uint64))
    flags = [f"--weights={tmp_path / 'a.npz'}", "--freeze=2", "--epochs=2", "--name=more"]
    assert COMMAND.main(command(data, tmp_path, *flags)) == 0
    before = weights.load(tmp_path / "a.npz")
    after = weights.load(tmp_path / "more" / "weights.npz")
    for name, array in before.items():
        assert np.array_equal(after[name], array) == name.startswith(("block1", "block2")), name
    hashes = np.load(tmp_path / "more" / "training-hashes.npy")
    assert len(hashes) == 113
    assert 7 in hashes


@pytest.fixture(scope="module")
def resumed(keras: Any, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The folder of a run that was killed, then resumed and finished, and how many epochs it had when killed."""
    from emotion_stream.models.training.train import COMMAND

    runs = tmp_path_factory.mktemp("runs")
    flags = command(data, runs, "--epochs=5", "--optimizer=adamw", "--schedule=cosine")
    process = subprocess.Popen(
        [sys.executable, "-m", "emotion_stream.models.training.train", *flags],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend(), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 200  # JAX compiles for minutes where the machine is busy
    while not list(runs.glob("*/last.keras")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder,) = runs.iterdir()
    before = len(runlog.read_history(folder / "history.csv")["epoch"])
    assert COMMAND.main([f"--runs={runs}", "--resume", "--batch=28"]) == 2  # it was started with another
    assert COMMAND.main([f"--runs={runs}", "--resume", "--log-level=warning"]) == 0
    return folder, before


def test_a_killed_run_continues_where_it_was(
    resumed: tuple[Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    from emotion_stream.models.training.train import COMMAND

    folder, before = resumed
    assert 1 <= before < 5
    after = runlog.read_run(folder)
    assert after.history["epoch"] == [0, 1, 2, 3, 4]
    assert after.metrics
    rates = after.history["learning_rate"]
    assert rates[-1] == pytest.approx(0, abs=1e-9)  # the steps went on being counted, or the cosine would not end
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert COMMAND.main([f"--runs={folder.parent}", "--resume"]) == 1
    assert "no unfinished run" in capsys.readouterr().err


def test_a_run_is_exported_evaluated_and_served(
    keras: Any, resumed: tuple[Path, int], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from emotion_stream.emotion.commands import evaluate, export, picture

    formats = ["weights", "keras", *(["int8"] if importlib.util.find_spec("nncf") else ["fp32"])]
    served = formats[-1]
    faces = [f"--data={data}", f"--ferplus={data / 'plus.csv'}", "--log-level=warning"]
    flags = [f"--weights={resumed[0]}", f"--output={tmp_path}", *faces, "--formats", *formats]
    assert export.COMMAND.main(flags) == 0
    manifest = load_manifest(tmp_path)
    assert manifest.raw["run"] == resumed[0].name
    said = manifest.raw["accuracies"]
    assert said["keras"]["fer2013"]["nll"] == pytest.approx(said["fp32"]["fer2013"]["nll"], abs=0.01)
    capsys.readouterr()
    flags = [*faces, f"--model={tmp_path}", "--charts=", "--json"]
    backends = [
        ("openvino", served),
        *([("tensorflow", "keras")] if keras.backend.backend() == "tensorflow" else []),
    ]
    for backend, precision in backends:
        assert evaluate.COMMAND.main([*flags, f"--backend={backend}", f"--precision={precision}"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["top1"] == pytest.approx(said[precision]["fer2013"]["top1"], abs=2e-4)
    loaded = keras.saving.load_model(manifest.paths("keras")[0])
    assert [tuple(loaded.output[head].shape) for head in HEADS] == [(None, 7), (None, 7)]
    portrait = tmp_path / "frame.png"
    clip = cv2.VideoCapture(str(ROOT / "samples" / "sample.mp4"))
    cv2.imwrite(str(portrait), clip.read()[1])
    assert (
        picture.COMMAND.main([f"--image={portrait}", f"--model={tmp_path}", f"--precision={served}", "--json"])
        == 0
    )
    (face, *_) = json.loads(capsys.readouterr().out)["faces"]
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=0.01)


def test_leaving_out_channels_that_do_nothing_changes_no_answer(keras: Any, resumed: tuple[Path, int]) -> None:
    from emotion_stream.models.training.narrowing import start_narrow
    from emotion_stream.models.training.resume import load_trained

    full, rng = load_trained(resumed[0] / "best.keras", compile=False), np.random.default_rng(0)
    for layer in full.layers:
        if layer.name.endswith("_bn"):
            values = layer.get_weights()
            off = rng.permutation(len(values[0]))[len(values[0]) // 2 :]
            values[0][off] = values[1][off] = 0  # no gain and no bias
            layer.set_weights(values)
    half = [width // 2 for width in trainable.scaled_widths(0.06)]
    narrow = trainable.build_trainable(32, HEADS, half)
    start_narrow(narrow, full, "run")
    pictures = rng.integers(0, 256, (5, 32, 32, 1)).astype(np.float32)
    answers, expected = (m.predict(pictures, verbose=0) for m in (narrow, full))
    for head in HEADS:
        np.testing.assert_allclose(answers[head], expected[head], atol=1e-5)


def test_a_narrower_network_is_taught_stopped_resumed_exported_and_served(
    keras: Any, resumed: tuple[Path, int], data: Path, tmp_path: Path
) -> None:
    from emotion_stream.classifier_worker.openvino_backend import OpenVinoBackend
    from emotion_stream.emotion.commands import export
    from emotion_stream.models.training.train import COMMAND

    runs = tmp_path / "runs"
    shutil.copytree(resumed[0], runs / "full")
    flags = [f"--weights={runs / 'full'}", "--width=0.03", "--teacher=full", "--epochs=4", "--name=narrow"]
    flags = [*command(data, runs), *flags]
    narrow, earlier = runs / "narrow", signal.getsignal(signal.SIGTERM)

    def stop() -> None:
        while not (narrow / "last.keras").exists():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    try:
        assert COMMAND.main(flags) == 130
        assert 1 <= runlog.read_run(narrow).epochs < 4
        for name in ("best", "last"):  # as if it had been cut off while it wrote them
            (narrow / f"{name}.part.keras").write_bytes(b"torn")
        assert COMMAND.main([f"--runs={runs}", "--resume", "--name=narrow", "--log-level=warning"]) == 0
    finally:
        signal.signal(signal.SIGTERM, earlier)
    run = runlog.read_run(narrow)
    assert run.history["epoch"] == [0, 1, 2, 3]
    assert run.metrics
    assert not list(narrow.glob("*.part.keras"))
    assert read_origin(narrow / "best.keras").heads == HEADS
    faces = [f"--data={data}", f"--ferplus={data / 'plus.csv'}", "--log-level=warning"]
    model = tmp_path / "model"
    assert export.COMMAND.main([f"--weights={narrow}", f"--output={model}", *faces, "--formats", "fp32"]) == 0
    backend = OpenVinoBackend(load_manifest(model), "fp32", "consensus")
    backend.open()
    logits = backend.logits(np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8))
    assert np.isfinite(logits).all()
    assert weights.widths_of(weights.load(narrow / "weights.npz", HEADS))[0] == round(WIDTHS[0] * 0.03)


def test_mixing_and_teachers(keras: Any, resumed: tuple[Path, int], data: Path) -> None:
    from emotion_stream.models.training.train import COMMAND

    runs = resumed[0].parent
    flags = ["--epochs=2", "--name=pupil", "--mix=cutmix", "--mix-alpha=1", f"--teacher={resumed[0].name}"]
    assert COMMAND.main(command(data, runs, *flags)) == 0
    run = runlog.read_run(runs / "pupil")
    assert run.metrics
    assert weights.load(runs / "pupil" / "weights.npz", HEADS)
    assert read_origin(runs / "pupil" / "best.keras").heads == HEADS


def test_a_student_learns_what_its_teacher_says(keras: Any) -> None:
    from emotion_stream.models.training.distil import Student

    model = trainable.build_trainable(32, HEADS[:1], trainable.scaled_widths(0.06), dropout=0, model=Student)
    model.compile("sgd", loss={"fer2013": "categorical_crossentropy"})
    x = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 1)).astype(np.float32)
    label, opinion = np.eye(7, dtype=np.float32)[[0, 1, 2, 3]], np.full((4, 7), 1 / 7, np.float32)
    said = {"fer2013": keras.ops.convert_to_tensor(opinion)}
    predicted = {"fer2013": keras.ops.softmax(keras.ops.convert_to_tensor(np.eye(4, 7, dtype=np.float32)))}

    def loss(share: float) -> float:
        model.teach, model.share = (lambda _: said), share
        return float(keras.ops.convert_to_numpy(model.compute_loss(x, {"fer2013": label}, predicted)))

    log = np.log(softmax(np.eye(4, 7)))
    of_labels, of_teacher = -log[np.arange(4), np.arange(4)].mean(), -log.mean(axis=1).mean()
    assert loss(0) == pytest.approx(of_labels, rel=1e-3)
    assert loss(1) == pytest.approx(of_teacher, rel=1e-3)
    assert loss(0.25) == pytest.approx(0.75 * of_labels + 0.25 * of_teacher, rel=1e-3)


def test_training_ends_in_time_and_at_a_low_rate(keras: Any, data: Path, tmp_path: Path) -> None:
    from emotion_stream.models.training.train import COMMAND

    started = time.monotonic()
    flags = ["--epochs=10000", "--name=short", "--max-minutes=0.02", "--average=0"]
    assert COMMAND.main(command(data, tmp_path, *flags)) == 0
    assert time.monotonic() - started < 100
    run = runlog.read_run(tmp_path / "short")
    assert 1 <= run.epochs < 10_000
    assert run.metrics
    assert run.history["learning_rate"][-1] < 0.02


def test_plateau_early_stopping_and_one_head(keras: Any, data: Path, tmp_path: Path) -> None:
    from emotion_stream.models.training.train import COMMAND

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
        (["--data={data}", "--weights=nowhere.npz"], 1, "nowhere.npz cannot be read"),
        (["--data={data}", "--weights=nowhere.npz", "--batch-norm"], 2, "goes with neither"),
        (["--data={data}", "--name=a/b"], 2, "not the name of a folder"),
        (["--data={data}", *TINY[:3], "--teacher=nobody"], 1, "nobody/best.keras cannot be read"),
        (["--data={data}", "--recipe=frozen", "--mix=mixup"], 2, "takes neither --teacher nor --mix"),
        (["--resume"], 1, "no training runs"),
    ],
)
def test_wrong_use_is_one_clear_line(
    keras: Any, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], code: int,
    message: str,
) -> None:  # fmt: skip
    from emotion_stream.models.training.train import COMMAND

    filled = [flag.format(data=data) for flag in flags]
    assert COMMAND.main([*filled, f"--runs={tmp_path}", "--log-level=error"]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not IMAGENET.exists(), reason="no ImageNet weights here")
def test_the_original_recipe(keras: Any, data: Path, tmp_path: Path) -> None:
    from emotion_stream.models.training.train import COMMAND

    flags = [f"--data={data}", f"--weights={IMAGENET}", "--recipe=frozen", "--epochs=3", "--limit=2", "--batch=7"]
    assert COMMAND.main([*flags, f"--runs={tmp_path}", "--name=base", "--log-level=warning"]) == 0
    run = runlog.read_run(tmp_path / "base")
    assert run.settings["size"] == 64
    assert run.metrics["fer2013"]["images"] == 14
    assert not (tmp_path / "base" / "weights.npz").exists()  # it is a baseline, not a model to serve
