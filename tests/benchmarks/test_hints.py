"""How the benchmark of hints plays one clip several times."""

from dataclasses import replace

import pytest

from emotion_stream.benchmarks.video.hints import Run, from_frame, main
from emotion_stream.shared.messages.types import Box
from tests.conftest import make_frame


def test_a_clip_that_begins_later_is_another_camera_with_its_own_numbers() -> None:
    frames = [replace(make_frame(n), jpeg=bytes([n])) for n in range(10)]
    boxes = [[Box(n, 0, 9, 9)] for n in range(10)]
    later, full = from_frame(4, frames, Run(boxes, 5.0))
    assert [frame.jpeg[0] for frame in later] == [4, 5, 6, 7, 8, 9]
    assert [frame.info.seq for frame in later] == list(range(6))
    assert {frame.info.camera for frame in later}.isdisjoint({frame.info.camera for frame in frames})
    assert full == Run(boxes[4:], 3.0)


def test_a_clip_that_is_never_played_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--starts", "0"])
    assert "--starts" in capsys.readouterr().err
