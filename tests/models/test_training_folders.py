"""Class folders as they lie on people's disks: litter between the pictures, and other names for the splits."""

import logging
from pathlib import Path

import pytest

from emotion_stream.models.data.fer2013 import load_splits
from emotion_stream.shared.errors import EmotionError
from tests.support.training_files import pictures, write_folders


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """`train/` and `test/`; files in `test/` do not tell their split."""
    write_folders(tmp_path, [row for row in pictures(2) if row[0] != "PrivateTest"], prefix=False)
    return tmp_path


def _litter(folder: Path) -> None:
    (folder / "._im_0.png").write_bytes(b"\x00\x05\x16\x07 resource fork")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / ".DS_Store").write_bytes(b"\x00")
    copies = folder / ".ipynb_checkpoints"
    copies.mkdir()
    (copies / "im-checkpoint.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("mine")


def test_what_systems_and_tools_leave_is_left_out_and_counted(
    folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = load_splits(folders)
    for place in (folders / "train", folders / "train" / "sad", folders / "test" / "happy"):
        _litter(place)
    with caplog.at_level(logging.INFO):
        splits = load_splits(folders)
    assert {name: split.names for name, split in splits.items()} == {n: s.names for n, s in plain.items()}
    assert len(splits["Training"]) == len(splits["PublicTest"]) == 14
    told = caplog.messages[-1]
    for part in ("3 ._*", "3 Thumbs.db", "3 .ipynb_checkpoints", "3 .DS_Store", "3 *.txt"):
        assert part in told
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("name", ["validation", "val", "valid", "Validation"])
def test_a_validation_folder_is_publictest(folders: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    (folders / "test").rename(folders / name)
    with caplog.at_level(logging.INFO):
        splits = load_splits(folders)
    assert splits.keys() == {"Training", "PublicTest"}
    assert all(file.startswith(f"{name}/") for file in splits["PublicTest"].names)
    assert f"{name}/ is taken as PublicTest" in caplog.text


def test_beside_a_validation_folder_test_is_held_out(folders: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_folders(folders / "more", [row for row in pictures(3, seed=5) if row[0] == "PublicTest"], prefix=False)
    (folders / "more" / "test").rename(folders / "val")
    with caplog.at_level(logging.INFO):
        splits = load_splits(folders)
    assert {name: len(split) for name, split in splits.items()} == {
        "Training": 14,
        "PublicTest": 21,
        "PrivateTest": 14,
    }
    assert "test/ as PrivateTest" in caplog.text


def test_without_either_folder_the_missing_one_is_named(folders: Path) -> None:
    (folders / "test").rename(folders / "elsewhere")
    with pytest.raises(EmotionError, match="class folders in test/"):
        load_splits(folders)
