"""Outputs: JSON lines, video files, drawing; what survives a kill, a resume, a full disk."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.types import OK, Box, FrameInfo, Mode, Outcome, Prediction
from emotion_stream.sink.catalogue import open_outputs, parse, truncate, written
from emotion_stream.sink.drawing.draw import COLOURS
from emotion_stream.sink.outputs.appender import OutputClosed
from emotion_stream.sink.outputs.jsonl import JsonLines
from emotion_stream.sink.outputs.video import Video
from emotion_stream.sink.results.output import Face, Image, Result

ROOT = Path(__file__).parents[3]
FACES = ROOT.parent / "shared" / "data" / "faces"
LABELS = tuple(COLOURS)
ERROR = Outcome.error("corrupt JPEG")


def result(
    seq: int,
    camera: str = "hall",
    epoch: str = "a",
    *,
    time: float | None = None,
    size: tuple[int, int] = (64, 48),
    boxes: tuple[Box, ...] = (),
    outcome: Outcome = OK,
    mode: Mode = "lossless",
) -> Result:
    time = seq / 25 if time is None else time
    info = FrameInfo(camera, "x.mp4", epoch, seq, 1e9 + time, time, *size, mode)
    likely = tuple(0.88 if i == 3 else 0.02 for i in range(7))
    return Result(
        info, outcome, LABELS, tuple(Face.alone(i, Prediction(b, 1.0, likely)) for i, b in enumerate(boxes)), 0.1
    )


def picture(seq: int = 0, size: tuple[int, int] = (64, 48)) -> Image:
    return np.full((size[1], size[0], 3), 40 + seq * 5 % 200, np.uint8)


def lines(path: Path) -> list[tuple[str, str, int]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [(r["camera"], r["epoch"], r["seq"]) for r in records]


def frames(path: Path) -> list[Image]:
    with av.open(str(path)) as container:
        return [np.asarray(f.to_ndarray(format="bgr24"), np.uint8) for f in container.decode(video=0)]


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(f.time) for f in container.decode(video=0) if f.time is not None]


def child(code: str, *args: str) -> "subprocess.Popen[str]":
    """A Python process in the repository that can use what this module defines."""
    code = f"from tests_sink_outputs import *\n{code}"
    loader = (
        "import sys, importlib.util as u\n"
        f"spec = u.spec_from_file_location('tests_sink_outputs', {str(Path(__file__))!r})\n"
        "sys.modules[spec.name] = m = u.module_from_spec(spec); spec.loader.exec_module(m)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", loader + code, *args],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed_after(seqs: int, process: "subprocess.Popen[str]") -> None:
    """Kill -9 once the process has flushed this many frames, each of which it reports with a line."""
    assert process.stdout is not None
    for _ in range(seqs):
        if not process.stdout.readline():
            pytest.fail(process.communicate()[1])
    process.kill()
    process.communicate()


# --- JSON lines ------------------------------------------------------------------------------------------


def test_jsonl_has_one_documented_line_per_result(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    output = JsonLines(str(path))
    output.write(result(0, boxes=(Box(1, 2, 30, 40),)), None)
    output.write(result(1, outcome=ERROR), None)
    output.close()
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert first["faces"][0]["box"] == [1, 2, 30, 40]
    assert (first["faces"][0]["emotion"], first["faces"][0]["confidence"]) == ("happy", 0.88)
    assert list(first["faces"][0]["probabilities"]) == list(LABELS)
    assert (second["status"], second["error"], second["faces"]) == ("error", "corrupt JPEG", [])


@pytest.mark.parametrize("seed", range(5))
def test_jsonl_resumes_after_any_cut(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "out.jsonl"
    wanted = [result(s, c, e) for e in "ab" for s in range(10) for c in ("hall", "door")]
    for _ in range(6):
        output = JsonLines(str(path))
        for item in wanted:  # what is there already is skipped
            output.write(item, None)
        output.close()
        whole = path.read_bytes()
        path.write_bytes(whole[: rng.randrange(len(whole))])
    output = JsonLines(str(path))
    for item in wanted:
        output.write(item, None)
    output.close()
    assert lines(path) == [(r.info.camera, r.info.epoch, r.info.seq) for r in wanted]


def test_jsonl_loses_nothing_flushed_when_killed(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    process = child(
        "o = JsonLines(sys.argv[1])\n"
        "for seq in range(10**6):\n"
        "    o.write(result(seq), None); o.flush(); print(seq, flush=True)\n",
        str(path),
    )
    killed_after(50, process)
    kept = path.read_bytes().count(b"\n")
    assert kept >= 50
    output = JsonLines(str(path))
    for seq in range(kept + 20):
        output.write(result(seq), None)
    output.close()
    assert lines(path) == [("hall", "a", seq) for seq in range(kept + 20)]


@pytest.mark.parametrize(
    "content", [b"PNG\n\x00\xff\n", b"my notes", b'{"a": 1}\n', b"[1, 2]\n", b"\xff" * 5000, b'{"camera": 1}\n']
)
def test_jsonl_leaves_a_file_of_something_else_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(EmotionError, match="something else than results"):
        JsonLines(str(path))
    assert path.read_bytes() == content


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_jsonl_full_disk_is_one_clear_error() -> None:
    output = JsonLines("/dev/full")
    output.write(result(0), None)
    with pytest.raises(EmotionError, match="No space left"):
        output.flush()
    output.close()
    output.close()


def test_jsonl_at_a_size_limit_resumes_from_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    process = child(
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "o = JsonLines(sys.argv[1])\n"
        "try:\n"
        "    for seq in range(1000): o.write(result(seq), None); o.flush()\n"
        "except EmotionError as e: print(e)\n"
        "o.close()\n",
        str(path),
    )
    out, err = process.communicate()
    assert (out, err) == (f"cannot write {path}: File too large\n", "")
    assert path.stat().st_size == 5000
    output = JsonLines(str(path))
    for seq in range(100):
        output.write(result(seq), None)
    output.close()
    assert lines(path) == [("hall", "a", seq) for seq in range(100)]


def test_jsonl_on_standard_output_ends_cleanly_when_its_reader_does() -> None:
    process = child(
        "o = JsonLines('-')\n"
        "try:\n"
        "    for seq in range(10**6): o.write(result(seq), None); o.flush()\n"
        "except OutputClosed as e:\n"
        "    o.close(); sys.exit(e.exit_code)\n"
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["seq"] == 0
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == ("", 0)
    process.stderr.close()
    assert issubclass(OutputClosed, EmotionError)


# --- video -----------------------------------------------------------------------------------------------


def test_video_has_every_frame_at_its_media_time(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    at = [0, 0.04, 0.08, 0.5, 0.5, 0.52, 3.0, 3.000001, 3.000002]  # a variable rate, and a time that stands still
    output = Video(path)
    for seq, time in enumerate(at):
        output.write(result(seq, time=time), picture(seq))
    output.close()
    found = times(path)
    assert found == sorted(set(found))
    assert found[:4] == pytest.approx([0, 0.04, 0.08, 0.5], abs=1e-3)
    assert len(found) == len(at)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.frames == len(at)  # a clean end makes an ordinary file, which tells its length
    capture = cv2.VideoCapture(str(path))
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == len(at)


@pytest.mark.parametrize("mode", ["lossless", "live"])
def test_video_plays_after_a_kill_and_goes_on_in_a_second_file(tmp_path: Path, mode: Mode) -> None:
    path = tmp_path / "out.mp4"
    process = child(
        "o = Video(Path(sys.argv[1]))\n"
        "for seq in range(10**6):\n"
        "    o.write(result(seq, mode=sys.argv[2]), picture(seq)); o.flush(); print(seq, flush=True)\n",
        str(path),
        mode,
    )
    killed_after(80, process)
    kept = len(frames(path))
    assert kept >= (79 if mode == "lossless" else 50)
    before = path.read_bytes()
    output = Video(path)
    for seq in range(kept - 10, kept + 20):  # some are handed in again
        output.write(result(seq, mode=mode), picture(seq))
    output.close()
    assert path.read_bytes() == before
    assert len(frames(tmp_path / "out.002.mp4")) == (20 if mode == "lossless" else 30)
    output = Video(path)
    output.write(result(kept + 20, mode=mode), picture())
    output.close()
    assert len(frames(tmp_path / "out.003.mp4")) == 1


@pytest.mark.parametrize("size", [(65, 49), (64, 49), (1, 1), (30, 200)])
def test_video_takes_odd_sizes_and_size_changes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "out.mp4"
    output = Video(path)
    bright = np.full((size[1], size[0], 3), 255, np.uint8)
    output.write(result(0, size=size), bright)
    output.write(result(1, size=(400, 100)), np.full((100, 400, 3), 255, np.uint8))
    output.write(result(2, outcome=ERROR), None)
    output.close()
    found = frames(path)
    width, height = (max(16, side + side % 2) for side in size)
    assert [f.shape for f in found] == [(height, width, 3)] * 3
    assert size == (1, 1) or found[0][height - 2, width // 2].min() > 200
    if size == (65, 49):  # a wider picture lies between bars
        assert found[1][-3:].max() < 40
        assert found[1][height // 2 - 2 : height // 2 + 2].min() > 200


def test_video_frames_without_a_picture_become_dark_plates(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    output = Video(path)
    nothing = {"size": (0, 0), "outcome": ERROR}
    output.write(result(0, **nothing), None)  # type: ignore[arg-type]
    output.write(result(1), picture(20))
    output.write(result(2), None)
    output.close()
    found = frames(path)
    assert [f.shape for f in found] == [(48, 64, 3)] * 3  # the first picture tells the size of earlier plates
    assert found[0].mean() < 70
    assert found[2].mean() < 70 < found[1].mean()
    only = tmp_path / "only.mp4"
    output = Video(only)
    output.write(result(0, **nothing), None)  # type: ignore[arg-type]
    output.close()
    assert [f.shape for f in frames(only)] == [(360, 640, 3)]


def test_video_of_several_cameras(tmp_path: Path) -> None:
    many, single = Video(tmp_path / "m.mp4", many=True), Video(tmp_path / "s.mp4")
    for output in (many, single):
        for seq in range(3):
            output.write(result(seq, "hall"), picture(seq))
            output.write(result(seq, "door"), picture(seq))
        output.close()
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"m-hall.mp4", "m-door.mp4", "s.mp4", "s-door.mp4"}
    assert all(len(frames(tmp_path / name)) == 3 for name in names)


def test_video_goes_on_when_a_camera_restarts_and_can_have_a_fixed_rate(tmp_path: Path) -> None:
    output, fixed = Video(tmp_path / "a.mp4"), Video(tmp_path / "b.mp4", fps=10)
    for epoch in "xy":
        for seq in range(5):
            for out in (output, fixed):
                out.write(result(seq, epoch=epoch, mode="live"), picture(seq))
    output.close()
    fixed.close()
    assert times(tmp_path / "a.mp4") == pytest.approx([n / 25 for n in range(10)], abs=1e-3)
    assert times(tmp_path / "b.mp4") == pytest.approx([n / 10 for n in range(10)], abs=1e-3)


def test_video_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EmotionError, match=r"cannot write video .*No such file"):
        Video(tmp_path / "gone" / "out.mp4").write(result(0), picture())
    process = child(
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "rng = np.random.default_rng(0)\n"
        "o = Video(Path(sys.argv[1]))\n"
        "try:\n"
        "    for seq in range(1000):\n"
        "        o.write(result(seq), rng.integers(0, 255, (48, 64, 3), np.uint8)); o.flush()\n"
        "except EmotionError as e: print(e)\n"
        "try: o.close()\n"
        "except EmotionError as e: print(e)\n",
        str(tmp_path / "big.mp4"),
    )
    out, err = process.communicate()
    assert out.splitlines()[0] == f"cannot write video {tmp_path / 'big.mp4'}: File too large"
    assert "Traceback" not in err
    assert process.returncode == 0


# --- opening and removing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specs", "error", "words"),
    [
        (["webm=x"], UsageError, "unknown output 'webm=x'; there are: window, web"),
        (["jsonl"], UsageError, "names no file"),
        (["video="], UsageError, "names no file"),
        (["video=-"], UsageError, "must end in .mp4"),
        (["video=clip.avi"], UsageError, "must end in .mp4"),
        (["jsonl=-", "jsonl=-"], UsageError, "two outputs go to '-'"),
        (["jsonl=a.mp4", "video=./a.mp4"], UsageError, "both go to"),
        (["jsonl=gone/x"], EmotionError, "there is no folder gone"),
        (["video=gone/x.mp4"], EmotionError, "there is no folder gone"),
        (["jsonl=."], EmotionError, "it is a folder"),
    ],
)
def test_wrong_outputs_are_one_clear_line(
    specs: list[str], error: type[EmotionError], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for check in (parse, open_outputs, truncate):
        with pytest.raises(error, match=r"(?s)^[^\n]*$") as caught:
            check(specs)
        assert type(caught.value) is error
        assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_truncate_removes_what_earlier_runs_left_and_nothing_else(tmp_path: Path) -> None:
    specs = [f"jsonl={tmp_path / 'r.jsonl'}", f"video={tmp_path / 'v.mp4'}"]
    for many in (True, False, False):  # leaves v-hall.mp4, v.mp4, v.002.mp4
        outputs = open_outputs(specs, many=many)
        for output in outputs:
            output.write(result(0, mode="live"), picture())
            output.close()
    (tmp_path / "v-party.mp4").write_bytes(b"a clip of somebody else")
    (tmp_path / "v-notes.txt").write_text("notes")
    names = [Path(name).name for name in written([*specs, "window", "web=127.0.0.1:0", "jsonl=-"])]
    assert names == ["r.jsonl", "v.mp4", "v-hall.mp4", "v.002.mp4", "-"]
    truncate(specs)
    assert {p.name for p in tmp_path.iterdir()} == {"r.jsonl", "v-party.mp4", "v-notes.txt"}
    assert (tmp_path / "r.jsonl").read_bytes() == b""
    truncate(["jsonl=-"])
    truncate([f"jsonl={os.devnull}"])
    assert Path(os.devnull).exists()
