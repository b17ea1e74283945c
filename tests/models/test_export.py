"""`emotion export`: from weights to a model that is served and measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from emotion_stream.classifier_worker.classifier import make_backend
from emotion_stream.classifier_worker.openvino_backend import OpenVinoBackend
from emotion_stream.emotion.commands import evaluate
from emotion_stream.emotion.commands.export import COMMAND, FITTED_PRIORS, SERVED_PRIORS
from emotion_stream.models import weights
from emotion_stream.models.data import duplicates
from emotion_stream.models.data.fer2013 import load_splits
from emotion_stream.models.evaluation.assess import HASHES
from emotion_stream.models.network import HEADS
from emotion_stream.shared.messages.manifest import Manifest, load_manifest
from emotion_stream.shared.settings.options import ClassifierOptions
from tests.support.model_files import SIZE, faces, random_weights
from tests.support.training_files import write_csv, write_ferplus

FORMATS = ["--formats", "weights", "fp32"]
"""What needs neither NNCF nor Keras."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags that name 56 images per split, with votes."""
    folder = tmp_path_factory.mktemp("data")
    write_ferplus(folder / "plus.csv", write_csv(folder / "fer2013.csv", per_class=8))
    return [f"--data={folder}", f"--ferplus={folder / 'plus.csv'}"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, data: list[str]) -> Manifest:
    """A model exported from a run's folder."""
    run = tmp_path_factory.mktemp("runs") / "first"
    run.mkdir()
    weights.save(run / "weights.npz", random_weights())
    body = {"settings": {"size": SIZE}, "facts": {"commit": "abc"}}
    (run / "settings.json").write_text(json.dumps(body))
    np.save(run / "training-hashes.npy", np.arange(9, dtype=np.uint64))
    output = tmp_path_factory.mktemp("model")
    assert COMMAND.main([f"--weights={run}", f"--output={output}", *data, *FORMATS, "--log-level=warning"]) == 0
    return load_manifest(output)


def test_everything_is_in_the_manifest(exported: Manifest) -> None:
    raw = exported.raw
    assert (raw["run"], raw["commit"], exported.margin) == ("first", "abc", 0.015)
    assert exported.default_head == "consensus"
    assert sorted(exported.files) == ["fp32", HASHES, "weights"]
    assert np.load(exported.paths(HASHES)[0]).tolist() == list(range(9))
    assert [head.name for head in exported.heads] == list(HEADS)
    for head in exported.heads:
        assert (head.counts, head.prior) == ((), 0.0)  # it learned from other images than those of the data
        assert head.temperature != 1
        assert (threshold := head.calibration().uncertain_below) is not None
        assert 1 / 7 <= threshold <= 1
    assert {"bf16", "fp32"} <= set(raw["accuracies"])
    assert raw["accuracies"]["fp32"]["fer2013"]["images"] == 56
    assert {p.name for p in exported.directory.iterdir()} == {
        "manifest.json", "training-hashes.npy", "vgg16-fp32.bin", "vgg16-fp32.xml", "vgg16-weights.npz",
    }  # fmt: skip


