"""Reading FER-2013, finding copies, varying faces. Needs neither Keras nor the real data."""

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.models.data import duplicates
from emotion_stream.models.data.augment import NONE, Jitter, augment, draw_mixture, mix_images, mix_labels, resize
from emotion_stream.models.data.fer2013 import (
    FERPLUS_NAMES,
    Split,
    fingerprint,
    limit,
    load_splits,
    soft_votes,
)
from emotion_stream.models.labels import LABELS
from emotion_stream.shared.errors import EmotionError
from tests.support.training_files import pictures, write_csv, write_ferplus, write_folders


def test_csv_and_folders_give_the_same_images_under_the_same_labels(tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "fer2013.csv", per_class=2)
    write_folders(tmp_path / "folders", rows)
    table, folders = load_splits(tmp_path), load_splits(tmp_path / "folders")
    assert table.keys() == folders.keys() == {"Training", "PublicTest", "PrivateTest"}
    for name, split in table.items():
        assert sorted(zip(split.labels.tolist(), (p.tobytes() for p in split.pixels), strict=True)) == sorted(
            zip(folders[name].labels.tolist(), (p.tobytes() for p in folders[name].pixels), strict=True)
        )
        for label, file in zip(folders[name].labels, folders[name].names, strict=True):
            assert file.split("/")[1] == LABELS[label]  # alphabetically, sad, surprise and neutral are permuted


def test_a_plain_test_folder_is_publictest(tmp_path: Path) -> None:
    write_folders(tmp_path, [row for row in pictures(1) if row[0] != "PrivateTest"], prefix=False)
    splits = load_splits(tmp_path)
    assert splits.keys() == {"Training", "PublicTest"}
    assert splits["PublicTest"].labels.tolist() == list(range(7))


def test_votes_follow_the_rows(tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "fer2013.csv", per_class=2)
    write_ferplus(tmp_path / "plus.csv", rows, negative_row=3)
    splits = load_splits(tmp_path, tmp_path / "plus.csv")
    votes = splits["Training"].votes
    assert votes is not None
    assert votes.shape == (14, 10)
    assert not votes[3].any()  # written as -1
    shares, weights = soft_votes(votes)
    assert weights.tolist() == [1.0] * 3 + [0.0] + [1.0] * 10
    usable = weights > 0
    assert (shares.argmax(axis=1) == splits["Training"].labels)[usable].all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)


def test_soft_votes_halve_slips_and_leave_out_what_is_no_face() -> None:
    votes = np.zeros((3, 10), np.int64)
    votes[0, [1, 0]] = 9, 1  # nine happiness, one neutral
    votes[1, [1, 9]] = 5, 5  # half of them saw no face
    votes[2, 7] = 10  # contempt
    shares, weights = soft_votes(votes)
    assert shares[0, LABELS.index("happy")] == pytest.approx(9 / 9.5)
    assert shares[0, LABELS.index("neutral")] == pytest.approx(0.5 / 9.5)
    assert weights.tolist() == [1, 0, 0]


GOOD = " ".join(["7"] * 2304)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"7,{GOOD},Training", "row 23: emotion '7' is not one of 0 to 6"),
        (f"x,{GOOD},Training", "row 23: emotion 'x'"),
        (f"3,{GOOD} 1,Training", "row 23: 2305 pixels, not 2304"),
        (f"3,{GOOD[:-1]}a,Training", "row 23: a pixel is not a whole number"),
        (f"3,{GOOD[:-1]}256,Training", "row 23: a pixel is not from 0 to 255"),
        (f"3,{GOOD},Test", "row 23: Usage 'Test'"),
        ("3", "row 23: only 1 columns"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    table = tmp_path / "fer.csv"
    write_csv(table, per_class=1)
    with table.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(EmotionError) as e:
        load_splits(table)
    assert message in str(e.value)
    assert str(table) in str(e.value)
    assert "\n" not in str(e.value)


def _no_pixels(path: Path) -> None:
    (path / "fer2013.csv").write_text("emotion,pixel,Usage\n")


def _missing_class(path: Path) -> None:
    write_csv(path / "fer2013.csv", 1, skip=LABELS.index("disgust"))


def _binary(path: Path) -> None:
    (path / "fer2013.csv").write_bytes(b"\xff\xfe\x00\x81")


def _no_training(path: Path) -> None:
    with (path / "fer2013.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("emotion", "pixels", "Usage"), (0, GOOD, "PublicTest")])


def _strange_folder(path: Path) -> None:
    write_folders(path, pictures(1))
    (path / "test" / "contempt").mkdir()


def _no_image(path: Path) -> None:
    write_folders(path, pictures(1))
    (path / "train" / "sad" / "Training_x.png").write_text("not an image")


def _wrong_size(path: Path) -> None:
    write_folders(path, pictures(1))
    cv2.imwrite(str(path / "train" / "sad" / "Training_x.png"), np.zeros((48, 40), np.uint8))


def _empty_class(path: Path) -> None:
    write_folders(path, [row for row in pictures(1) if row[:2] != ("Training", 4)])
    (path / "train" / "sad").mkdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "neither fer2013.csv nor class folders"),
        (_no_pixels, "row 1: no column 'pixels'"),
        (_missing_class, "no image of class 'disgust'"),
        (_binary, "cannot be read as CSV"),
        (_no_training, "no images of Training"),
        (_strange_folder, "contempt: no such class"),
        (_no_image, "Training_x.png is not an image"),
        (_wrong_size, "Training_x.png: 40x48 pixels, not 48x48"),
        (_empty_class, "Training has no image of class 'sad'"),
    ],
)
def test_wrong_data_is_one_clear_line(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path)
    with pytest.raises(EmotionError) as e:
        load_splits(tmp_path)
    assert message in str(e.value)
    assert "\n" not in str(e.value)


