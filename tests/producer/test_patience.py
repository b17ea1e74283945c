"""One dead source takes nobody down: it is named with its reason, and tried again."""

import threading
from itertools import pairwise
from pathlib import Path

import pytest

from emotion_stream.producer.loop import run_producers
from emotion_stream.producer.roll import Roll
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.settings.options import ProducerOptions
from emotion_stream.shared.streams.shard import Streams
from tests.producer.conftest import Factory
from tests.producer.test_producer import frames, options, seqs, wait_for
from tests.producer.test_sources import Counts, encoded, noise, write_video


class Running:
    """A patient producer in a thread."""

    def __init__(self, factory: Factory, given: ProducerOptions) -> None:
        self.roll, self.counts, self._stop = Roll(), Counts(), threading.Event()
        self.failures: list[BaseException] = []

        def run() -> None:
            try:
                run_producers(given, factory, self._stop, self.counts, roll=self.roll)
            except EmotionError as e:
                self.failures.append(e)

        self._thread = threading.Thread(target=run, daemon=True)

    def __enter__(self) -> "Running":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        assert not self.failures


def test_every_kind_of_dead_source_is_tried_again_and_named(
    factory: Factory, streams: Streams, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "empty").mkdir()
    good = write_video(tmp_path / "good.mp4", 10)
    bad = ("camera=777", f"video={tmp_path}/text.mp4", f"gone={tmp_path}/gone.mp4", f"folder={tmp_path}/empty",
           f"nowhere={tmp_path}/nowhere", "url=http://127.0.0.1:1/x")  # fmt: skip
    with Running(factory, options(f"good={good}", *bad, mode="live", loop=True)) as running:
        wait_for(lambda: len(seqs(streams, "good")) > 12)  # it plays, again and again
        wait_for(lambda: "not open yet" not in running.roll.missing().values())
        missing = running.roll.missing()
        assert missing.keys() == {"camera", "video", "gone", "folder", "nowhere", "url"}
        assert "camera 777 cannot be opened" in missing["camera"]
        assert "text.mp4: cannot be opened as a video" in missing["video"]
        assert "No such file" in missing["gone"]
        assert "no pictures in" in missing["folder"]
        assert "no such file or folder" in missing["nowhere"]
        assert "cannot be opened" in missing["url"] or "refused" in missing["url"], missing["url"]
        ready, lines = running.roll.check()
        assert ready
        assert lines.startswith("cameras: 1 of 7\n")
        wait_for(lambda: running.counts.reopened > 5)
        assert {frame.info.camera for frame in frames(streams)} == {"good"}


def test_what_comes_later_is_played(factory: Factory, streams: Streams, tmp_path: Path) -> None:
    clip = tmp_path / "late.mp4"
    with Running(factory, options(clip, mode="live", loop=True)) as running:
        wait_for(lambda: "No such file" in running.roll.missing().get("late", ""))
        assert running.roll.check()[0] is False, "its only camera is away"
        write_video(tmp_path / "new.mp4", 10).rename(clip)
        wait_for(lambda: len(seqs(streams, "late")) > 3)
        assert running.roll.check() == (True, "cameras: 1 of 1\n")


def test_a_pass_over_files_still_tells_at_once(factory: Factory, tmp_path: Path) -> None:
    """Lossless: there is nothing to wait for, and a pass without one of its sources would be no pass."""
    with pytest.raises(EmotionError, match="no such file"):
        run_producers(options(tmp_path / "none.mp4"), factory, threading.Event(), Counts(), roll=Roll())


def test_a_still_stays_and_none_is_left_out(factory: Factory, streams: Streams, tmp_path: Path) -> None:
    """Live, a folder is a slide show; a cap of the frame rate makes pictures stay longer, and leaves none out."""
    for n in range(4):
        (tmp_path / f"{n}.jpg").write_bytes(encoded(".jpg", noise(seed=n)))
    given = options(tmp_path, mode="live", still_seconds=0.05, fps=5)
    run_producers(given, factory, threading.Event(), Counts(), roll=Roll())
    sent = frames(streams)
    assert [Path(frame.info.source).name for frame in sent] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"], "each once"
    assert [round(frame.info.media_time, 3) for frame in sent] == [0, 0.2, 0.4, 0.6]
    between = [b.info.captured_at - a.info.captured_at for a, b in pairwise(sent)]
    assert all(0.1 < seconds < 1 for seconds in between)


def test_three_seconds_are_the_default() -> None:
    assert ProducerOptions().still_seconds == 3
