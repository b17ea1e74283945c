"""`emotion run`: the whole pipeline on one machine, one process per worker, until the source ends."""

import contextlib
import json
import logging
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from emotion.server import EmbeddedServer
from emotion.summary import progress_line, text_summary
from emotion.supervisor import Plan, Supervisor
from producer.loop import check_recordings, plan
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
    SinkOptions,
)
from shared.service import Service, open_streams
from shared.settings import build, to_flags
from shared.streams import Progress, Streams
from sink.outputs import parse as check_outputs
from sink.outputs import truncate
from sink.stats import Stats

log = logging.getLogger(__name__)

POLL = 0.1
"""Seconds between two looks at the processes and the progress."""
READY_SECONDS = 60.0
DRAIN_SECONDS = 15.0
"""After Ctrl-C, or after the end of a live source: how long what is under way may take."""
MOST_MEMORY = 1 << 30
"""Bytes of data that the embedded server may hold at the most; half of it for frames."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How many processes of each kind."""

    detectors: int
    classifiers: int


def choose_workers(options: RunOptions, cores: int) -> Workers:
    """Detection is most of the work: one detector a core, one classifier for every four."""
    return Workers(options.detectors or max(1, cores), options.classifiers or max(1, cores // 4))


class Run:
    """One run, from the embedded server to the summary."""

    def __init__(self, values: Values, service: Service, directory: Path) -> None:
        self._service = service
        self._directory = directory
        self._run_id = secrets.token_hex(4)
        self._common = build(CommonOptions, values)
        self._options = build(RunOptions, values)
        self._producer = replace(build(ProducerOptions, values), run_id=self._run_id)
        mode, sources = plan(self._producer)
        self._is_live = mode == "live"
        self._sink = replace(build(SinkOptions, values), per_camera=len(sources) > 1)
        self._values = values
        link = build(LinkOptions, values)
        self._embedded = (
            None
            if "redis" in values
            else EmbeddedServer(directory / "server", MOST_MEMORY, durable=not self._is_live)
        )
        self._link = replace(
            link,
            redis=self._embedded.url if self._embedded else link.redis,
            namespace=f"{link.namespace}-{self._run_id}",
            parent=os.getpid(),
        )
        self._supervisor = Supervisor(directory / "logs")
        self._known: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """Run to the end and return the summary.

        Raises:
            EmotionError: something ended the run; what was done before is kept.
        """
        check_recordings(self._producer)
        check_outputs(self._sink.output)
        if self._embedded:
            self._embedded.start()
        streams = open_streams(self._link, self._service)
        try:
            truncate(self._sink.output)
            self._start_workers()
            self._wait_until_ready(streams)
            self._service.is_ready(None)
            started = time.monotonic()
            self._supervisor.start(self._plan("producer", "producer", self._producer))
            self._watch(streams, started)
            self._supervisor.stop("producer")
            self._drain(streams, started)
            self._supervisor.stop("sink")
            return self._summary(streams)
        finally:
            self._supervisor.stop()
            self._clean(streams)
            if self._embedded:
                self._embedded.stop()

    # --- processes ---------------------------------------------------------------------------------------

    def _plan(self, module: str, slot: str, *settings: object, keep_stdout: bool = False) -> Plan:
        link = replace(self._link, slot=slot)
        common = replace(self._common, metrics_host="127.0.0.1", metrics_port=0, config=None)
        arguments = [flag for s in (link, common, *settings) for flag in to_flags(s)]
        return Plan(slot, module, arguments, keep_stdout=keep_stdout)

    def _start_workers(self) -> None:
        workers = choose_workers(self._options, os.cpu_count() or 1)
        model = build(ModelOptions, self._values)
        detector, classifier = build(DetectorOptions, self._values), build(ClassifierOptions, self._values)
        for n in range(workers.detectors):
            self._supervisor.start(self._plan("detector_worker", f"detector-{n}", detector, model))
        for n in range(workers.classifiers):
            self._supervisor.start(self._plan("classifier_worker", f"classifier-{n}", classifier, model))
        to_stdout = any(spec.endswith("=-") for spec in self._sink.output)
        self._supervisor.start(self._plan("sink", "sink", self._sink, keep_stdout=to_stdout))
        self._expected = workers.detectors + workers.classifiers + 1

    def _wait_until_ready(self, streams: Streams) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._service.stopping:
            self._supervisor.check({})
            if sum(1 for about in self._workers(streams) if about["ready"]) >= self._expected:
                return
            if time.monotonic() > deadline:
                raise EmotionError(
                    f"the workers are not ready after {READY_SECONDS:.0f} s: see {self._directory}/logs"
                )
            time.sleep(0.02)

    def _workers(self, streams: Streams) -> list[dict[str, Any]]:
        self._known = [json.loads(text) for text in streams.workers().values()]
        return self._known

    # --- while it runs -----------------------------------------------------------------------------------

    def _watch(self, streams: Streams, started: float) -> None:
        """Until all sources have ended or somebody stops the run."""
        while not self._service.stopping and self._supervisor.running("producer"):
            self._look(streams, started)
            self._service.stop.wait(POLL)

    def _drain(self, streams: Streams, started: float) -> None:
        """Until everything appended is shown. A lossless run takes the time it needs unless it was stopped."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while True:
            progress = self._look(streams, started)
            if progress is not None and progress.all_shown:
                return
            if (self._service.stopping or self._is_live) and time.monotonic() > deadline:
                log.warning("stopped with frames still under way")
                return
            time.sleep(POLL / 4)

    def _look(self, streams: Streams, started: float) -> Progress | None:
        """Restart what died, and tell how it goes. None: the server is not there at this moment."""
        if self._embedded and self._embedded.restart_if_dead():
            log.warning("the embedded server had died: started it again with its data")
        self._service.tick(None)
        try:
            marks = {
                module: streams.acknowledged(stream, group) + streams.length(streams.keys.dead)
                for module, group, stream in (
                    ("detector_worker", "detector", streams.keys.frames),
                    ("classifier_worker", "classifier", streams.keys.faces),
                    ("sink", self._sink.sink, streams.keys.emotions),
                )
            }
            progress = streams.progress()
            self._workers(streams)
            lag = streams.lag(streams.keys.frames, "detector").seconds
        except RedisError as e:
            log.debug("no look at the progress: %s", e)
            self._supervisor.check({})
            return None
        self._supervisor.check(marks)
        if sys.stderr.isatty():
            appended = sum(count for _, count in progress.appended.values())
            line = progress_line(self._stats(progress).summary(), appended, lag, time.monotonic() - started)
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        return progress

    def _stats(self, progress: Progress) -> Stats:
        stored = progress.stats.get(self._sink.sink)
        return Stats.from_bytes(stored) if stored else Stats()

    # --- the end -----------------------------------------------------------------------------------------

    def _summary(self, streams: Streams) -> dict[str, Any]:
        progress = streams.progress()
        summary = dict(self._stats(progress).summary())
        summary["appended"] = sum(count for _, count in progress.appended.values())
        summary["dead_letters"] = streams.length(streams.keys.dead)
        summary["restarts"] = self._supervisor.restarts
        summary["outputs"] = [spec.partition("=")[2] for spec in self._sink.output]
        return summary

    def _clean(self, streams: Streams) -> None:
        """On a server of somebody else's, leave nothing behind but dead letters."""
        if self._embedded:
            return
        with contextlib.suppress(RedisError):
            streams.forget()

    def targets(self) -> bytes:
        """The workers in the form of Prometheus' `http_sd`."""
        groups = [
            {"targets": [f"{w['host']}:{w['port']}"], "labels": {"stage": w["stage"]}}
            for w in self._known
            if w["port"] is not None
        ]
        return json.dumps(groups).encode()


@contextlib.contextmanager
def _state_directory(path: str | None) -> Iterator[Path]:
    if path is not None:
        directory = Path(path)
        directory.mkdir(parents=True, exist_ok=True)
        yield directory
        return
    temporary = Path(tempfile.mkdtemp(prefix="emotion-"))
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
    with _state_directory(options.state) as directory:
        service = Service("runner", "", common)
        this = Run(values, service, directory)
        service.start({"/targets": lambda: ("application/json", this.targets())})
        try:
            summary = this.run()
        finally:
            service.close()
            if sys.stderr.isatty():
                print("\r\x1b[K", end="", file=sys.stderr)
    if options.summary_json:
        try:
            Path(options.summary_json).write_text(json.dumps(summary, indent=2) + "\n")
        except OSError as e:
            raise EmotionError(f"--summary-json {options.summary_json} cannot be written ({e.strerror})") from e
    # The results may go to standard output; what is for people goes beside it.
    print(text_summary(summary), file=sys.stderr)


COMMAND = Command(
    "run",
    "Run the whole pipeline on this machine: sources in, faces with emotions out.",
    (
        ProducerOptions,
        SinkOptions,
        RunOptions,
        DetectorOptions,
        ClassifierOptions,
        ModelOptions,
        LinkOptions,
    ),
    run,
)
