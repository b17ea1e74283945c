"""`emotion run`: the whole pipeline on one machine, one process per worker, until the source ends."""

import contextlib
import json
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from emotion_stream.emotion.idle import idle_flags
from emotion_stream.emotion.runner.hosts import check_hosts
from emotion_stream.emotion.runner.launch import Launch
from emotion_stream.emotion.runner.summary import CLEAR, text_summary
from emotion_stream.emotion.written import check_kept, claims_of_run, settings_of, sources_of
from emotion_stream.producer.sources.spec import plan
from emotion_stream.shared.claims import check
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.locks import hold
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.settings.cameras import cameras_of
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.settings.options import (
    ClassifierOptions,
    CommonOptions,
    DetectorOptions,
    LinkOptions,
    ModelOptions,
    ProducerOptions,
    RunOptions,
)
from emotion_stream.shared.settings.result_options import (
    EventOptions,
    KeepOptions,
    LanguageOptions,
    ShowOptions,
    SinkOptions,
    WebOptions,
    WriteOptions,
)
from emotion_stream.shared.whole import write_whole

log = logging.getLogger(__name__)


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
        EmotionError: the run failed, or a file cannot be written.
        UsageError: no source was given, a setting is wrong, or a file must not be written.
    """
    common = build(CommonOptions, values)
    options = build(RunOptions, values)
    mode, specs = plan(build(ProducerOptions, values), cameras_of(values))
    claims = claims_of_run(values, [spec.name for spec in specs])
    check_kept(values, sources_of(specs))
    check([*sources_of(specs), *settings_of(values)], claims, force=build(WriteOptions, values).force)
    check_hosts(specs)
    for told in idle_flags(values, mode, specs, at_terminal=sys.stderr.isatty()):
        log.warning("%s", told)
    with hold(claims), _state_directory(options.state) as directory:
        launch = Launch(values, directory)
        service = Service("runner", "", common)
        try:
            launch.begin()
            from emotion_stream.emotion.runner.pipeline import Run  # it takes as long to load as the workers do

            this = Run(launch, service)
            service.start({"/targets": lambda: ("application/json", this.targets())})
            summary = this.run()
            failed = this.report(summary)
        finally:
            launch.stop()
            service.close()
            if sys.stderr.isatty():
                print(CLEAR, end="", file=sys.stderr)
    # The results may go to standard output; what is for people goes beside it.
    print(text_summary(summary), file=sys.stderr)
    if options.summary_json:
        try:
            write_whole(Path(options.summary_json), (json.dumps(summary, indent=2) + "\n").encode())
        except OSError as e:
            raise EmotionError(f"--summary-json {options.summary_json} cannot be written ({e.strerror})") from e
    if failed is not None:
        raise failed
    if summary["frames"] and summary["frames"] == summary["errors"]:
        only = "the picture" if summary["frames"] == 1 else f"none of {summary['frames']} frames"
        raise EmotionError(f"{only} could {'not ' if summary['frames'] == 1 else ''}be read: the results tell why")


COMMAND = Command(
    "run",
    "Run the whole pipeline on this machine: sources in, faces with emotions out.",
    (
        ProducerOptions,
        ShowOptions,
        LanguageOptions,
        SinkOptions,
        WebOptions,
        EventOptions,
        KeepOptions,
        WriteOptions,
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
    plain="source",
    without=("run_id", "go", "per_camera", "expect", "shards", "shard", "slot", "parent"),  # of its own choice
)
