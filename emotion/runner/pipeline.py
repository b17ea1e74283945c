"""A run on this machine: watched from its start to the summary. What is large is imported here, not before."""

import contextlib
import json
import logging
import signal
import sys
import time
from dataclasses import replace
from typing import Any

from redis.exceptions import RedisError

from emotion_stream.classifier_worker.classifier import check_served
from emotion_stream.emotion.report.run import Gathered
from emotion_stream.emotion.runner.crew import Crew
from emotion_stream.emotion.runner.launch import Launch
from emotion_stream.emotion.runner.page import Page, settle_page
from emotion_stream.emotion.runner.rules import in_force
from emotion_stream.emotion.runner.summary import CLEAR, progress_line
from emotion_stream.emotion.written import check_kept, claims_of_run, settings_of, sources_of
from emotion_stream.producer.loop import check_recordings
from emotion_stream.producer.sources.spec import SourceSpec
from emotion_stream.shared.claims import check
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.manifest import load_manifest, model_directory
from emotion_stream.shared.process.service import Service, open_streams
from emotion_stream.shared.settings.cameras import Camera
from emotion_stream.shared.settings.cli import Values
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.settings.options import ClassifierOptions, ModelOptions, RunOptions
from emotion_stream.shared.settings.reread import Reread
from emotion_stream.shared.settings.result_options import (
    EventOptions,
    KeepOptions,
    LanguageOptions,
    ShowOptions,
    SinkOptions,
    WebOptions,
    WriteOptions,
)
from emotion_stream.shared.settings.writing import with_file
from emotion_stream.shared.streams.progress import Progress
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.shared.words.words import ENGLISH, chosen
from emotion_stream.sink.catalogue import parse as check_outputs
from emotion_stream.sink.catalogue import truncate, written
from emotion_stream.sink.events.names import camera_names
from emotion_stream.sink.results.stats import Stats
from emotion_stream.sink.retention.rules import rules
from emotion_stream.sink.tracking.follow import following
from emotion_stream.sink.web.http.address import tell

log = logging.getLogger(__name__)

POLL = 0.1
"""Seconds between two looks at the processes and the progress."""
READY_SECONDS = 60.0
DRAIN_SECONDS = 15.0
"""After Ctrl-C, or after the end of a live source: how long what is under way may take."""
STUCK_SECONDS = 120.0
"""A lossless run in which nothing at all happens for so long has lost a frame: it ends and says so."""
MOST_SERVER_STARTS = 20


