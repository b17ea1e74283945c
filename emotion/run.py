"""`emotion run`: the whole pipeline on one machine, one process per worker, until the source ends."""

import contextlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from emotion.launch import Launch
from emotion.summary import CLEAR, text_summary
from shared.cli import Command, Values
from shared.errors import EmotionError
from shared.options import (
    ClassifierOptions,
    CommonOptions,
    DetectorOptions,
    LinkOptions,
    ModelOptions,
    ProducerOptions,
    RunOptions,
    ShowOptions,
    SinkOptions,
    WebOptions,
)
from shared.service import Service
from shared.settings import build


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed runs of this user left: it may hold pictures of people."""
    for left in folder.glob("emotion-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdecimal() and left.stat().st_uid == os.getuid() and not _is_running(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _state_directory(path: str | None) -> Iterator[Path]:
    if path is not None:
        directory = Path(path).resolve() / f"run-{secrets.token_hex(4)}"  # never the data of another run
        try:
            directory.mkdir(0o700, parents=True)  # pictures of people lie in it
        except OSError as e:
            raise EmotionError(f"--state {path}: no folder can be made there ({e.strerror})") from e
        try:
            yield directory
        finally:
            for settings in directory.glob("*.toml"):  # they may hold passwords
                settings.unlink(missing_ok=True)
        shutil.rmtree(directory / "server", ignore_errors=True)
        return
    _remove_leftovers(Path(tempfile.gettempdir()))
    temporary = Path(tempfile.mkdtemp(prefix=f"emotion-{os.getpid()}-"))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def run(values: Values) -> None:
    """Run the pipeline and print the summary.

    Raises:
        EmotionError: the run failed.
        UsageError: no source was given, or a setting is wrong.
    """
    common = build(CommonOptions, values)
    options = build(RunOptions, values)
    if options.summary_json:
        _check_summary(Path(options.summary_json))
    with _state_directory(options.state) as directory:
        launch = Launch(values, directory)
        service = Service("runner", "", common)
        try:
            launch.begin()
            from emotion.pipeline import Run  # it takes as long to load as the workers do

            this = Run(launch, service)
            service.start({"/targets": lambda: ("application/json", this.targets())})
            summary = this.run()
        finally:
            launch.stop()
            service.close()
            if sys.stderr.isatty():
                print(CLEAR, end="", file=sys.stderr)
    # The results may go to standard output; what is for people goes beside it.
    print(text_summary(summary), file=sys.stderr)
    if options.summary_json:
        try:
            Path(options.summary_json).write_text(json.dumps(summary, indent=2) + "\n")
        except OSError as e:
            raise EmotionError(f"--summary-json {options.summary_json} cannot be written ({e.strerror})") from e


def _check_summary(path: Path) -> None:
    """Refuse a summary that cannot be written, before anything starts.

    Raises:
        EmotionError: there is no such folder, or it is a folder.
    """
    if path.is_dir():
        raise EmotionError(f"--summary-json {path}: it is a folder")
    if not path.absolute().parent.is_dir():
        raise EmotionError(f"--summary-json {path}: there is no folder {path.parent}")


COMMAND = Command(
    "run",
    "Run the whole pipeline on this machine: sources in, faces with emotions out.",
    (
        ProducerOptions,
        ShowOptions,
        SinkOptions,
        WebOptions,
        RunOptions,
        DetectorOptions,
        ClassifierOptions,
        ModelOptions,
        LinkOptions,
        CommonOptions,
    ),
    run,
    first=(
        "source",
        "output",
        "mode",
        "report",
        "summary_json",
        "blur_faces",
        "detectors",
        "classifiers",
        "redis",
    ),
    without=("run_id", "go", "per_camera", "expect", "shards", "shard", "slot", "parent"),  # of its own choice
)
