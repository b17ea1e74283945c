"""Output images: what is in it, and what survives a kill, a resume, a full disk, a new run."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.catalogue import truncate
from emotion_stream.sink.outputs import images
from emotion_stream.sink.outputs.images import Images
from tests.sink.outputs.test_outputs import ERROR, killed_after, picture, result
from tests.sink.outputs.test_tables import A, child


def test_images_are_annotated_and_named_by_camera_and_number(tmp_path: Path) -> None:
    place = tmp_path / "shots"
    output = Images(place)
    output.write(result(7, boxes=(A,)), picture(7))
    output.write(result(8, "door"), picture(8))
    output.write(result(9, outcome=ERROR), None)
    output.write(result(0, ".."), picture())
    output.close()
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*") if p.is_file())
    assert found == ["shots/_../00000000.jpg", "shots/door/00000008.jpg", "shots/hall/00000007.jpg"]
    drawn = np.asarray(cv2.imread(str(place / "hall" / "00000007.jpg")), np.int16)
    assert drawn.shape == picture().shape
    assert (np.abs(drawn - picture(7)).max(axis=2) > 60).any()


def test_images_resume_and_keep_both_epochs(tmp_path: Path) -> None:
    for epoch in ("a", "b", "a", "b"):
        output = Images(tmp_path / "shots")
        output.write(result(3, epoch=epoch), picture(3))
        output.close()
        if epoch == "a":
            first = (tmp_path / "shots" / "hall" / "00000003.jpg").stat().st_mtime_ns
    assert {p.name for p in (tmp_path / "shots" / "hall").iterdir()} == {"00000003.jpg", "00000003-b.jpg"}
    assert (tmp_path / "shots" / "hall" / "00000003.jpg").stat().st_mtime_ns == first


def test_images_leave_whole_files_when_killed_or_out_of_space(tmp_path: Path) -> None:
    process = child(
        "o = Images(Path(sys.argv[1]))\n"
        "for seq in range(10**6): o.write(result(seq), picture(seq)); print(seq, flush=True)\n",
        str(tmp_path / "killed"),
        of=__name__,
    )
    killed_after(20, process)
    paths = sorted((tmp_path / "killed" / "hall").glob("*.jpg"))
    assert len(paths) >= 20
    assert all(cv2.imread(str(p)) is not None for p in paths)
    process = child(
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "try: Images(Path(sys.argv[1])).write(result(0), picture())\n"
        "except EmotionError as e: print(e)\n",
        str(tmp_path / "full"),
        of=__name__,
    )
    out, err = process.communicate()
    path = tmp_path / "full" / "hall" / "00000000.jpg"
    assert (out, err) == (f"cannot write {path}: File too large\n", "")
    assert list(path.parent.iterdir()) == []


def test_images_leave_pictures_of_somebody_else_alone(tmp_path: Path) -> None:
    (tmp_path / "hall").mkdir()
    holiday = tmp_path / "hall" / "00000001.jpg"
    ok, data = cv2.imencode(".jpg", picture())
    assert ok
    holiday.write_bytes(data.tobytes())
    with pytest.raises(EmotionError, match="picture of something else"):
        Images(tmp_path).write(result(1), picture())
    Images(tmp_path).write(result(2), picture())
    (tmp_path / "hall" / "notes.txt").write_text("notes")
    (tmp_path / "hall" / ".00000009.jpg.part").touch()
    Images(tmp_path).write(result(0, "door"), picture())
    assert {p.name for p in images.written(tmp_path)} == {"00000002.jpg", ".00000009.jpg.part", "00000000.jpg"}
    truncate([f"images={tmp_path}"])
    assert {p.name for p in tmp_path.rglob("*")} == {"hall", "00000001.jpg", "notes.txt"}
    assert holiday.read_bytes() == data.tobytes()