class Run:
    """One run, from the workers that were started to the summary."""

    def __init__(self, launch: Launch, service: Service) -> None:
        """
        Raises:
            UsageError: a setting is wrong.
        """
        values = launch.values
        self._launch = launch
        self._service = service
        self._supervisor = launch.supervisor
        self._options = build(RunOptions, values)
        self._is_live = launch.is_live
        # Those of tables come and go: each has files of its own, also where it is alone at the start.
        many = len(launch.sources) > 1 or any(camera.source for camera in launch.cameras)
        self._sink = replace(build(SinkOptions, values), per_camera=many, expect=self._cameras)
        self._show = build(ShowOptions, values)
        self._language = build(LanguageOptions, values)
        self._words = chosen(self._language.language) or ENGLISH  # refused here if it is wrong
        following(self._sink.confirm, self._sink.smoothing, self._show.uncertain)  # refused here if they are wrong
        self._page = Page(self._sink.output, with_file(build(WebOptions, values), values))
        self._events = build(EventOptions, values)
        camera_names(self._events)  # refused here if it is wrong
        watch = launch.producer.watch_settings or self._page.options.editable
        self._reread = Reread(values, service.asked, watch=watch)
        self._keep = build(KeepOptions, values)
        self._keeps = rules(self._keep) is not None
        if self._keeps and self._options.report:
            raise UsageError(
                "--report tells of a whole run, and with --keep results go while it runs: leave one out, and make"
                " reports of what is kept with `emotion report FILE`"
            )
        self._embedded = launch.embedded
        self._known: list[dict[str, Any]] = []
        self._progress = Progress.parse({})
        self._started = self._moved = time.monotonic()
        self._work = -1
        self._server_starts = 0
        self._counted = self._forgotten = 0
        self._labels: dict[str, Any] = {}
        self._crew = Crew(launch)

    def run(self) -> dict[str, Any]:
        """Run to the end and return the summary.

        Raises:
            EmotionError: something ended the run; what was done before is kept.
        """
        launch = self._launch
        streams = None
        try:
            model = build(ModelOptions, launch.values).model
            served = load_manifest(model_directory(model))
            check_served(build(ClassifierOptions, launch.values), served)
            check_recordings(launch.producer, launch.cameras)
            stills = all(source.kind == "pictures" for source in launch.sources)
            self._labels = in_force(
                build(ClassifierOptions, launch.values), served, self._sink, self._show, stills=stills
            )
            check_outputs(self._sink.output)
            self._page = settle_page(self._sink.output, self._page.options, at_terminal=sys.stderr.isatty())
            self._gathered = Gathered.beside(self._page.outputs, self._options.report, launch.directory)
            self._sink = replace(self._sink, output=self._gathered.outputs)
            self._revive()  # it may have died while all this was loaded
            streams = open_streams(launch.link, self._service)
            truncate(self._sink.output, force=build(WriteOptions, launch.values).force, kept=self._keeps)
            self._start_sink()
            launch.producer = replace(launch.producer, paced=launch.producer.paced or self._stays)
            launch.start_producer()
            self._wait_until_ready(streams)
            self._service.is_ready(None)
            tell(self._page.urls)
            self._started = time.monotonic()
            launch.go()
            self._watch(streams)
            self._supervisor.stop("producer")
            self._drain(streams)
            if self._stays:
                self._stay()
            self._supervisor.stop("sink")
            return self._summary(streams)
        finally:
            self._supervisor.stop()
            if streams is not None:
                self._clean(streams)

    @property
    def _cameras(self) -> tuple[str, ...]:
        return tuple(source.name for source in self._launch.sources)

    # --- processes ---------------------------------------------------------------------------------------

    def _start_sink(self) -> None:
        to_stdout = any(spec.endswith("=-") for spec in self._sink.output)
        self._launch.start("sink", "sink", *self._of_sink, ends=True, keep_stdout=to_stdout)

    @property
    def _of_sink(self) -> tuple[object, ...]:
        return self._sink, self._show, self._language, self._page.options, self._events, self._keep

    def _wait_until_ready(self, streams: Streams) -> None:
        deadline = time.monotonic() + READY_SECONDS
        expected = sum(workers.first for workers in self._launch.workers.values()) + 1
        while not self._service.stopping:
            self._supervisor.check({})
            self._revive()
            with contextlib.suppress(RedisError):
                ready = [about["stage"] for about in self._workers(streams) if about["ready"]]
                if len(ready) - ready.count("producer") >= expected:
                    return
            if time.monotonic() > deadline:
                raise EmotionError(
                    f"the workers are not ready after {READY_SECONDS:.0f} s: see {self._launch.directory}/logs"
                )
            time.sleep(0.02)

    def _workers(self, streams: Streams) -> list[dict[str, Any]]:
        self._known = [about for text in streams.workers().values() if (about := read_announcement(text))]
        return self._known

    def _change_cameras(self) -> None:
        """Take cameras on and let them go, where somebody asks for the settings file to be read again, or it has
        changed."""
        if self._reread.is_due() and sys.stderr.isatty():
            print(CLEAR, end="", file=sys.stderr, flush=True)
        found = self._reread.news(self._planned)
        if found is None:
            return
        change = self._launch.change(*found)
        self._sink = replace(self._sink, expect=self._cameras)
        self._launch.write("sink", *self._of_sink)  # for one that has to be started again
        if any(about["stage"] == "producer" and about["ready"] for about in self._known):
            self._supervisor.signal("producer", signal.SIGHUP)  # one that begins is about to read its file anyway
        log.info("cameras: %s", change)

    def _planned(self, values: Values) -> tuple[tuple[Camera, ...], tuple[SourceSpec, ...]]:
        cameras, specs = self._launch.planned(values)
        names = dict.fromkeys((*self._cameras, *(spec.name for spec in specs)))
        check_kept(values, sources_of(specs))
        check([*sources_of(specs), *settings_of(values)], claims_of_run(values, list(names)), force=True)
        self._launch.try_new(specs)
        return cameras, specs

    # --- while it runs -----------------------------------------------------------------------------------

    def _watch(self, streams: Streams) -> None:
        """Until all sources have ended or somebody stops the run."""
        while not self._service.stopping and (self._supervisor.running("producer") or self._left_early(streams)):
            self._look(streams)
            self._change_cameras()
            self._service.stop.wait(POLL)

    def _left_early(self, streams: Streams) -> bool:
        """Whether somebody told the producer of a lossless run to leave too early. Then it is started again, and
        continues where it was."""
        progress = self._look(streams)
        early = not self._is_live and (progress is None or not set(self._cameras) <= set(progress.ended))
        if early and progress is not None and not self._service.stopping:
            log.warning("the producer left before the end: starting it again")
            self._launch.start_producer()
        return early

    def _drain(self, streams: Streams) -> None:
        """Wait until everything is shown. A lossless run takes the time that it needs, unless it was stopped."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._supervisor.running("sink"):
            hurry = self._service.stopping or self._is_live
            progress = self._look(streams)
            if progress is not None and self._all_shown(progress, ended=not hurry):
                return
            if hurry and time.monotonic() > deadline:
                log.warning("stopped with frames still under way")
                return
            time.sleep(POLL / 4)

    def _all_shown(self, progress: Progress, *, ended: bool) -> bool:
        """Whether nothing is under way any more, also of cameras that were let go."""
        return progress.all_shown(self._cameras, ended=ended) and (not ended or progress.left_shown())

    @property
    def _stays(self) -> bool:
        """Whether a person watches a file on the page, and nothing else is left of it: then it plays at its own
        speed, and the page stays until they have had enough. Scripts end with the file."""
        asked = self._options.report or self._options.summary_json
        return self._page.alone and not self._is_live and not asked

    def _stay(self) -> None:
        """Keep the page, with all that was shown, until Ctrl-C."""
        if not self._service.stopping:
            where = " ".join(self._page.urls)
            print(f"{CLEAR}all is shown; the page stays until Ctrl-C: {where}", file=sys.stderr, flush=True)
        while not self._service.stopping and self._supervisor.running("sink"):
            self._revive()
            self._supervisor.check({})
            self._service.tick(None)
            self._service.stop.wait(POLL)

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
            self._crew.look(streams)
            lag = streams.lag(streams.keys.frames, "detector").seconds
        except RedisError as e:
            log.debug("no look at the progress: %s", e)
            self._supervisor.check({})
            return None
        self._progress = progress
        appended = self._appended(progress)
        groups = {"producer": "producer", "detector_worker": "detector", "classifier_worker": "classifier"}
        groups["sink"] = self._sink.sink
        self._supervisor.check({module: progress.work.get(group, 0) for module, group in groups.items()})
        if not self._supervisor.running("sink"):
            self._service.stop.set()  # whoever read our results has had enough
        self._check_moving(progress)
        if sys.stderr.isatty():
            elapsed = time.monotonic() - self._started
            line = progress_line(self._stats(progress).summary(), appended, lag, elapsed)
            print(f"{CLEAR}{line}", end="", file=sys.stderr, flush=True)
        return progress

    def _revive(self) -> None:
        if self._embedded and self._embedded.restart_if_dead():
            self._server_starts += 1
            if self._server_starts > MOST_SERVER_STARTS:
                raise EmotionError(f"the embedded server has died {self._server_starts} times: giving up")
            held = "without the frames that it held" if self._is_live else "with its data"
            log.warning("the embedded server had died: started it again %s", held)

    def _appended(self, progress: Progress) -> int:
        """Frames appended so far. A server that lost its memory counts from 0 again; in lossless mode rightly so,
        because what it lost is sent again."""
        now = progress.work.get("producer", 0)
        if now < self._counted and self._is_live:
            self._forgotten += self._counted
        self._counted = now
        return self._forgotten + now

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
        summary["labels"] = self._labels
        summary["mode"] = "live" if self._is_live else "lossless"
        summary["appended"] = appended = self._appended(self._progress)
        if self._forgotten:  # what the server took with it came to no sink, which could have counted it
            known = summary["frames"] + sum(summary["dropped"].values())
            summary["appended"] = max(appended, known + summary["missing"])
            summary["missing"] = summary["appended"] - known
        summary["dead_letters"] = dead
        summary["restarts"] = self._supervisor.restarts
        summary["outputs"] = written(self._page.outputs, kept=self._keeps)
        return summary

    def report(self, summary: dict[str, Any]) -> EmotionError | None:
        """Write the report, if one is wanted; returns why it is not written. To be called before the run's own
        folder goes."""
        try:
            self._gathered.write(self._show.notice, summary, self._words)
        except EmotionError as e:
            return e
        return None

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


def read_announcement(text: bytes) -> dict[str, Any] | None:
    """What a worker says of itself; None for anything else that may stand in its place. Pure."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return about if isinstance(about, dict) and {"stage", "host", "port", "ready"} <= set(about) else None