def test_what_the_manifest_says_is_what_evaluate_measures(
    exported: Manifest, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for head in HEADS:
        flags = [
            *data,
            f"--model={exported.directory}",
            "--precision=fp32",
            f"--head={head}",
            "--charts=",
            "--json",
        ]
        assert evaluate.COMMAND.main(flags) == 0
        found = json.loads(capsys.readouterr().out)
        said = exported.raw["accuracies"]["fp32"][head]
        assert {name: found[name] for name in ("top1", "ece", "nll")} == pytest.approx(
            {name: said[name] for name in ("top1", "ece", "nll")}, abs=2e-4
        )


def test_hashes_are_computed_where_none_came(tmp_path: Path, data: list[str]) -> None:
    weights.save(tmp_path / "plain.npz", random_weights())
    flags = [f"--weights={tmp_path / 'plain.npz'}", f"--output={tmp_path / 'm'}", *data, *FORMATS]
    assert COMMAND.main(flags) == 0
    manifest = load_manifest(tmp_path / "m")
    training = load_splits(Path(data[0].removeprefix("--data=")))["Training"]
    assert set(np.load(manifest.paths(HASHES)[0])) <= set(duplicates.hashes(training.pixels))
    assert manifest.raw["run"] == ""
    for head in manifest.heads:
        assert sum(head.counts) == pytest.approx(len(training), abs=1)
        assert head.prior == SERVED_PRIORS[head.name]
        assert [a.prior for a in head.adjusted] == list(FITTED_PRIORS)
        assert head.calibration().uncertain_below == next(
            a.uncertain_below for a in head.adjusted if a.prior == head.prior
        )


def test_other_formats_are_rebuilt_without_data(exported: Manifest, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    (tmp_path / "vgg16-old.bin").write_text("old")
    (tmp_path / "manifest.json").write_text(
        json.dumps({**exported.raw, "files": {"int8": {"vgg16-old.bin": "0" * 64}}})
    )
    flags = [f"--weights={exported.directory}", f"--output={tmp_path}", "--formats", "bf16", "fp32"]
    assert COMMAND.main(flags) == 0
    rebuilt = load_manifest(tmp_path)
    assert (rebuilt.id, rebuilt.heads, rebuilt.default_head) == (exported.id, exported.heads, "consensus")
    assert sorted(rebuilt.files) == ["bf16", "fp32", HASHES]
    assert (tmp_path / "note.txt").exists()
    assert not (tmp_path / "vgg16-old.bin").exists()
    answers = []
    for manifest in (exported, rebuilt):
        backend = OpenVinoBackend(manifest, "fp32", "fer2013")
        backend.open()
        answers.append(backend.logits(faces(5)))
        backend.close()
    np.testing.assert_array_equal(answers[0], answers[1])


@pytest.mark.parametrize("beside", [["weights"], []])
def test_an_onnx_file_is_written_measured_and_run(
    data: list[str], tmp_path: Path, exported: Manifest, beside: list[str]
) -> None:
    flags = [f"--weights={exported.directory}", f"--output={tmp_path}", "--formats", "onnx", *beside]
    assert COMMAND.main([*flags, *data]) == 0
    manifest = load_manifest(tmp_path)
    assert sorted(manifest.files) == sorted(["onnx", HASHES, *beside])
    said = manifest.raw["accuracies"]
    assert said["onnx"]["fer2013"]["top1"] == said["fp32"]["fer2013"]["top1"]
    expected = OpenVinoBackend(exported, "fp32", "fer2013")
    found = make_backend(ClassifierOptions(backend="onnxruntime"), manifest, "fer2013")
    expected.open()
    found.open()
    for head, logits in expected.every_head(faces(5)).items():
        np.testing.assert_allclose(found.every_head(faces(5))[head], logits, atol=1e-4)
    found.close()
    expected.close()


@pytest.mark.needs("nncf")
def test_int8_is_quantised_and_measured(tmp_path: Path, data: list[str]) -> None:
    weights.save(tmp_path / "plain.npz", random_weights())
    assert COMMAND.main([f"--weights={tmp_path / 'plain.npz'}", f"--output={tmp_path / 'm'}", *data]) == 0
    manifest = load_manifest(tmp_path / "m")
    assert set(manifest.files) == {HASHES, "int8", "weights"}
    figures = manifest.raw["accuracies"]
    assert figures["fp32"]["fer2013"]["same_class_as_int8"] > 0.8
    again = tmp_path / "again"
    assert COMMAND.main([f"--weights={tmp_path / 'm'}", f"--output={again}", "--formats", "int8"]) == 0
    assert load_manifest(again).files["int8"] == manifest.files["int8"]


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--output={tmp}/m"], 2, "--weights is missing"),
        (["--weights={weights}"], 2, "--output names the one folder"),
        (["--weights={weights}", "--output={tmp}/m"], 2, "--data is missing"),
        (["--weights={tmp}/none", "--output={tmp}/m"], 1, "no weights at"),
        (["--weights={weights}", "--output={tmp}/m", "{data}"], 2, "give --ferplus"),
        (["--weights={weights}", "--output={weights}/m", "{data}", "{plus}"], 1, "cannot write to"),
        (["--weights={weights}", "--output={tmp}/m", "{data}", "{plus}", "--formats=int3"], 2, "not one of int8"),
        (["--weights={data_file}", "--output={tmp}/m", "{data}", "{plus}"], 1, "cannot be read"),
    ],
)
def test_wrong_use_is_one_clear_line(
    tmp_path: Path, data: list[str], capsys: pytest.CaptureFixture[str], flags: list[str], code: int, message: str
) -> None:
    weights.save(tmp_path / "plain.npz", random_weights())
    names = {
        "tmp": tmp_path, "weights": tmp_path / "plain.npz", "data": data[0], "plus": data[1],
        "data_file": data[0].removeprefix("--data=") + "/fer2013.csv",
    }  # fmt: skip
    assert COMMAND.main([*(flag.format(**names) for flag in flags), "--log-level=error"]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "m" / "manifest.json").exists()
