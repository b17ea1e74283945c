"""What becomes of logits: the prior of the training images is taken out, and two views are joined."""

from dataclasses import replace

import numpy as np
import pytest

from emotion_stream.classifier_worker.classifier import Classifier
from emotion_stream.emotion.commands.export import SERVED_PRIORS
from emotion_stream.models.calibration import fit_sharpness, probabilities, sharpened, softmax
from emotion_stream.models.evaluation.assess import HASHES, read_hashes
from emotion_stream.models.evaluation.metrics import ece
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.manifest import (
    BALANCED,
    MODELS,
    Adjusted,
    Head,
    Manifest,
    load_manifest,
    model_directory,
    prior_strength,
)
from emotion_stream.shared.messages.types import Box, Crop, Detections, FrameInfo
from emotion_stream.shared.settings.options import ClassifierOptions
from tests.support.model_files import artifact, faces

SHARPNESS = (0.9, 0.8, 1.1, 1.0, 0.9, 0.7, 1.2)
HEAD = Head(
    "consensus", 0.8, None, (1, 2, 3, 40, 5, 6, 43), 0.5,
    (Adjusted(0.0, (1.0,) * 7, 0.5), Adjusted(0.5, SHARPNESS, 0.6), Adjusted(1.0, (0.5,) * 7, 0.4)),
)  # fmt: skip
LOGITS = np.random.default_rng(0).normal(0, 2, (50, 7))


def test_the_adjusted_probability_is_the_calibrated_one_over_the_power_of_the_classs_share() -> None:
    natural = probabilities(LOGITS, HEAD.calibration(0.0))
    np.testing.assert_allclose(natural, softmax(LOGITS, 0.8))
    adjusted = natural / (np.array(HEAD.counts) / 100) ** 0.5
    expected = adjusted ** (1 / np.array(SHARPNESS)[adjusted.argmax(1)])[:, None]  # that of the class that leads
    found = probabilities(LOGITS, HEAD.calibration())
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True))
    np.testing.assert_array_equal(found.argmax(1), adjusted.argmax(1))
    assert HEAD.calibration() == HEAD.calibration(0.5)
    assert found[:, 0].mean() > natural[:, 0].mean()


def test_between_fitted_strengths_sharpness_and_threshold_are_interpolated() -> None:
    assert HEAD.calibration(0.75).uncertain_below == pytest.approx(0.5)
    assert HEAD.calibration(0.75).sharpness == pytest.approx((np.array(SHARPNESS) + 0.5) / 2)
    assert HEAD.calibration(0.1).sharpness == pytest.approx(0.8 + 0.2 * np.array(SHARPNESS))
    assert HEAD.calibration(1.0).sharpness == (0.5,) * 7
    beyond = replace(HEAD, adjusted=HEAD.adjusted[1:2])
    assert {beyond.calibration(t).uncertain_below for t in (0.0, 0.5, 1.0)} == {0.6}
    unfitted = replace(HEAD, adjusted=(), uncertain_below=0.3).calibration(0.75)
    assert (unfitted.sharpness, unfitted.uncertain_below) == ((), 0.3)


def test_each_classs_sharpness_is_found_and_calibrates() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 1.5, (20_000, 7))
    labels = (softmax(honest).cumsum(1) > rng.random((20_000, 1))).argmax(1)
    wrong = np.array(SHARPNESS)[honest.argmax(1)][:, None]
    found = fit_sharpness(honest * wrong, labels)
    np.testing.assert_allclose(found, SHARPNESS, rtol=0.1)
    assert ece(sharpened(honest * wrong, found), labels) < 0.02
    few = fit_sharpness(honest[:80], labels[:80])
    assert len(set(few)) == 1  # too few of any class: all images together


@pytest.mark.parametrize(
    ("text", "strength"), [(None, None), ("natural", 0), ("balanced", BALANCED), ("0.25", 0.25)]
)
def test_strengths_by_name_and_number(text: str | None, strength: float | None) -> None:
    assert prior_strength(text) == strength


@pytest.mark.parametrize("text", ["", "half", "-0.1", "1.01", "nan"])
def test_other_strengths_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="natural, balanced or a number from 0 to 1"):
        prior_strength(text)


def test_a_model_without_counts_has_its_natural_prior_only() -> None:
    head = Head("fer2013", 1.0)
    assert head.calibration(0.0).offset == ()
    with pytest.raises(UsageError, match="--prior natural"):
        head.calibration(0.5)


@pytest.mark.parametrize("name", MODELS)
def test_shipped_models_tell_what_taught_them(name: str) -> None:
    manifest = load_manifest(model_directory(name))
    hashes = read_hashes(manifest.paths(HASHES)[0])
    assert len(hashes) == 26_638  # 26,698 images; some near copies among them share one
    for head in manifest.heads:
        assert head.prior == SERVED_PRIORS[head.name]
        images = 26_698 if head.name == "fer2013" else 26_494  # FER+ sees no face on the others
        assert sum(head.counts) == pytest.approx(images, abs=1)
        rarest, commonest = int(np.argmin(head.counts)), int(np.argmax(head.counts))
        offset = head.calibration().offset
        assert offset[rarest] < offset[commonest] < 0


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return artifact(tmp_path_factory.mktemp("model"))


def answers(manifest: Manifest, options: ClassifierOptions, pictures: np.ndarray, *, still: bool) -> np.ndarray:
    info = FrameInfo("hall", "clip.mp4", "run", 0, 1.0, 0.0, 640, 360, "lossless", still=still)
    found = tuple(Crop(Box(10 * i, 5, 40, 40), 2.0, crop.tobytes()) for i, crop in enumerate(pictures))
    stage = Classifier(options, manifest)
    stage.open()
    (result,) = stage.process([Detections(info, "0-0", manifest.spec, found)])
    stage.close()
    return np.array([face.probabilities for face in result.faces])


def test_stills_are_looked_at_twice_and_streams_once(manifest: Manifest) -> None:
    options, pictures = ClassifierOptions(precision="fp32"), faces(3)
    once = answers(manifest, options, pictures, still=False)
    mirrored = answers(manifest, options, pictures[:, :, ::-1], still=False)
    twice = answers(manifest, options, pictures, still=True)
    both = np.sqrt(once * mirrored)  # the mean of logits is the geometric mean of probabilities
    np.testing.assert_allclose(twice, both / both.sum(1, keepdims=True), atol=1e-5)
    assert np.abs(twice - once).max() > 0.01
    one, two = replace(options, views=1), replace(options, views=2)
    np.testing.assert_allclose(answers(manifest, one, pictures, still=True), once, atol=1e-6)
    np.testing.assert_allclose(answers(manifest, two, pictures, still=False), twice, atol=1e-6)
