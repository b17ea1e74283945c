"""`emotion picture` and the Python interface, with the committed model on real pictures."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import emotion_stream
from emotion_stream.emotion.__main__ import main
from emotion_stream.emotion.analyzer import Analyzer
from emotion_stream.emotion.commands.picture import find, table, targets
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.settings.options import DetectorOptions
from tests.support.pictures import Image, encode, portraits

ROOT = Path(__file__).parents[2]
LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
FACE_KEYS = [
    "track",
    "confirmed",
    "box",
    "score",
    "landmarks",
    "yaw",
    "roll",
    "turned",
    "emotion",
    "confidence",
    "uncertain",
    "probabilities",
    "raw",
]


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer()


def save(path: Path, image: Any, suffix: str | None = None) -> Path:
    path.write_bytes(encode(image, suffix or path.suffix))
    return path


def rotated(image: Image) -> bytes:
    """A JPEG stored lying on its side whose EXIF block (orientation 6) says how to turn it upright."""
    stored = encode(np.ascontiguousarray(np.rot90(image)))
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    block = b"Exif\0\0" + tiff
    return stored[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + stored[2:]


def run_lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    code = main(["picture", "--json", *arguments])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def centred(face: dict[str, Any], width: int, height: int) -> bool:
    x, y, w, h = face["box"]
    return bool(abs(x + w / 2 - width / 2) < width / 5 and abs(y + h / 2 - height / 2) < height / 5)


@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_every_kind_of_picture_gives_its_face_in_argument_order(
    detector: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = portraits()[1]
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    alpha = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    paths = [
        save(tmp_path / "plain.jpg", image),
        save(tmp_path / "alpha.png", alpha),
        save(tmp_path / "deep.png", image.astype(np.uint16) * 257),
        save(tmp_path / "gray.png", gray),
        save(tmp_path / "web.webp", image),
        tmp_path / "turned.jpg",
        save(tmp_path / "b.bmp", image),
        save(tmp_path / "no-suffix", image, ".jpg"),
        save(tmp_path / "large.jpg", cv2.resize(image, (6000, 6000))),
    ]
    paths[5].write_bytes(rotated(image))
    code, lines, err = run_lines(capsys, "--detector", detector, "--image", *map(str, paths))
    assert (code, err) == (0, "")
    assert [line["image"] for line in lines] == [str(p) for p in paths]
    for line in lines:
        assert list(line) == ["image", "status", "error", "width", "height", "faces"]
        assert (line["status"], line["error"]) == ("ok", None)
        assert len(line["faces"]) == 1, line["image"]
        assert centred(line["faces"][0], line["width"], line["height"]), line["image"]
        face = line["faces"][0]
        assert list(face) == FACE_KEYS
        assert (face["landmarks"] is None) == (detector == "haar")
        assert list(face["probabilities"]) == LABELS
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert face["confidence"] == face["probabilities"][face["emotion"]] == max(face["probabilities"].values())
    assert (lines[8]["width"], lines[0]["width"]) == (6000, 200)


def test_what_cannot_be_read_is_reported_while_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = save(tmp_path / "b.jpg", portraits()[0])
    (tmp_path / "a.jpg").write_bytes(good.read_bytes()[:900])
    (tmp_path / "c.txt").write_text("no picture")
    huge = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (50_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0\0\0\0\0"
    (tmp_path / "huge.png").write_bytes(huge)
    named = [str(tmp_path / name) for name in ("*.jpg", "c.txt", "gone.png", "x*.png", "huge.png")]
    code, lines, err = run_lines(capsys, "--image", *named)
    assert code == 1
    assert [(Path(line["image"]).name, line["status"]) for line in lines] == [
        ("a.jpg", "error"),
        ("b.jpg", "ok"),
        ("c.txt", "error"),
        ("gone.png", "error"),
        ("x*.png", "error"),
        ("huge.png", "error"),
    ]
    told = err.splitlines()
    assert len(told) == 6
    assert "a.jpg: cannot be decoded: JPEG is cut off" in told[0]
    assert "c.txt: cannot be decoded: it is no picture" in told[1]
    assert "gone.png: cannot be read (No such file" in told[2]
    assert "x*.png: no pictures here" in told[3]
    assert "huge.png: cannot be decoded: picture of 50000 x 50000 pixels is too large" in told[4]
    assert told[5] == "emotion picture: 5 of 6 pictures could not be read or written"


def test_the_table_shows_percentages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces, nobody = save(tmp_path / "a.jpg", portraits()[1]), tmp_path / "b.jpg"
    save(nobody, np.full((100, 100, 3), 90, np.uint8))
    assert main(["picture", "--image", str(faces), str(nobody)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{faces}: 200 x 200 pixels, 1 face"
    assert told[1].split()[-7:] == LABELS
    shares = [float(text.rstrip("%")) for text in told[2].split()[-7:]]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert told[2].split()[5] == LABELS[int(np.argmax(shares))]
    assert told[3] == f"{nobody}: 100 x 100 pixels, no face"


def test_annotated_pictures_go_to_a_file_or_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = portraits()[1]
    (tmp_path / "other").mkdir()
    one, two = save(tmp_path / "a.jpg", image), save(tmp_path / "other" / "a.jpg", image)
    target, place = tmp_path / "out.png", tmp_path / "new" / "place"
    assert run_lines(capsys, "--image", str(one), "--output", str(target))[0] == 0
    drawn = np.asarray(cv2.imread(str(target)), np.int16)
    assert drawn.shape == image.shape
    changed = (np.abs(drawn - image) > 60).any(axis=2)
    assert 0.01 < changed.mean() < 0.5
    assert run_lines(capsys, "--image", str(one), str(two), "--output", str(place))[0] == 0
    assert sorted(p.name for p in place.iterdir()) == ["a-2.jpg", "a.jpg"]
    before = one.read_bytes()
    for wrong in (str(one), str(tmp_path), "jsonl=x"):
        code, _, err = run_lines(capsys, "--image", str(one), "--output", wrong)
        assert (code, len(err.splitlines())) == (2, 1)
    code, _, err = run_lines(capsys, "--image", str(one), str(two), "--output", str(target))
    assert (code, "2 pictures: name a folder" in err) == (2, True)
    assert one.read_bytes() == before


def test_annotated_pictures_hide_faces_and_tell_what_is_going_on_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, wanted = (
        save(tmp_path / "a.png", portraits()[1]),
        ["--uncertain=1", "--notice=emotion recognition in use"],
    )
    drawn = {}
    for name, flags in {"open": [], "hidden": ["--blur-faces"]}.items():
        target = tmp_path / f"{name}.png"
        code, (told,), _ = run_lines(capsys, "--image", str(path), "--output", str(target), *wanted, *flags)
        assert code == 0
        assert told["faces"][0]["uncertain"] is True
        drawn[name] = np.asarray(cv2.imread(str(target)), np.int16)
    x, y, width, height = told["faces"][0]["box"]
    inside = np.s_[y + 20 : y + height - 4, x + 4 : x + width - 4]
    detail = {name: np.abs(np.diff(image[inside], axis=1)).mean() for name, image in drawn.items()}
    assert detail["hidden"] < detail["open"] / 3
    bottom = drawn["open"][-6:]
    assert np.abs(bottom - portraits()[1][-6:]).mean() > 20


def test_an_output_that_cannot_be_written_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.jpg", portraits()[0])
    for wrong, why in (
        (str(path / "sub"), "is no folder"),
        (str(path / "sub" / "b.jpg"), "is no folder"),
        ("/proc/1/sub", "permission denied"),
    ):
        code, lines, err = run_lines(capsys, "--image", str(path), "--output", wrong)
        assert (code, lines) == (1, [])  # told before anything is computed
        assert why in err
        assert "cannot be written" in err
        assert err.count("\n") == 1


def test_no_picture_named_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["picture"]) == 2
    assert "no picture given" in capsys.readouterr().err


def test_what_is_no_picture_is_told_where_it_belongs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A clip was "no picture of a known format", and a URL lost a slash and was no file."""
    clip = tmp_path / "clip.jpg"
    clip.write_bytes((ROOT / "samples" / "sample.mp4").read_bytes())
    moving = tmp_path / "moving.gif"
    moving.write_bytes(b"GIF89a")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    code, _, err = run_lines(capsys, "--image", str(clip), str(moving), str(empty))
    assert code == 1
    assert f"{clip}: cannot be decoded: it is a video; `emotion run` and analyze_source take videos\n" in err
    assert f"{moving}: cannot be decoded: it is a video;" in err
    assert f"{empty}: cannot be decoded: it is empty\n" in err
    code, _, err = run_lines(capsys, "--image", "https://me:geheim@example.com/a.jpg")
    assert code == 2
    assert err.endswith("example.com/a.jpg: pictures are files here; `emotion run` takes URLs\n")
    assert "geheim" not in err


