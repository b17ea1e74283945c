"""The sound of a video file in the annotated clip: copied, in step with the pictures, whatever the file is."""

import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from emotion_stream.shared.messages.types import OK, FrameInfo
from emotion_stream.sink.drawing.draw import COLOURS
from emotion_stream.sink.outputs.video import Video
from emotion_stream.sink.results.output import Result

RATE = 48_000
CLICK = 1.5
"""Seconds after the first picture at which the clip clicks."""
PICTURE = np.full((48, 64, 3), 90, np.uint8)


def media(
    path: Path,
    times: list[float],
    *,
    late: float = 0.0,
    early: float = 0.0,
    seconds: float = 3.0,
    codec: str = "aac",
    flash: bool = False,
) -> Path:
    """A clip whose pictures are shown at these times, all `late` seconds after the beginning of the file's clock.
    Its sound begins `early` seconds before the first picture, lasts `seconds` and clicks at CLICK; with `flash`,
    pictures are white for 0.2 s from then on."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 90_000)
        sound: Any = container.add_stream(codec, rate=RATE)
        sound.layout = "mono"
        samples = np.zeros((1, round(seconds * RATE)), np.float32)
        at = round((CLICK + early) * RATE)
        samples[0, at : at + 200] = 0.9
        packets: list[Any] = []
        step = sound.codec_context.frame_size or 1024
        for n in range(0, samples.shape[1] - step, step):
            piece = np.ascontiguousarray(samples[:, n : n + step])
            kind = "fltp"
            if codec != "aac":
                kind, piece = "s16", (piece * 32767).astype(np.int16)
            heard = av.AudioFrame.from_ndarray(piece, format=kind, layout="mono")
            heard.sample_rate = RATE
            heard.pts, heard.time_base = n + round((late - early) * RATE), Fraction(1, RATE)
            packets += sound.encode(heard)
        packets += sound.encode(None)
        for time in times:
            white = flash and CLICK - 1e-6 <= time < CLICK + 0.2
            seen = av.VideoFrame.from_ndarray(PICTURE * 0 + 255 if white else PICTURE, format="bgr24")
            seen.pts, seen.time_base = round((time + late) * 90_000), Fraction(1, 90_000)
            packets += video.encode(seen)
        packets += video.encode(None)
        for packet in packets:
            container.mux(packet)
    return path


def result(source: Path, seq: int, time: float) -> Result:
    info = FrameInfo("hall", str(source), "a", seq, 1e9 + time, time, 64, 48, "lossless")
    return Result(info, OK, tuple(COLOURS), (), 0.1)


def annotate(source: Path, target: Path, times: list[float], first: int = 0) -> None:
    output = Video(target)
    for seq, time in enumerate(times, first):
        output.write(result(source, seq, time), PICTURE.copy())
    output.close()


def click(path: Path) -> float | None:
    """When the clip clicks, seconds after its first picture; None: it does not."""
    with av.open(str(path)) as container:
        first = next(float(frame.time or 0) for frame in container.decode(video=0))
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray().ravel().astype(float)) > 0.3)
            if loud.size:
                return float(frame.time or 0) + float(loud[0]) / RATE - first
    return None


def kinds(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.type for stream in container.streams]


EVEN = [n / 25 for n in range(75)]
VARIABLE = [0.0, 0.04, 0.3, 0.31, 0.9, 1.4, 1.45, 1.5, 2.2, 2.9]


@pytest.mark.parametrize("times", [EVEN, VARIABLE], ids=["even", "variable"])
@pytest.mark.parametrize(("late", "early"), [(0.0, 0.0), (1.4, 0.0), (0.7, 0.5)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_stays_in_step(tmp_path: Path, times: list[float], late: float, early: float, suffix: str) -> None:
    """Also where the file's clock does not begin at zero, and where sound comes before the first picture."""
    source = media(tmp_path / f"in{suffix}", times, late=late, early=early)
    annotate(source, tmp_path / "out.mp4", times)
    assert kinds(tmp_path / "out.mp4") == ["video", "audio"]
    expected = click(source)
    assert expected == pytest.approx(CLICK, abs=0.03)
    assert click(tmp_path / "out.mp4") == pytest.approx(CLICK, abs=0.03)
    with av.open(str(tmp_path / "out.mp4")) as container:
        found = [float(frame.time or 0) for frame in container.decode(video=0)]
    assert np.diff(found) == pytest.approx(np.diff(times), abs=1e-3)


