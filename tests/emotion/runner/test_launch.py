"""What a run starts, and how."""

from pathlib import Path

import pytest

from emotion_stream.emotion.runner.launch import Launch


@pytest.mark.parametrize(
    ("own", "gives_way"), [({}, True), ({"mode": "live"}, False), ({"mode": "lossless", "paced": True}, False)]
)
def test_only_a_producer_that_reads_ahead_lets_the_others_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, object], gives_way: bool
) -> None:
    told: list[str] = []
    launch = Launch({"source": ("sample",), **own}, tmp_path)
    monkeypatch.setattr(launch.supervisor, "give_way", told.append)
    launch.go()
    assert told == ["producer"] * gives_way
