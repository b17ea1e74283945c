"""The process of a producer, as a container runs it: it reads its file of cameras again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.streams.shard import Streams
from tests.producer.test_producer import frames, wait_for
from tests.producer.test_sources import write_video


@contextmanager
def producer(server: EmbeddedServer, streams: Streams, *more: str) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "emotion_stream.producer", "--redis", server.url, "--mode", "live", "--loop"]
    command += ["--namespace", streams.keys.namespace, *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_hears_a_signal_and_watches_its_file(server: EmbeddedServer, streams: Streams, tmp_path: Path) -> None:
    clip, settings = write_video(tmp_path / "clip.mp4", 10, rate=20), tmp_path / "cameras.toml"

    def write(*names: str) -> None:
        new = settings.with_suffix(".new")
        new.write_text("".join(f"[cameras.{name}]\nsource = '{clip}'\n" for name in names))
        new.replace(settings)

    def there() -> set[str]:
        told = streams.progress()
        return {frame.info.camera for frame in frames(streams)} - told.left.keys()

    write("hall", "attic", "yard")
    only = ("--only", "hall", "--only", "yard")
    with producer(server, streams, f"--cameras-file={settings}", *only, "--watch-settings") as process:
        wait_for(lambda: there() == {"hall", "yard"}, 60)
        write("hall", "attic")
        wait_for(lambda: there() == {"hall"}, 60)
        write("attic")  # none of those that it takes is left: it waits for them
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: there() == set(), 60)
        write("hall", "attic", "yard")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: there() == {"hall", "yard"}, 60)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr is not None
        told = [line for line in process.stderr if "cameras: " in line]
    assert [line.partition("cameras: ")[2].strip() for line in told] == [
        "removed yard",
        "removed hall",
        "added hall, yard",
    ]


def test_a_name_that_the_file_does_not_have_is_refused(
    server: EmbeddedServer, streams: Streams, tmp_path: Path
) -> None:
    settings = tmp_path / "cameras.toml"
    settings.write_text("[cameras.hall]\nsource = 'sample'\n")
    with producer(server, streams, f"--cameras-file={settings}", "--only=hal") as process:
        assert process.wait(60) == 2
        assert process.stderr is not None
        assert "--only hal: there is no table [cameras.hal] in the settings file" in process.stderr.read()