def test_the_sound_is_copied_and_ends_with_the_pictures(tmp_path: Path) -> None:
    source = media(tmp_path / "in.mp4", EVEN, seconds=10.0)
    annotate(source, tmp_path / "out.mp4", EVEN)

    def pieces(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    kept, whole = pieces(tmp_path / "out.mp4"), pieces(source)
    assert whole[1 : 1 + len(kept)] == kept or whole[: len(kept)] == kept
    with av.open(str(tmp_path / "out.mp4")) as container:
        track = container.streams.audio[0]
        assert float((track.duration or 0) * (track.time_base or 0)) == pytest.approx(3.0, abs=0.05)


def test_frames_that_are_left_out_move_nothing(tmp_path: Path) -> None:
    source = media(tmp_path / "in.mp4", EVEN)
    annotate(source, tmp_path / "out.mp4", EVEN[::4])
    assert click(tmp_path / "out.mp4") == pytest.approx(CLICK, abs=0.03)


def test_a_part_that_begins_later_has_its_own_sound(tmp_path: Path) -> None:
    """As after the death of a sink: the clip goes on in a second file."""
    source = media(tmp_path / "in.mp4", EVEN)
    annotate(source, tmp_path / "out.mp4", EVEN[:20])
    annotate(source, tmp_path / "out.mp4", EVEN[20:], first=20)
    assert click(tmp_path / "out.mp4") is None
    assert click(tmp_path / "out.002.mp4") == pytest.approx(CLICK - EVEN[20], abs=0.03)


def test_a_jump_back_ends_the_sound_and_not_the_clip(tmp_path: Path) -> None:
    source = media(tmp_path / "in.mp4", EVEN)
    annotate(source, tmp_path / "out.mp4", [*EVEN[:20], *EVEN])
    assert click(tmp_path / "out.mp4") is None
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 95


def test_without_sound_or_without_the_file_there_is_a_clip(tmp_path: Path) -> None:
    annotate(tmp_path / "elsewhere.mp4", tmp_path / "one.mp4", EVEN[:5])
    silent = tmp_path / "one.mp4"
    annotate(silent, tmp_path / "two.mp4", EVEN[:5])
    cut = tmp_path / "cut.mkv"
    data = media(tmp_path / "in.mkv", EVEN).read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    annotate(cut, tmp_path / "three.mp4", EVEN)
    assert kinds(tmp_path / "one.mp4") == kinds(tmp_path / "two.mp4") == ["video"]
    for name, count in (("one", 5), ("two", 5), ("three", 75)):
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            assert sum(1 for _ in container.decode(video=0)) == count


def test_sound_that_does_not_fit_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = media(tmp_path / "in.avi", EVEN, codec="adpcm_ms")
    with caplog.at_level(logging.WARNING):
        annotate(source, tmp_path / "out.mp4", EVEN)
    assert kinds(tmp_path / "out.mp4") == ["video"]
    assert "in.avi: sound of the kind adpcm_ms does not fit into MP4; out.mp4 has no sound" in caplog.text


@pytest.mark.timeout(200)
def test_a_run_keeps_the_sound(tmp_path: Path) -> None:
    source = media(tmp_path / "in.mp4", VARIABLE, late=1.4)
    command = [
        sys.executable,
        "-m",
        "emotion_stream",
        "run",
        str(source),
        f"--output=video={tmp_path / 'out.mp4'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=190)
    assert done.returncode == 0, done.stderr
    assert click(tmp_path / "out.mp4") == pytest.approx(CLICK, abs=0.03)


def test_the_helper_hears_nothing_where_nothing_is(tmp_path: Path) -> None:
    """The click of these tests is one: a clip without it has none."""
    source = media(tmp_path / "in.mp4", EVEN[:20], seconds=1.0)
    assert click(source) is None
