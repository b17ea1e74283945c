"""`emotion evaluate` and its figures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from emotion_stream.classifier_worker.openvino_backend import OpenVinoBackend
from emotion_stream.emotion.commands.evaluate import COMMAND
from emotion_stream.models import calibration
from emotion_stream.models.data import duplicates
from emotion_stream.models.evaluation import metrics as evaluate
from emotion_stream.models.evaluation.card import section_name
from emotion_stream.models.evaluation.drawing import network_svg
from emotion_stream.models.labels import LABELS
from emotion_stream.models.network import HEADS
from emotion_stream.shared.messages.manifest import MODELS, Manifest, load_manifest, model_directory
from tests.support.model_files import artifact
from tests.support.training_files import Row, write_csv, write_ferplus, write_folders

DOCS = Path(__file__).parents[2] / "docs"
P = np.array([[0.7, 0.3, 0.0], [0.4, 0.6, 0.0], [0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.3, 0.3, 0.4]])
Y = np.array([0, 1, 1, 1, 2])


def test_figures_against_hand_counted_values() -> None:
    found = evaluate.figures(P, Y)
    assert found["balanced_accuracy"] == pytest.approx((1 + 2 / 3 + 1) / 3)
    # at 0.5 it says yes to (0,0) (1,1) (2,0) (3,1): three hits of five labels
    assert found["binary_precision"] == pytest.approx(3 / 4)
    assert found["binary_recall"] == pytest.approx(3 / 5)
    assert found["binary_accuracy"] == pytest.approx(1 - (1 + 2) / 15)
    positives = P[np.arange(5), Y]
    negatives = P[~np.eye(3, dtype=bool)[Y]]
    pairs = [(a > b) + 0.5 * (a == b) for a in positives for b in negatives]
    assert found["auc"] == pytest.approx(np.mean(pairs))
    table = evaluate.per_class(P, Y, ("a", "b", "c"))
    assert table["a"] == {"precision": 0.5, "recall": 1.0, "images": 1}
    assert table["b"] == {"precision": 1.0, "recall": pytest.approx(2 / 3), "images": 3}


def test_a_model_that_says_nothing_has_six_sevenths_binary_accuracy() -> None:
    labels = np.random.default_rng(0).integers(0, 7, 500)
    assert evaluate.figures(np.full((500, 7), 1 / 7), labels)["binary_accuracy"] == pytest.approx(6 / 7)
    assert evaluate.figures(np.full((500, 7), 1 / 7), labels)["auc"] == pytest.approx(0.5)


def test_bootstrap_intervals_hold_the_truth_and_shrink() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 7, 4000)
    probabilities = np.full((4000, 7), 0.05)
    probabilities[np.arange(4000), np.where(rng.random(4000) < 0.6, labels, (labels + 1) % 7)] = 0.7
    wide = evaluate.intervals(probabilities[:400], labels[:400], resamples=300)["top1"]
    narrow = evaluate.intervals(probabilities, labels, resamples=300)["top1"]
    assert narrow[0] < 0.6 < narrow[1]
    assert narrow[1] - narrow[0] == pytest.approx(2 * 1.96 * np.sqrt(0.24 / 4000), rel=0.2)
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_uncertain_is_said_where_a_guess_is_more_often_wrong_than_right() -> None:
    rng = np.random.default_rng(0)
    probabilities = calibration.softmax(rng.normal(0, 1.5, (20_000, 7)))
    labels = (probabilities.cumsum(1) > rng.random((20_000, 1))).argmax(1)  # honest: p is right p of the time
    assert evaluate.uncertain_below(probabilities, labels) == pytest.approx(0.5, abs=0.04)
    assert evaluate.uncertain_below(probabilities, labels, cost=0.2) == pytest.approx(0.8, abs=0.04)
    curve = evaluate.risk_coverage(probabilities, labels)
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(1 - evaluate.top1(probabilities, labels))
    assert (np.diff(curve.threshold) <= 0).all()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """fer2013.csv and fer2013new.csv, and what is in them."""
    folder = tmp_path_factory.mktemp("data")
    written = write_csv(folder / "fer2013.csv", per_class=6)
    write_ferplus(folder / "plus.csv", written)
    return folder, written


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, rows: tuple[Path, list[Row]]) -> Manifest:
    """A small model that says it was trained on the first five images of PrivateTest."""
    folder = tmp_path_factory.mktemp("model")
    private = np.stack([pixels for usage, _, pixels in rows[1] if usage == "PrivateTest"])
    return artifact(folder, with_npz=True, hashes=duplicates.hashes(private[:5]))


def evaluated(capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, Any]:
    assert COMMAND.main([*flags, "--json", "--log-level=error"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_it_measures_what_is_served(
    rows: tuple[Path, list[Row]], model: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, written = rows
    flags = [f"--data={folder}", f"--model={model.directory}", "--precision=fp32", f"--charts={tmp_path}"]
    found = evaluated(capsys, *flags, f"--ferplus={folder / 'plus.csv'}", "--split=PrivateTest")
    pixels = np.stack([p for usage, _, p in written if usage == "PrivateTest"])
    labels = np.array([label for usage, label, _ in written if usage == "PrivateTest"])
    for head in HEADS:
        backend = OpenVinoBackend(model, "fp32", head)
        backend.open()
        right = backend.logits(pixels).argmax(1) == labels
        backend.close()
        assert found["top1" if head == "fer2013" else "consensus_agreement"] == pytest.approx(right.mean())
        if head == "fer2013":
            assert found["copies_of_training"] == 5
            without = found["without_copies"]
            assert isinstance(without, dict)
            assert without["top1"] == pytest.approx(right[5:].mean())
    assert (found["head"], found["split"], found["images"], found["consensus_images"]) == (
        "fer2013", "PrivateTest", 42, 42,
    )  # fmt: skip
    assert list(found["per_class"]) == list(LABELS)
    flags.append("--split=PrivateTest")
    other = evaluated(capsys, *flags, f"--ferplus={folder / 'plus.csv'}", "--head=consensus")
    assert other["top1"] == found["consensus_agreement"]
    rebuilt = evaluated(capsys, *flags, "--precision=bf16")  # from the weights file
    assert rebuilt["nll"] == pytest.approx(found["nll"], abs=0.1)
    if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):  # elsewhere it is computed in fp32
        assert rebuilt["nll"] != found["nll"]


def test_one_split_in_folders_is_enough(
    rows: tuple[Path, list[Row]], model: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = [row for row in rows[1] if row[0] == "PublicTest"]
    write_folders(tmp_path / "faces", tests, prefix=False)
    assert not (tmp_path / "faces/train").exists()
    flags = [f"--model={model.directory}", "--precision=fp32", "--charts="]
    from_folders = evaluated(capsys, f"--data={tmp_path / 'faces'}", *flags)
    from_table = evaluated(capsys, f"--data={rows[0]}", *flags)
    assert from_folders["confusion"] == from_table["confusion"]
    assert from_folders["nll"] == pytest.approx(from_table["nll"])  # the same images in another order


def test_a_data_set_without_some_classes_in_bare_folders_is_measured_by_what_it_has(
    rows: tuple[Path, list[Row]], model: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = [row for row in rows[1] if row[0] == "PublicTest" and row[1] in (0, 2, 3)]
    write_folders(tmp_path, some, prefix=False)
    flags = [f"--data={tmp_path / 'test'}", f"--model={model.directory}", "--precision=fp32", "--charts="]
    for name in ("disgust", "sad", "surprise", "neutral"):
        empty = tmp_path / "test" / name
        if empty.is_dir():
            empty.rmdir()
    found = evaluated(capsys, *flags)
    assert list(found["per_class"]) == ["angry", "fear", "happy"]
    assert found["absent_classes"] == ["disgust", "sad", "surprise", "neutral"]
    recalls = [c["recall"] for c in found["per_class"].values()]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert {"top1", "macro_f1", "balanced_accuracy", "ece"} <= set(found["natural"]) & set(found["two_views"])
    assert COMMAND.main(flags) == 0
    assert "no image of disgust, sad, surprise, neutral is there" in capsys.readouterr().out


def test_tables_for_people(
    rows: tuple[Path, list[Row]], model: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--data={rows[0]}", f"--model={model.directory}", "--precision=fp32", "--charts="]
    assert COMMAND.main(flags) == 0
    text = capsys.readouterr().out
    assert "head fer2013, PublicTest" in text
    assert "| balanced accuracy " in text
    assert "0.8571" in text
    assert "copies of training images, by their hashes: 0" in text


@pytest.mark.needs("matplotlib")
def test_pictures_are_drawn(rows: tuple[Path, list[Row]], model: Manifest, tmp_path: Path) -> None:
    flags = [f"--data={rows[0]}", f"--model={model.directory}", "--precision=fp32", f"--charts={tmp_path / 'p'}"]
    assert COMMAND.main(flags) == 0
    drawn = {path.name for path in (tmp_path / "p").iterdir()}
    assert drawn == {"confusion.png", "reliability.png", "risk-coverage.png"}


def test_the_card_is_written_anew_between_its_marks(
    rows: tuple[Path, list[Row]], model: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "card.md"
    card.write_text("before\n<!-- figures fer2013 -->\nold\n<!-- end fer2013 -->\nafter\n")
    flags = [f"--data={rows[0]}", f"--model={model.directory}", "--precision=fp32", "--charts=", f"--card={card}"]
    assert COMMAND.main(flags) == 0
    text = card.read_text()
    assert text.startswith("before\n<!-- figures fer2013 -->\nMeasured: random, fp32 on openvino")
    assert text.endswith("<!-- end fer2013 -->\nafter\n")
    assert "old" not in text
    assert "| balanced accuracy " in text
    assert COMMAND.main(flags) == 0
    assert card.read_text() == text
    card.write_text("no marks")
    assert COMMAND.main(flags) == 1
    assert "has 0 sections between" in capsys.readouterr().err


def test_each_shipped_model_has_its_sections_in_the_card(model: Manifest) -> None:
    card = (DOCS / "reference" / "model-card.md").read_text()
    for name in MODELS:
        manifest = load_manifest(model_directory(name))
        for head in HEADS:
            mark = f"<!-- figures {section_name(manifest, head)} -->\nMeasured: {manifest.id}, int8 on openvino"
            assert card.count(mark) == 1
            figures = manifest.raw["accuracies"]["int8"][head]
            row = f"| int8      | {figures['top1']:.4f} | {figures['balanced_accuracy']:.4f} "
            assert row in card.partition(mark)[2].partition("<!-- end")[0]
    assert section_name(model, "fer2013") == "fer2013"


def test_the_drawing_of_the_network_is_that_of_the_layer_table() -> None:
    assert (DOCS / "images" / "network.svg").read_text() == network_svg()
    assert "14,720,718 parameters in all" in network_svg()
    assert "3 x 3 x 512, 7,079,424 parameters" in network_svg()


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 2, "--data is missing"),
        (["--data=nowhere"], 1, "no data at nowhere"),
        (["--data={data}", "--head=consensus"], 2, "give --ferplus"),
        (["--data={data}", "--head=valence"], 1, "no head 'valence'"),
        (["--data={data}", "--precision=int3"], 1, "no precision 'int3'"),
        (["--data={data}", "--split=Test"], 2, "'Test' is not one of"),
        (["--data={data}", "--prior=lots"], 2, "it is natural, balanced or a number from 0 to 1"),
        (["--data={data}", "--prior=balanced"], 2, "only --prior natural works with it"),
    ],
)
def test_wrong_use_is_one_clear_line(
    rows: tuple[Path, list[Row]], model: Manifest, capsys: pytest.CaptureFixture[str], flags: list[str], code: int,
    message: str,
) -> None:  # fmt: skip
    filled = [flag.format(data=rows[0]) for flag in flags]
    assert COMMAND.main([*filled, f"--model={model.directory}", "--log-level=error", "--charts="]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_damaged_file_of_hashes_is_refused(
    rows: tuple[Path, list[Row]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact(tmp_path, hashes=np.zeros(3))
    flags = [f"--data={rows[0]}", f"--model={tmp_path}", "--precision=fp32", "--charts="]
    assert COMMAND.main(flags) == 1
    assert "training-hashes.npy holds no hashes" in capsys.readouterr().err
    (tmp_path / "training-hashes.npy").write_bytes(b"changed")
    assert COMMAND.main(flags) == 1
    assert "is damaged" in capsys.readouterr().err
