"""Each camera of a producer is played as its table says, in both modes."""

import threading
from pathlib import Path
from typing import Any

import pytest

from emotion_stream.producer.loop import run_producers
from emotion_stream.producer.sources.spec import plan
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.camera import GENERAL, CameraSettings
from emotion_stream.shared.messages.types import FrameInfo
from emotion_stream.shared.settings.cameras import Camera
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.streams.shard import Streams
from tests.producer.conftest import Factory
from tests.producer.test_producer import frames
from tests.producer.test_sources import Counts, write_video


def camera(own_id: str, source: Path, name: str = "", **own: Any) -> Camera:
    return Camera(own_id, str(source), name, tuple(sorted(own.items())))


@pytest.mark.parametrize("mode", ["lossless", "live"])
def test_width_quality_budget_and_rate(factory: Factory, streams: Streams, tmp_path: Path, mode: str) -> None:
    clip = write_video(tmp_path / "clip.mp4", 21, rate=40)
    area = ((0.0, 0.0), (0.3, 0.0), (0.3, 0.4))
    cameras = (
        camera("plain", clip),
        camera("hall", clip, name="Süd", max_width=16, jpeg_quality=10, analyze_fps=4.0, fps=20.0, ignore=(area,)),
    )
    options = ProducerOptions(mode=mode, run_id="run", max_width=32)
    run_producers(options, factory, threading.Event(), Counts(), cameras=cameras)
    by_camera: dict[str, list[FrameInfo]] = {"plain": [], "hall": []}
    sizes: dict[str, int] = {}
    for frame in frames(streams):
        by_camera[frame.info.camera].append(frame.info)
        sizes[frame.info.camera] = len(frame.jpeg)
    plain, hall = by_camera["plain"], by_camera["hall"]
    assert {info.width for info in plain} == {32}
    assert {info.width for info in hall} == {16}
    assert sizes["hall"] < sizes["plain"]
    assert {info.settings for info in plain} == {GENERAL}
    assert {info.settings for info in hall} == {CameraSettings(ignore=(area,))}
    assert {info.called for info in hall} == {"Süd"}
    assert all(info.analyzed for info in plain)
    assert sum(info.analyzed for info in hall) == 3  # half a second at four a second, and the first
    assert len(plain) == 21
    assert len(hall) == (21 if mode == "lossless" else 11)


def test_what_source_names_is_played_with_the_settings_of_its_table(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 3)
    tables = (camera("hall", tmp_path / "not there.mp4", name="Süd"), Camera("yard"))
    mode, (spec,) = plan(ProducerOptions(source=(f"hall={clip}",)), tables)
    assert (mode, spec.name, spec.display_name, spec.target) == ("lossless", "hall", "Süd", str(clip))
    _, (spec,) = plan(ProducerOptions(source=("yard=0",)), tables)
    assert (spec.kind, spec.name, spec.display_name) == ("camera", "yard", "")
    with pytest.raises(UsageError, match=r"\[cameras.yard\] has no source: write source = in its table, or"):
        plan(ProducerOptions(), tables[1:])
    _, (spec,) = plan(ProducerOptions(), (Camera("a.b", "rtsp://10.0.0.7/x#transport=udp"),))
    assert (spec.name, spec.target, spec.transport) == ("a.b", "rtsp://10.0.0.7/x", "udp")
