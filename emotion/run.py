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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from classifier_worker.classifier import check_served
from emotion.page import Page, settle_page
from emotion.report.run import Gathered, check_report
from emotion.server import EmbeddedServer
from emotion.summary import progress_line, text_summary
from emotion.supervisor import Plan, Supervisor
from producer.loop import check_recordings
from producer.spec import SourceSpec, plan
from shared.cli import Command, Values
from shared.errors import EmotionError, UsageError
from shared.manifest import DEFAULT_ARTIFACTS, load_manifest
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
from shared.service import Service, open_streams
from shared.settings import build, to_toml
from shared.streams import Progress, Streams
from sink.follow import following
from sink.outputs import files, truncate, written
from sink.outputs import parse as check_outputs
from sink.stats import Stats
from sink.web.address import tell

log = logging.getLogger(__name__)

POLL = 0.1
"""Seconds between two looks at the processes and the progress."""
READY_SECONDS = 60.0
DRAIN_SECONDS = 15.0
"""After Ctrl-C, or after the end of a live source: how long what is under way may take."""
STUCK_SECONDS = 120.0
"""A lossless run in which nothing at all happens for so long has lost a frame: it ends and says so."""
MOST_SERVER_STARTS = 20
CLEAR = "\r\x1b[K"
"""Begins a terminal's line anew."""
MOST_MEMORY = 1 << 30
"""Bytes of data that the embedded server may hold at the most; half of it for frames."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How many processes of each kind."""

    detectors: int
    classifiers: int


