"""The classifier stage and its back ends, on a small VGG16 with random weights."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotion_stream.classifier_worker.backend import BATCH_SIZES, chunks
from emotion_stream.classifier_worker.classifier import Classifier
from emotion_stream.classifier_worker.openvino_backend import OpenVinoBackend
from emotion_stream.classifier_worker.tensorflow_backend import TensorFlowBackend
from emotion_stream.models.export.artifact import Artifact, write_manifest
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.codec import decode_emotions, encode_emotions
from emotion_stream.shared.messages.manifest import (
    DEFAULT_ARTIFACTS,
    MODELS,
    Manifest,
    load_manifest,
    model_directory,
)
from emotion_stream.shared.messages.types import Box, Crop, Detections, FrameInfo, ModelSpec, Outcome
from emotion_stream.shared.settings.options import ClassifierOptions
from tests.support.model_files import TEMPERATURES, artifact, faces

OPTIONS = ClassifierOptions(precision="fp32")
HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return artifact(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def classifier(manifest: Manifest) -> Classifier:
    stage = Classifier(OPTIONS, manifest)
    stage.open()
    return stage


def message(manifest: Manifest, crops: np.ndarray, seq: int = 0) -> Detections:
    info = FrameInfo("hall", "clip.mp4", "run", seq, 1.0, seq / 25, 640, 360, "lossless")
    found = tuple(Crop(Box(10 * i, 5, 40, 40), 2.0 + i, crop.tobytes()) for i, crop in enumerate(crops))
    return Detections(info, f"{seq}-0", manifest.spec, found)


def probabilities(classifier: Classifier, detections: Detections) -> np.ndarray:
    (result,) = classifier.process([detections])
    assert result.outcome.status == "ok"
    return np.array([face.probabilities for face in result.faces])


def test_messages_keep_their_order_faces_and_boxes(classifier: Classifier, manifest: Manifest) -> None:
    pictures = faces(5)
    batch = [
        message(manifest, pictures[:2], 7),
        message(manifest, pictures[:0], 8),
        message(manifest, pictures[2:], 9),
    ]
    results = classifier.process(batch)
    assert [r.info for r in results] == [m.info for m in batch]
    assert [r.frame_id for r in results] == ["7-0", "8-0", "9-0"]
    assert [len(r.faces) for r in results] == [2, 0, 3]
    for sent, got in zip(batch, results, strict=True):
        assert got.labels == manifest.labels
        assert [(f.box, f.weight) for f in got.faces] == [(f.box, f.weight) for f in sent.faces]
        assert decode_emotions(encode_emotions(got), "1-0") == got
    found = np.array([f.probabilities for r in results for f in r.faces])
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert np.ptp(found, axis=0).max() > 0.05  # the pictures differ, so do the answers


def test_probabilities_are_the_softmax_of_logits_over_temperature(manifest: Manifest) -> None:
    pictures = faces(3)
    for head, temperature in TEMPERATURES.items():
        backend = OpenVinoBackend(manifest, "fp32", head)
        backend.open()
        powers = np.exp(backend.logits(pictures).astype(np.float64) / temperature)
        stage = Classifier(replace(OPTIONS, head=head), manifest)
        stage.open()
        found = probabilities(stage, message(manifest, pictures))
        np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), atol=1e-6)
        stage.close()
        backend.close()


def test_the_default_head_is_the_manifests(classifier: Classifier, manifest: Manifest) -> None:
    named = Classifier(replace(OPTIONS, head="consensus"), manifest)
    named.open()
    sent = message(manifest, faces(2))
    assert manifest.default_head == "consensus"
    np.testing.assert_array_equal(probabilities(named, sent), probabilities(classifier, sent))


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7, 31, 32, 33, 70])
def test_an_answer_does_not_depend_on_the_batch(classifier: Classifier, manifest: Manifest, count: int) -> None:
    pictures = faces(70)
    alone = np.array([probabilities(classifier, message(manifest, p[None]))[0] for p in pictures[:count]])
    together = probabilities(classifier, message(manifest, pictures[:count]))
    np.testing.assert_allclose(together, alone.reshape(together.shape), atol=1e-5)


@pytest.mark.parametrize("count", range(100))
def test_chunks_cover_every_crop_once(count: int) -> None:
    parts = chunks(count)
    assert [i for start, stop in parts for i in range(start, stop)] == list(range(count))
    assert all(stop - start in BATCH_SIZES for start, stop in parts)


@pytest.mark.parametrize("other", [("older", 48, 0.1), ("random", 64, 0.1), ("random", 48, 0.3)])
def test_crops_for_another_model_are_refused(
    classifier: Classifier, manifest: Manifest, other: tuple[str, int, float]
) -> None:
    good = message(manifest, faces(1), 1)
    foreign = replace(good, model=ModelSpec(*other))
    first, refused, last = classifier.process([good, foreign, replace(good, frame_id="2-0")])
    assert (first.outcome.status, last.outcome.status) == ("ok", "ok")
    assert first.faces == last.faces
    assert refused.outcome.status == "error"
    assert refused.faces == ()
    assert "runs random (48 px, margin 0.1)" in str(refused.outcome.reason)
    assert f"{other[0]} ({other[1]} px, margin {other[2]})" in str(refused.outcome.reason)


def test_a_crop_of_wrong_length_spoils_only_its_message(classifier: Classifier, manifest: Manifest) -> None:
    good = message(manifest, faces(1))
    short = replace(good, faces=(Crop(Box(0, 0, 1, 1), 1.0, b"short"),))
    results = classifier.process([short, good])
    assert [r.outcome.status for r in results] == ["error", "ok"]


def test_pass_on_keeps_the_place(classifier: Classifier, manifest: Manifest) -> None:
    sent = message(manifest, faces(1), 4)
    result = classifier.pass_on(sent, Outcome.dropped("stale"))
    assert (result.info, result.frame_id, result.faces) == (sent.info, "4-0", ())
    assert result.outcome == Outcome("dropped", "stale")
    assert result.labels == manifest.labels


def test_a_wrong_head_is_refused(manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="no head 'valence'; it has: fer2013, consensus"):
        Classifier(replace(OPTIONS, head="valence"), manifest)


def test_a_wrong_precision_is_refused(manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="no precision 'int8'; it has: fp32"):
        Classifier(replace(OPTIONS, precision="int8"), manifest)


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    model = artifact(tmp_path)
    binary = tmp_path / "vgg16-fp32.bin"
    whole = binary.read_bytes()
    binary.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(EmotionError, match=r"vgg16-fp32\.bin is damaged"):
        Classifier(OPTIONS, model).open()
    binary.unlink()
    with pytest.raises(EmotionError, match=r"vgg16-fp32\.bin cannot be read"):
        Classifier(OPTIONS, model).open()


def rewritten(model: Manifest, tmp_path: Path, **changes: Any) -> Manifest:
    """The same files with a manifest that says something else of them."""
    known = Artifact(model.id, model.size, model.margin, model.heads, model.default_head)
    files = {name: [tmp_path / f for f in entry] for name, entry in model.files.items()}
    return write_manifest(tmp_path, replace(known, **changes), files)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": 64}, r"takes \[\?,48,48\], not uint8 \[\?,64,64\]"),
        ({"labels": ("happy", "sad")}, r"yields \[\?,7\]"),
    ],
)
def test_files_that_contradict_the_manifest_are_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    model = rewritten(artifact(tmp_path), tmp_path, **changes)
    with pytest.raises(EmotionError, match=reason):
        Classifier(OPTIONS, model).open()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text("<net/>")
    base = Artifact("broken", 48, 0.1, artifact(tmp_path).heads, "consensus")
    model = write_manifest(tmp_path, base, {"fp32": [tmp_path / "m.xml"]})
    with pytest.raises(EmotionError, match="not an OpenVINO model that can run here") as caught:
        Classifier(OPTIONS, model).open()
    assert "\n" not in str(caught.value)
    model = write_manifest(tmp_path, base, {"fp32": []})
    with pytest.raises(EmotionError, match=r"precision 'fp32' .* is not an OpenVINO model"):
        Classifier(OPTIONS, model).open()


def test_the_compiled_model_can_be_cached(manifest: Manifest, tmp_path: Path) -> None:
    pictures = faces(3)
    answers = []
    for _ in range(2):
        backend = OpenVinoBackend(manifest, "fp32", "consensus", cache=tmp_path)
        backend.open()
        answers.append(backend.logits(pictures))
        backend.close()
    assert list(tmp_path.iterdir())
    np.testing.assert_array_equal(answers[0], answers[1])


@pytest.mark.parametrize("name", MODELS)
def test_the_committed_model_answers_and_is_independent_of_the_batch(name: str) -> None:
    model = load_manifest(model_directory(name))
    stage = Classifier(ClassifierOptions(), model)
    stage.open()
    pictures = faces(5)
    together = probabilities(stage, message(model, pictures))
    alone = np.array([probabilities(stage, message(model, p[None]))[0] for p in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    stage.close()


@pytest.mark.skipif(HAS_TENSORFLOW, reason="TensorFlow is installed")
def test_without_tensorflow_the_message_says_what_to_install(manifest: Manifest) -> None:
    stage = Classifier(replace(OPTIONS, backend="tensorflow"), manifest)
    with pytest.raises(EmotionError, match="make train-env"):
        stage.open()


@pytest.mark.needs("tensorflow")
@pytest.mark.parametrize("with_npz", [True, False])
def test_tensorflow_gives_the_answers_of_openvino(tmp_path: Path, with_npz: bool) -> None:
    model = artifact(tmp_path, with_npz=with_npz)
    pictures = faces(37)
    for head in TEMPERATURES:
        ours, theirs = OpenVinoBackend(model, "fp32", head), TensorFlowBackend(model, "fp32", head)
        ours.open()
        theirs.open()
        np.testing.assert_allclose(theirs.logits(pictures), ours.logits(pictures), atol=2e-3)
        ours.close()
        theirs.close()


@pytest.mark.needs("tensorflow")
def test_tensorflow_agrees_with_the_committed_int8_model() -> None:
    model = load_manifest(DEFAULT_ARTIFACTS)
    sent = message(model, faces(8))
    found = []
    for backend in ("openvino", "tensorflow"):
        stage = Classifier(ClassifierOptions(backend=backend), model)
        stage.open()
        found.append(probabilities(stage, sent))
        stage.close()
    assert np.abs(found[0] - found[1]).max() < 0.1
    assert np.abs(found[0] - found[1]).mean() < 0.01


def test_inference_is_not_tied_to_one_core(manifest: Manifest) -> None:
    """OpenVINO ties the first thread of every process to the same core, unless it is told not to."""
    backend = OpenVinoBackend(manifest, "fp32", "consensus")
    backend.open()
    assert backend._request.get_compiled_model().get_property("ENABLE_CPU_PINNING") is False
    backend.close()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_an_error_of_their_frame_alone(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    """What a damaged model or engine might give; the real one never does."""
    stage = Classifier(OPTIONS, manifest)
    stage.open()
    real = OpenVinoBackend.logits

    def broken(self: OpenVinoBackend, crops: Any) -> Any:
        found = real(self, crops).copy()
        found[1, 3] = wrong
        return found

    monkeypatch.setattr(OpenVinoBackend, "logits", broken)
    pictures = faces(4)
    first, second = stage.process([message(manifest, pictures[:2], 7), message(manifest, pictures[2:], 8)])
    assert first.outcome == Outcome.error("the model gave no finite number for a face")
    assert first.faces == ()
    assert (second.outcome.status, len(second.faces)) == ("ok", 2)
    stage.close()


def test_the_threshold_of_uncertainty_comes_from_the_manifest(manifest: Manifest, tmp_path: Path) -> None:
    raw = json.loads((manifest.directory / "manifest.json").read_text())
    raw["heads"][0]["uncertain_below"] = 0.35
    (tmp_path / "manifest.json").write_text(json.dumps(raw))
    first, second = load_manifest(tmp_path).heads
    assert (first.uncertain_below, second.uncertain_below) == (0.35, None)
    stage = Classifier(replace(OPTIONS, head=first.name), replace(manifest, heads=(first, second)))
    stage.open()
    (found,) = stage.process([message(manifest, faces(1))])
    assert found.uncertain_below == 0.35
    stage.close()
