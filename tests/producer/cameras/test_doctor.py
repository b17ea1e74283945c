"""`emotion cameras URL`: what a source sends, and what the pipeline would do with it."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from emotion_stream.emotion.__main__ import main
from emotion_stream.emotion.commands.cameras import describe
from emotion_stream.producer.cameras.doctor import Examination, Stamps, examine, would
from tests.producer.cameras.test_mjpeg import serving
from tests.producer.cameras.test_streams import RATE, ffmpeg, files, pictures
from tests.support.scripted_camera import Camera, HttpTalker, RtspTalker

LOOK = 2.5


def look(capsys: pytest.CaptureFixture[str], *addresses: str) -> tuple[int, list[dict[str, object]], str]:
    code = main(["cameras", *addresses, "--look-seconds", str(LOOK), "--json"])
    told = capsys.readouterr()
    return code, [json.loads(line) for line in told.out.splitlines()], told.err


def test_a_camera_over_rtsp(capsys: pytest.CaptureFixture[str]) -> None:
    camera = Camera(RtspTalker())
    try:
        code, (found,), _ = look(capsys, camera.url)
    finally:
        camera.close()
    assert code == 0
    assert (found["kind"], found["transport"]) == ("rtsp", "tcp")
    assert str(found["codec"]).startswith("mjpeg")
    assert found["shown"] == [160, 96]
    assert found["rate"] == pytest.approx(RATE, rel=0.2)
    stamps = found["stamps"]
    assert isinstance(stamps, dict)
    assert stamps["pictures"] > RATE
    assert (stamps["jumps"], stamps["wraps"]) == (0, 0)
    assert found["first_picture"] < 8  # type: ignore[operator]
    assert "geh" not in json.dumps(found)
    assert found["would"] == ["shows each picture as it comes, the newest first"]


def test_a_camera_over_http(capsys: pytest.CaptureFixture[str]) -> None:
    camera = Camera(HttpTalker())
    try:
        code, (found,), _ = look(capsys, camera.url)
    finally:
        camera.close()
    assert code == 0
    assert (found["kind"], found["codec"]) == ("mjpeg", "JPEG (multipart/x-mixed-replace)")
    assert found["rate"] == pytest.approx(RATE, rel=0.2)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg makes the recording")
def test_a_recording_with_a_jump_two_streams_and_sound(tmp_path: Path) -> None:
    clip = tmp_path / "odd.mkv"
    ffmpeg(*pictures(3), *pictures(3), "-f", "lavfi", "-t", 3, "-i", "sine", "-map", 0, "-map", 1, "-map", 2,
           "-filter:v:1", "scale=320:192,setsar=2,setpts='PTS+if(gt(N,37),7200/TB,0)'", "-vsync", "vfr", "-g", 25,
           "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", 0, "-c:a",
           "pcm_s16le", clip)  # fmt: skip
    with files(tmp_path) as (address, _):
        found = examine(f"{address}/odd.mkv", "odd", 30)
    assert found.reason is None
    assert found.recording
    assert (found.coded, found.shown) == ((320, 192), (640, 192))
    assert found.streams == (2, 1)
    assert found.rate == RATE
    assert found.key_frame_every == 1.0
    assert found.stamps == Stamps(75, jumps=1)
    told = describe(found)
    for line in ("1 jumps", "plays it once", "takes the stream with the most pixels of 2", "leaves the sound out",
                 "shows 640 x 192 pixels", "steps over time stamps"):  # fmt: skip
        assert line in told


def test_sources_that_give_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda request: request.send_error(401)) as denied:
        code, found, err = look(capsys, denied.url, "http://127.0.0.1:1/x", "rtsp://me:geheim@camera.invalid/x")
    assert code == 1
    assert [f["reason"] for f in found] == ["401 Unauthorized", "connection refused", "unknown host"]
    again = "tries again, with pauses that grow from 0.5 to 30 s"
    nobody = "ends at once if nobody has a host of this name and there is no other source"
    assert [f["would"] for f in found] == [[again], [again], [nobody, f"else {again}"]]
    assert "emotion cameras: no picture of 3 of 3: http://127.0.0.1" in err
    assert "geheim" not in err + json.dumps(found)
    assert "no signal    401 Unauthorized" in describe(replace(Examination("x"), reason="401 Unauthorized"))


def test_a_file_is_not_told_of_as_a_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is tried again, nobody waits for a key frame, and its sound is kept."""
    broken = tmp_path / "broken.mp4"
    broken.write_text("no clip")
    code, (sample, found), _ = look(capsys, "sample", str(broken))
    assert code == 1
    assert sample["would"] == ["takes each of its pictures once, as fast as this machine can"]
    assert found["would"] == ["ends at once and says why: a file is not tried again"]
    rare = Examination("", kind="mov", streams=(1, 1), key_frame_every=20.0, recording=True)
    assert not any("key frames" in line for line in would(rare))
    assert "keeps the sound in an annotated clip (video=)" in would(rare, is_file=True)
    assert any("--sound" in line for line in would(rare))


def test_a_camera_of_this_machine_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """It tells what `emotion run` does: that ends without it, and tries nothing again."""
    code, (found,), _ = look(capsys, "97")
    assert code == 1
    assert found["would"] == ["ends at once and says why: a camera of this machine must be there at the start"]
    assert main(["run", "--source", "97", "--output", "jsonl=-"]) == 1
    assert "source 97: no such camera" in capsys.readouterr().err or not sys.platform.startswith("linux")


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (Examination("", kind="hls", rate=25), "0.5 s and one to two segments behind"),
        (Examination("", kind="rtsp", key_frame_every=20.0), "waits up to 20 s for the first picture"),
        (Examination("", kind="snapshots", rate=0.5), "takes each picture for itself"),
        (Examination("", kind="mjpeg", rate=2), "confirms a face when it is found"),
        (Examination("", kind="rtsp", stamps=Stamps(equal=3)), "steps over time stamps"),
    ],
)
def test_what_the_pipeline_would_do(found: Examination, line: str) -> None:
    assert any(line in told for told in would(found))


def test_pictures_are_refused_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cameras", str(tmp_path)]) == 1
    assert "emotion picture" in capsys.readouterr().err