def test_ferplus_of_other_data_is_refused(tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "fer2013.csv", 1)
    write_ferplus(tmp_path / "plus.csv", rows[:-1])
    with pytest.raises(EmotionError, match=r"has 6 rows of PrivateTest, but .* has 7"):
        load_splits(tmp_path, tmp_path / "plus.csv")
    (tmp_path / "plus.csv").write_text("Usage,Image name," + ",".join(FERPLUS_NAMES) + "\nTraining,,1,2\n")
    with pytest.raises(EmotionError, match="row 2: the votes"):
        load_splits(tmp_path, tmp_path / "plus.csv")
    write_folders(tmp_path / "folders", rows)
    with pytest.raises(EmotionError, match=r"use fer2013\.csv with --ferplus"):
        load_splits(tmp_path / "folders", tmp_path / "plus.csv")


def _split(pixels: np.ndarray, labels: list[int]) -> Split:
    return Split(pixels, np.array(labels, np.int64), tuple(map(str, range(len(labels)))))


def _faces(n: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 8, 8), np.uint8)
    return np.stack([cv2.resize(c, (48, 48), interpolation=cv2.INTER_CUBIC) for c in coarse])


def test_copies_are_taken_out_of_training_and_counted() -> None:
    images = _faces(12)
    noisy = np.clip(images[1].astype(int) + np.random.default_rng(1).integers(-6, 7, (48, 48)), 0, 255)
    training = np.stack([
        images[0], images[1], images[2], images[2], images[3], images[3], np.full((48, 48), 9, np.uint8),
        images[4], images[5],
    ])  # fmt: skip
    test = np.stack([images[0], noisy.astype(np.uint8), images[5][:, ::-1], images[9]])
    cleaned = duplicates.clean(_split(training, [0, 1, 2, 2, 3, 4, 5, 6, 0]), [_split(test, [0, 0, 0, 0])])
    assert (cleaned.in_tests, cleaned.repeated, cleaned.conflicting, cleaned.flat) == (3, 1, 2, 1)
    assert cleaned.kept.names == ("2", "7")
    assert "3 copies" in cleaned.summary()


def test_hashes_find_copies_without_the_images() -> None:
    images = _faces(40)
    recompressed = images.copy()
    for image in recompressed:
        image[:] = cv2.imdecode(
            cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_GRAYSCALE
        )
    hashes = duplicates.hashes(images)
    assert hashes.dtype == np.uint64
    assert len(set(hashes.tolist())) == 40
    assert duplicates.near_hashes(duplicates.hashes(images[::-1]), hashes).all()
    assert duplicates.near_hashes(duplicates.hashes(recompressed), hashes, bits=6).all()
    assert not duplicates.near_hashes(duplicates.hashes(_faces(40, seed=5)), hashes, bits=6).any()


def test_limit_and_fingerprint(tmp_path: Path) -> None:
    write_csv(tmp_path / "fer2013.csv", per_class=3)
    splits = load_splits(tmp_path)
    small = limit(splits["Training"], 2)
    assert np.bincount(small.labels).tolist() == [2] * 7
    before = fingerprint(splits)
    assert before == fingerprint(load_splits(tmp_path))
    splits["Training"].labels[0] ^= 1
    assert fingerprint(splits) != before