def test_names_of_files_drive_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name may hold what colours a terminal, or a line that looks like one of ours."""
    good = save(tmp_path / "a\x1b[31m\nb.jpg", portraits()[0], ".jpg")
    (tmp_path / "c\x1b[31m\nd.jpg").touch()
    assert main(["picture", *map(str, sorted(tmp_path.iterdir())), str(tmp_path / "e\nf.jpg")]) == 1
    assert main(["report", str(tmp_path / "e\nf.jsonl")]) == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert out.splitlines()[0].startswith(str(good).replace("\x1b", "\\x1b").replace("\n", "\\x0a") + ": ")
    assert [line.split(": ")[0] for line in err.splitlines()] == ["emotion picture"] * 3 + ["emotion report"]
    assert main(["picture", "--json", str(good)]) == 0
    assert json.loads(capsys.readouterr().out)["image"] == str(good)


def test_names_lead_to_pictures(tmp_path: Path) -> None:
    for name in ("img10.png", "img2.png", "notes.txt", "a[1].jpg"):
        (tmp_path / name).touch()
    names = [str(tmp_path / "img*.png"), str(tmp_path / "a[1].jpg"), str(tmp_path / "img2.png"), str(tmp_path)]
    assert [item.path.name for item in find(names)] == ["img2.png", "img10.png", "a[1].jpg"]
    assert targets(find(names), None) == {}


# --- from Python ---------------------------------------------------------------------------------------------


def test_analyze_takes_paths_and_arrays(tmp_path: Path, analyzer: Analyzer) -> None:
    image = portraits()[1]
    path = save(tmp_path / "a.png", image)
    (face,) = analyzer.analyze(image)
    assert analyzer.analyze(path) == analyzer.analyze(str(path)) == [face]
    assert 0 <= face.box.x < face.box.x + face.box.width <= 200
    assert list(face.probabilities) == LABELS == list(analyzer.labels)
    assert face.confidence == face.probabilities[face.emotion] == max(face.probabilities.values())
    assert analyzer.analyze(np.zeros((30, 40, 3), np.uint8)) == []
    assert emotion_stream.analyze(image) == [face]
    assert analyzer.analyze(image[:, ::-1])[0].box.width > 0  # a view that is not contiguous


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((9, 9, 2), np.uint8),
        np.zeros(9, np.uint8),
        np.zeros((9, 9, 3), np.float32),
        np.zeros((0, 9, 3), np.uint8),
        np.zeros((1, 20_000, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(analyzer: Analyzer, array: Any) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        analyzer.analyze(array)


def test_files_that_cannot_be_read_raise_one_line(tmp_path: Path, analyzer: Analyzer) -> None:
    gone = tmp_path / "gone.jpg"
    with pytest.raises(EmotionError, match=rf"^{gone}: cannot be read"):
        analyzer.analyze(gone)
    with pytest.raises(EmotionError, match=r"^bytes: cannot be decoded: it is empty$"):
        analyzer.analyze(b"")
    with pytest.raises(EmotionError, match=r"no model in"):
        Analyzer(model=tmp_path)


def test_a_folder_and_a_clip_are_analysed_picture_by_picture(tmp_path: Path, analyzer: Analyzer) -> None:
    save(tmp_path / "p1.jpg", portraits()[0])
    (tmp_path / "p2.jpg").write_bytes(b"\xff\xd8 broken")
    save(tmp_path / "p10.png", portraits()[1])
    first, broken, last = analyzer.analyze_source(str(tmp_path))
    assert [first.index, broken.index, last.index] == [0, 1, 2]
    assert (len(first.faces), first.width, first.error) == (1, 160, None)
    assert first.image is not None
    assert first.image.shape == (160, 160, 3)
    assert (broken.faces, broken.image, broken.width) == ((), None, 0)
    assert "p2.jpg" in (broken.error or "")
    assert last.source.endswith("p10.png")
    found = []
    for analysis in analyzer.analyze_source("sample", every=10):
        found.append(analysis)
        if len(found) == 3:
            break
    assert [a.index for a in found] == [0, 10, 20]
    assert found[1].time > found[0].time


def test_settings_of_the_pipeline_apply(analyzer: Analyzer) -> None:
    strict = Analyzer(detector=DetectorOptions(max_faces=1, min_face=0.9))
    with strict:
        assert strict.analyze(portraits()[0]) == []
    assert len(analyzer.analyze(portraits()[0])) == 1


def test_sources_that_are_none_are_told_at_once(analyzer: Analyzer) -> None:
    for wrong, why in ((97, "no such camera"), ("rtsp://nobody.invalid/x", "unknown host nobody.invalid")):
        with pytest.raises(EmotionError, match=why):
            analyzer.analyze_source(wrong)
    # `emotion cameras` lists none of these.
    with pytest.raises(EmotionError, match=r"^camera http://127.0.0.1:1/x cannot be opened: connection refused$"):
        next(analyzer.analyze_source("http://127.0.0.1:1/x"))
    with pytest.raises(UsageError, match="every=0"):
        analyzer.analyze_source("sample", every=0)


def test_the_interface_stays_a_function_after_every_import() -> None:
    code = (
        "import emotion_stream.emotion.analyzer, emotion_stream.emotion.commands.picture, emotion_stream, sys\n"
        "from emotion_stream import analyze, analyze_source, Analyzer\n"
        "assert callable(analyze) and callable(emotion_stream.analyze)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True)


def test_the_example_in_the_documentation_runs(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", portraits()[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "docs" / "how-to" / "example.py"), str(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "a.jpg: 1 face" in done.stdout
    assert "at x=" in done.stdout
    assert "frames of the sample clip" in done.stdout


# --- the command itself ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["run", "--help"], ["--version"], ["cameras"]])
def test_a_reader_that_goes_away_ends_no_command_with_a_traceback(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "emotion_stream", *arguments],
            cwd=ROOT,
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert done.returncode in (0, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("command", "prog"),
    [
        ("--version", "emotion"),
        ("config sample", "emotion config"),  # more than a buffer holds
        ("completion bash", "emotion completion"),
        ("picture samples/none.jpg --json", "emotion picture"),
        ("cameras sample --json", "emotion cameras"),
    ],
)
def test_a_full_disk_behind_standard_output_is_one_line(command: str, prog: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "emotion_stream", *command.split()],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == f"{prog}: cannot write standard output: No space left on device\n"


def test_the_table_says_uncertain_where_the_picture_does() -> None:
    face = {"track": 1, "box": [1, 2, 3, 4], "emotion": "happy", "probabilities": {"happy": 0.3, "sad": 0.2}}
    told = {
        "image": "a.jpg",
        "width": 9,
        "height": 9,
        "faces": [{**face, "uncertain": unsure} for unsure in (1, 0)],
    }
    _, _, unsure, sure = table(told, ("happy", "sad")).splitlines()
    assert "uncertain" in unsure
    assert "happy" not in unsure
    assert "happy" in sure