def choose_workers(options: RunOptions, cores: int, scans_all: bool) -> Workers:
    """Detectors that scan every picture as a whole (`scans_all`) do most of the work: one a core. Those that know
    where to look take about half of it. One classifier for every four cores."""
    detectors = cores if scans_all else cores // 2
    return Workers(options.detectors or max(1, detectors), options.classifiers or max(1, (cores + 2) // 4))


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


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
        _protect_sources(sources, build(SinkOptions, values).output)
        self._is_live = mode == "live"
        self._cameras = tuple(source.name for source in sources)
        self._only_pictures = all(source.kind == "pictures" for source in sources)
        self._sink = replace(build(SinkOptions, values), per_camera=len(sources) > 1, expect=self._cameras)
        self._show = build(ShowOptions, values)
        following(self._sink.confirm, self._sink.smoothing, self._show.uncertain)  # refused here if they are wrong
        self._page = Page(self._sink.output, build(WebOptions, values))
        self._values = values
        link = build(LinkOptions, values)
        if link.shards > 1:
            raise UsageError("--shards is for stages that are started one by one: see docs/scaling.md")
        self._embedded = (
            None
            if "redis" in values
            else EmbeddedServer(directory / "server", MOST_MEMORY, durable=not self._is_live)
        )
        self._link = replace(
            link,
            redis=self._embedded.url if self._embedded else link.redis,
            redis_password_file=None if self._embedded else link.redis_password_file,
            namespace=f"{link.namespace}-{self._run_id}",
            parent=os.getpid(),
        )
        self._supervisor = Supervisor(directory / "logs")
        self._known: list[dict[str, Any]] = []
        self._progress = Progress.parse({})
        self._started = self._moved = time.monotonic()
        self._work = -1
        self._server_starts = 0

    def run(self) -> dict[str, Any]:
        """Run to the end and return the summary.

        Raises:
            EmotionError: something ended the run; what was done before is kept.
        """
        model = build(ModelOptions, self._values).model
        check_served(build(ClassifierOptions, self._values), load_manifest(Path(model or DEFAULT_ARTIFACTS)))
        check_recordings(self._producer)
        check_outputs(self._sink.output)
        check_report(self._options.report, self._sink.output)
        self._page = settle_page(self._sink.output, self._page.options, at_terminal=sys.stderr.isatty())
        self._gathered = Gathered.beside(self._page.outputs, self._options.report, self._directory)
        self._sink = replace(self._sink, output=self._gathered.outputs)
        streams = None
        try:
            if self._embedded:
                self._embedded.start()
            streams = open_streams(self._link, self._service)
            truncate(self._sink.output)
            self._start_workers()
            self._wait_until_ready(streams)
            self._service.is_ready(None)
            tell(self._page.urls)
            self._started = time.monotonic()
            if not self._service.stopping:
                self._start_producer()
            self._watch(streams)
            self._supervisor.stop("producer")
            self._drain(streams)
            self._supervisor.stop("sink")
            return self._summary(streams)
        finally:
            self._supervisor.stop()
            if streams is not None:
                self._clean(streams)
            if self._embedded:
                self._embedded.stop()

    # --- processes ---------------------------------------------------------------------------------------

    def _plan(
        self, module: str, slot: str, *settings: object, ends: bool = False, keep_stdout: bool = False
    ) -> Plan:
        link = replace(self._link, slot=slot)
        common = replace(self._common, metrics_host="127.0.0.1", metrics_port=0, config=None)
        path = self._directory / f"{slot}.toml"
        path.touch(0o600)  # before there is anything in it
        path.write_text(to_toml(link, common, *settings))
        return Plan(slot, module, [f"--config={path}"], ends=ends, keep_stdout=keep_stdout)

    def _start_workers(self) -> None:
        model = build(ModelOptions, self._values)
        detector, classifier = build(DetectorOptions, self._values), build(ClassifierOptions, self._values)
        workers = choose_workers(self._options, usable_cores(), self._only_pictures or detector.scan_every == 1)
        for n in range(workers.detectors):
            self._supervisor.start(self._plan("detector_worker", f"detector-{n}", detector, model))
        for n in range(workers.classifiers):
            self._supervisor.start(self._plan("classifier_worker", f"classifier-{n}", classifier, model))
        to_stdout = any(spec.endswith("=-") for spec in self._sink.output)
        how = self._show, self._page.options
        self._supervisor.start(self._plan("sink", "sink", self._sink, *how, ends=True, keep_stdout=to_stdout))
        self._expected = workers.detectors + workers.classifiers + 1

    def _wait_until_ready(self, streams: Streams) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._service.stopping:
            self._supervisor.check({})
            self._revive()
            with contextlib.suppress(RedisError):
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

    def _watch(self, streams: Streams) -> None:
        """Until all sources have ended or somebody stops the run."""
        while not self._service.stopping and (self._supervisor.running("producer") or self._left_early(streams)):
            self._look(streams)
            self._service.stop.wait(POLL)

    def _start_producer(self) -> None:
        self._supervisor.start(self._plan("producer", "producer", self._producer, ends=True))

    def _left_early(self, streams: Streams) -> bool:
        """Whether somebody told the producer of a lossless run to leave before its end. It is started again then,
        and goes on where it was."""
        progress = self._look(streams)
        early = not self._is_live and (progress is None or not set(self._cameras) <= set(progress.ended))
        if early and progress is not None and not self._service.stopping:
            log.warning("the producer left before the end: starting it again")
            self._start_producer()
        return early

    def _drain(self, streams: Streams) -> None:
        """Until everything is shown. A lossless run takes the time it needs unless it was stopped."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._supervisor.running("sink"):
            hurry = self._service.stopping or self._is_live
            progress = self._look(streams)
            if progress is not None and progress.all_shown(self._cameras, ended=not hurry):
                return
            if hurry and time.monotonic() > deadline:
                log.warning("stopped with frames still under way")
                return
            time.sleep(POLL / 4)

    def _look(self, streams: Streams) -> Progress | None:
        """Restart what died, and tell how it goes. None: the server is not there at this moment.

        Raises:
            EmotionError: a process gave up, or nothing moves any more.
        """
        self._revive()
        for line in self._supervisor.news():
            print(f"{CLEAR if sys.stderr.isatty() else ''}{line}", file=sys.stderr)
        self._service.tick(None)
        try:
            progress = streams.progress()
            self._workers(streams)
            lag = streams.lag(streams.keys.frames, "detector").seconds
        except RedisError as e:
            log.debug("no look at the progress: %s", e)
            self._supervisor.check({})
            return None
        self._progress = progress
        groups = {"producer": "producer", "detector_worker": "detector", "classifier_worker": "classifier"}
        groups["sink"] = self._sink.sink
        self._supervisor.check({module: progress.work.get(group, 0) for module, group in groups.items()})
        if not self._supervisor.running("sink"):
            self._service.stop.set()  # whoever read our results has had enough
        self._check_moving(progress)
        if sys.stderr.isatty():
            appended = progress.work.get("producer", 0)
            elapsed = time.monotonic() - self._started
            line = progress_line(self._stats(progress).summary(), appended, lag, elapsed)
            print(f"{CLEAR}{line}", end="", file=sys.stderr, flush=True)
        return progress

    def _revive(self) -> None:
        if self._embedded and self._embedded.restart_if_dead():
            self._server_starts += 1
            if self._server_starts > MOST_SERVER_STARTS:
                raise EmotionError(f"the embedded server has died {self._server_starts} times: giving up")
            log.warning("the embedded server had died: started it again with its data")

    def _check_moving(self, progress: Progress) -> None:
        work = sum(progress.work.values())
        if work != self._work:
            self._work, self._moved = work, time.monotonic()
        elif not self._is_live and time.monotonic() - self._moved > STUCK_SECONDS:
            lost = sum(count for _, count in progress.appended.values()) - self._stats(progress).frames
            raise EmotionError(
                f"nothing has moved for {STUCK_SECONDS:.0f} s, with {lost} frames not shown: giving up"
            )

    def _stats(self, progress: Progress) -> Stats:
        stored = progress.stats.get(self._sink.sink)
        return Stats.from_bytes(stored) if stored else Stats()

    # --- the end -----------------------------------------------------------------------------------------

    def _summary(self, streams: Streams) -> dict[str, Any]:
        dead = 0
        with contextlib.suppress(RedisError):  # the last look is good enough when the server is gone
            self._progress = streams.progress()
            dead = streams.length(streams.keys.dead)
        summary = dict(self._stats(self._progress).summary())
        summary["mode"] = "live" if self._is_live else "lossless"
        summary["appended"] = self._progress.work.get("producer", 0)
        summary["dead_letters"] = dead
        summary["restarts"] = self._supervisor.restarts
        summary["outputs"] = written(self._page.outputs)
        self._gathered.write(self._show.notice, summary)
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


def _protect_sources(sources: Sequence[SourceSpec], outputs: Sequence[str]) -> None:
    """Refuse an output that would overwrite a source.

    Raises:
        UsageError: one would.
    """
    inputs = [Path(f).resolve() for s in sources for f in (s.files or (s.target,))]
    for name in files(outputs):
        target = Path(name).resolve()
        if any(target == i or (i.is_dir() and target.parent == i and target.exists()) for i in inputs):
            raise UsageError(f"output {name!r} would overwrite a source: choose another file")


@contextlib.contextmanager
def _state_directory(path: str | None) -> Iterator[Path]:
    if path is not None:
        directory = Path(path).resolve() / f"run-{secrets.token_hex(4)}"  # never the data of another run
        try:
            directory.mkdir(0o700, parents=True)  # pictures of people lie in it
        except OSError as e:
            raise EmotionError(f"--state {path}: no folder can be made there ({e.strerror})") from e
        yield directory
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
    if options.summary_json and not Path(options.summary_json).absolute().parent.is_dir():
        raise EmotionError(f"--summary-json {options.summary_json}: there is no such folder")
    with _state_directory(options.state) as directory:
        service = Service("runner", "", common)
        this = Run(values, service, directory)
        service.start({"/targets": lambda: ("application/json", this.targets())})
        try:
            summary = this.run()
        finally:
            service.close()
            if sys.stderr.isatty():
                print(CLEAR, end="", file=sys.stderr)
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
    without=("run_id", "per_camera", "expect", "shards", "shard", "slot", "parent"),  # of its own choice
)