def test_augmentation_is_seeded_and_leaves_alone_what_it_should() -> None:
    images = _faces(20)
    first = augment(images, 48, Jitter(), np.random.default_rng(3))
    assert np.array_equal(first, augment(images, 48, Jitter(), np.random.default_rng(3)))
    assert not np.array_equal(first, augment(images, 48, Jitter(), np.random.default_rng(4)))
    assert np.array_equal(augment(images, 48, NONE, np.random.default_rng(0)), images)
    assert resize(images, 64).shape == (20, 64, 64)
    assert resize(images, 48) is images


def test_faces_are_mirrored_left_to_right_and_never_upside_down() -> None:
    images = _faces(1)
    mirrored = augment(images, 48, Jitter(1, 0, 0, 0, 0, 0, 0, 0), np.random.default_rng(0))
    assert np.array_equal(mirrored[0], images[0, :, ::-1])
    gradient = np.repeat(np.linspace(0, 255, 48).astype(np.uint8)[:, None], 48, axis=1)[None].repeat(200, axis=0)
    varied = augment(gradient, 48, Jitter(erase=0), np.random.default_rng(0)).astype(float)
    assert (varied[:, 30:].mean(axis=(1, 2)) > varied[:, :18].mean(axis=(1, 2)) + 20).all()


def test_mixing_keeps_images_and_labels_in_proportion() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(np.array([0.0, 100.0], np.float32), 4)[:, None, None, None] * np.ones((1, 8, 8, 1), np.float32)
    y = {"fer2013": np.repeat(np.eye(2, 7, dtype=np.float32), 4, axis=0)}
    weights = {"fer2013": np.ones(8, np.float32)}
    mixed = 0
    for kind in ("mixup", "cutmix"):
        for _ in range(20):
            mixture = draw_mixture(8, 8, kind, 1.0, rng)
            images, (labels, counts) = mix_images(x, mixture), mix_labels(y, weights, mixture)
            share_of_second = images.mean(axis=(1, 2, 3)) / 100
            np.testing.assert_allclose(labels["fer2013"][:, 1], share_of_second, atol=1e-5)
            np.testing.assert_allclose(labels["fer2013"].sum(axis=1), 1, atol=1e-5)
            np.testing.assert_allclose(counts["fer2013"], 1, atol=1e-5)
            mixed += bool(((share_of_second > 0.01) & (share_of_second < 0.99)).any())
    assert mixed > 25
    weights["fer2013"][4:] = 0  # images without a label of their own lend none
    labels, counts = mix_labels(y, weights, draw_mixture(8, 8, "mixup", 1.0, rng))
    assert (labels["fer2013"][:4, 1] == 0).all()
    assert (counts["fer2013"][:4] <= 1).all()


def test_jitter_moves_and_scales_as_much_as_it_says() -> None:
    dot = np.zeros((400, 48, 48), np.uint8)
    dot[:, 22:26, 22:26] = 255  # its centre is the image's
    moved = augment(dot, 48, Jitter(0, 0, 0, 0.1, 0, 0, 0, 0), np.random.default_rng(0)).astype(float)
    weights = moved.sum(axis=(1, 2))
    x = (moved.sum(axis=1) * np.arange(48)).sum(axis=1) / weights - 23.5
    assert np.abs(x).max() == pytest.approx(4.8, abs=0.15)
    assert abs(x.mean()) < 0.4
    scaled = augment(dot, 48, Jitter(0, 0, 0.2, 0, 0, 0, 0, 0), np.random.default_rng(0)).astype(float)
    area = scaled.sum(axis=(1, 2)) / dot[0].sum()
    assert area.min() == pytest.approx(0.64, abs=0.06)
    assert area.max() == pytest.approx(1.44, abs=0.06)


def test_erasing_paints_a_rectangle_of_bounded_size() -> None:
    plain = np.full((100, 48, 48), 100, np.uint8)
    erased = augment(plain, 48, Jitter(0, 0, 0, 0, 0, 0, 1, 0.33), np.random.default_rng(0)) != 100
    painted = erased[erased.any(axis=(1, 2))]
    assert len(painted) > 90
    assert painted.any(axis=1).sum(axis=1).max() <= 0.33 * 48
    assert painted.any(axis=1).sum(axis=1).min() >= 5
