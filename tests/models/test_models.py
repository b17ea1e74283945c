"""Weights, export, metrics and the manifest."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emotion_stream.models import calibration, openvino_export, weights
from emotion_stream.models.evaluation import metrics as evaluate
from emotion_stream.models.export.artifact import Artifact, write_manifest
from emotion_stream.models.labels import FERPLUS_COLUMNS, LABELS, consensus
from emotion_stream.models.network import HEADS, shapes
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.manifest import MODELS, Head, load_manifest, model_directory
from tests.support.model_files import SIZE, artifact, faces, random_weights


def test_vgg16_has_thirteen_convolutions_and_the_known_number_of_parameters() -> None:
    table = shapes(HEADS)
    assert sum(len(shape) == 4 for shape in table.values()) == 13
    # 14,714,688 as published, less two of three colour channels of the first kernel, plus two heads
    assert sum(math.prod(s) for s in table.values()) == 14_714_688 - 2 * 9 * 64 + 2 * (512 * 7 + 7)


@pytest.mark.parametrize("half", [True, False])
def test_weights_survive_the_way_through_openvino(tmp_path: Path, half: bool) -> None:
    before = random_weights()
    path, _ = openvino_export.save(openvino_export.build(before), tmp_path / "m.xml", half=half)
    after = weights.from_openvino(path, HEADS)
    assert after.keys() == before.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def test_weights_survive_the_way_through_npz(tmp_path: Path) -> None:
    before = random_weights()
    weights.save(tmp_path / "w.npz", before)
    after = weights.load(tmp_path / "w.npz", HEADS)
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.needs("nncf")
def test_int8_weights_are_recovered_within_rounding(tmp_path: Path) -> None:
    before = random_weights()
    model = openvino_export.quantize(openvino_export.build(before), faces(50))
    path, binary = openvino_export.save(model, tmp_path / "m.xml")
    assert binary.stat().st_size < 2 * sum(a.size for a in before.values())  # stored as int8, not as float
    after = weights.from_openvino(path, HEADS)
    for name in before:
        if name.endswith("/kernel"):
            largest = np.abs(before[name]).max(axis=tuple(range(before[name].ndim - 1)))
            # one step of a symmetric scale per output channel, and float16 scales; the first layer has 7 bits
            assert (np.abs(after[name] - before[name]) <= largest / 60).all(), name


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda w: w.pop("block3_conv2/kernel"), "has no weight 'block3_conv2/kernel'"),
        (lambda w: w.update({"block3_conv2/bias": np.zeros(3, np.float32)}), r"shape \(3,\), not \(16,\)"),
        (lambda w: w["consensus/kernel"].fill(np.nan), "'consensus/kernel' is not finite"),
        (lambda w: w.pop("fer2013/bias"), "has no weight 'fer2013/bias'"),
    ],
)
def test_incomplete_weights_are_refused(
    tmp_path: Path, damage: Callable[[weights.Weights], object], message: str
) -> None:
    broken = random_weights()
    damage(broken)
    np.savez(tmp_path / "w.npz", allow_pickle=False, **broken)
    with pytest.raises(EmotionError, match=message):
        weights.load(tmp_path / "w.npz", HEADS)
    with pytest.raises(EmotionError, match=message):
        openvino_export.build(broken)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(EmotionError, match="cannot be read"):
        weights.load(tmp_path / "w.npz", HEADS)


def test_weights_too_large_for_float16_are_refused(tmp_path: Path) -> None:
    large = random_weights()
    large["block1_conv1/bias"][0] = 1e6
    with pytest.raises(EmotionError, match="'block1_conv1/bias' does not fit"):
        weights.save(tmp_path / "w.npz", large)


def test_a_file_that_is_no_openvino_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text("<net/>")
    with pytest.raises(EmotionError, match="cannot be read"):
        weights.from_openvino(tmp_path / "m.xml", HEADS)
    path, _ = openvino_export.save(openvino_export.build(random_weights()), tmp_path / "good.xml")
    with pytest.raises(EmotionError, match="no layer 'valence'"):
        weights.from_openvino(path, ["valence"])


def test_the_manifest_reads_back(tmp_path: Path) -> None:
    written = artifact(tmp_path, with_npz=True)
    read = load_manifest(tmp_path)
    assert read == written
    assert read.labels == LABELS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert (read.id, read.size, read.margin) == ("random", SIZE, 0.1)
    assert [head.name for head in read.heads] == ["fer2013", "consensus"]
    assert [p.name for p in read.paths("fp32")] == ["vgg16-fp32.xml", "vgg16-fp32.bin"]
    assert read.raw["input"]["channels"] == 1


def test_a_manifest_is_replaced_whole(tmp_path: Path) -> None:
    artifact(tmp_path)
    write_manifest(tmp_path, Artifact("second", SIZE, 0.2, [Head("fer2013", 1)], "fer2013"), {})
    assert load_manifest(tmp_path).id == "second"
    assert [p.name for p in tmp_path.glob("manifest*")] == ["manifest.json"]


@pytest.mark.parametrize("name", MODELS)
def test_the_committed_model_is_whole(name: str) -> None:
    manifest = load_manifest(model_directory(name))
    assert manifest.raw["float_forms"] == ("from the weights" if name == MODELS[0] else "rebuilt from int8")
    assert manifest.labels == LABELS
    assert sum(p.stat().st_size for p in manifest.paths("int8")) < 16e6
    recovered = weights.from_openvino(manifest.paths("int8")[0], [h.name for h in manifest.heads])
    assert {name: array.shape for name, array in recovered.items()} == dict(
        shapes(HEADS, weights.widths_of(recovered))
    )
    text = json.dumps(manifest.raw)
    assert "/root" not in text
    assert "/work" not in text


def test_metrics_against_hand_counted_values() -> None:
    probabilities = np.array([[0.7, 0.3, 0], [0.4, 0.6, 0], [0.9, 0.1, 0], [0.2, 0.8, 0]])
    labels = np.array([0, 1, 1, 1])
    assert evaluate.top1(probabilities, labels) == 0.75
    # class 0: 1 hit, 2 predicted, 1 true; class 1: 2 hits, 2 predicted, 3 true; class 2 does not occur
    assert evaluate.macro_f1(probabilities, labels) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert evaluate.confusion(probabilities, labels).tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert calibration.nll(probabilities, labels) == pytest.approx(-np.log([0.7, 0.6, 0.1, 0.8]).mean())
    # each row in a bin of its own: |0.7-1|, |0.6-1|, |0.9-0|, |0.8-1|
    assert evaluate.ece(probabilities, labels) == pytest.approx((0.3 + 0.4 + 0.9 + 0.2) / 4)
    # one bin: mean confidence 0.75, accuracy 0.75
    assert evaluate.ece(probabilities, labels, bins=1) == pytest.approx(0)


def test_temperature_is_found_and_calibrates() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 1.5, (20_000, 7))
    labels = (calibration.softmax(honest).cumsum(1) > rng.random((20_000, 1))).argmax(1)
    temperature = calibration.fit_temperature(honest * 2.5, labels)
    assert temperature == pytest.approx(2.5, rel=0.03)
    assert evaluate.ece(calibration.softmax(honest * 2.5), labels) > 0.1
    assert evaluate.report(honest * 2.5, labels, temperature)["ece"] < 0.02
    assert evaluate.cross_fitted_ece(honest * 2.5, labels) < 0.02


def test_consensus_leaves_out_what_has_no_plurality_among_seven() -> None:
    def votes(**counts: int) -> list[int]:
        return [counts.get(name, 0) for name in FERPLUS_COLUMNS]

    rows = np.array([
        votes(neutral=9, sadness=1), votes(anger=10), votes(happiness=5, surprise=5), votes(contempt=8, neutral=2),
        votes(unknown=9), votes(), votes(surprise=4, fear=3, neutral=3), votes(**{"not-a-face": 10}),
    ], np.int8)  # fmt: skip
    labels, clear = consensus(rows)
    assert clear.tolist() == [True, True, False, False, False, False, True, False]
    assert [LABELS[i] for i in labels[clear]] == ["neutral", "angry", "surprise"]


def test_serving_imports_no_training_library() -> None:
    program = (
        "import sys\nfrom emotion_stream.classifier_worker import classifier\n"
        "from emotion_stream.models import openvino_export\nfrom emotion_stream.models.export import artifact\n"
        "from emotion_stream.models.evaluation import metrics\n"
        "heavy = {'tensorflow', 'keras', 'torch', 'nncf', 'openvino'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
