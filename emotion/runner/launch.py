"""The processes of a run: their settings, and those that every run has, which start at once.

Workers take the longest to load. So this module imports nothing large: the runner loads the rest beside them.
"""

import itertools
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emotion_stream.emotion.runner.processor import usable_cores
from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.emotion.runner.supervisor import Plan, Supervisor
from emotion_stream.producer.changes import Change, assign, compare
from emotion_stream.producer.sources.spec import SourceSpec, check_cameras, plan
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.types import Mode
from emotion_stream.shared.settings.cameras import Camera, cameras_of, to_tables
from emotion_stream.shared.settings.cli import Values
from emotion_stream.shared.settings.loading import build, to_toml
from emotion_stream.shared.settings.options import (
    ClassifierOptions,
    CommonOptions,
    DetectorOptions,
    LinkOptions,
    ModelOptions,
    ProducerOptions,
    RunOptions,
)
from emotion_stream.shared.settings.result_options import ShowOptions

MOST_MEMORY = 1 << 30
"""Bytes of data that the embedded server may hold at the most; half of it for frames."""


WORKERS: Mapping[str, tuple[str, type]] = {
    "classifier_worker": ("classifier", ClassifierOptions),  # they take the longest to load
    "detector_worker": ("detector", DetectorOptions),
}
"""Stages of which there may be several processes: how these are called, and their own settings."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How many processes of a stage there are at first, and how many there may be."""

    first: int
    most: int


def choose_workers(options: RunOptions, cores: int, scans_all: bool) -> Mapping[str, Workers]:
    """By the module of each stage. As many as are asked for; else as many as there may be work for, and up to one
    for each core if there is.

    Detectors that scan every picture as a whole (`scans_all`) do most of the work: one a core. Those that know
    where to look take about half of it. One classifier for every four cores.
    """
    detectors = max(1, cores if scans_all else cores // 2)
    classifiers = max(1, (cores + 2) // 4)
    return {
        "detector_worker": Workers(options.detectors or detectors, options.detectors or cores),
        "classifier_worker": Workers(options.classifiers or classifiers, options.classifiers or cores),
    }


class Launch:
    """What a run starts.

    Attributes:
        directory: the run's own folder.
        values: all settings.
        producer: those of the producer.
        cameras: the tables of the settings file.
        sources: what it reads.
        is_live: whether it reads live.
        link: how processes reach the streams.
        embedded: the server of our own; None where another one is used.
        supervisor: of the processes.
        workers: how many processes of each stage that may have several, by its module.
    """

    def __init__(self, values: Values, directory: Path) -> None:
        """
        Raises:
            EmotionError: a source is not there.
            UsageError: a setting is wrong.
        """
        run_id = secrets.token_hex(4)
        self.directory = directory
        self.values = values
        self.producer = replace(build(ProducerOptions, values), run_id=run_id, go=str(directory / "go"))
        self.cameras = self._tables(values)
        show, plain = build(ShowOptions, values), Camera("")
        if any(camera.over(show).blur_faces for camera in (*self.cameras, plain)):
            # So many frames are held back until faces have been found.
            least = max(self.producer.in_flight, ProducerOptions().in_flight)
            self.producer = replace(self.producer, in_flight=least)
        mode, self.sources = plan(self.producer, self.cameras)
        check_cameras(self.sources)
        self.is_live = mode == "live"
        link = build(LinkOptions, values)
        if link.shards > 1:
            raise UsageError("--shards is for stages that are started one by one: see docs/how-to/scaling.md")
        self.embedded = (
            None
            if "redis" in values
            else EmbeddedServer(directory / "server", MOST_MEMORY, durable=not self.is_live)
        )
        self.link = replace(
            link,
            redis=self.embedded.url if self.embedded else link.redis,
            redis_password_file=None if self.embedded else link.redis_password_file,
            namespace=f"{link.namespace}-{run_id}",
            parent=os.getpid(),
        )
        self._common = build(CommonOptions, values)
        self.supervisor = Supervisor(directory / "logs", "emotion_stream")
        only_pictures = all(source.kind == "pictures" for source in self.sources)
        detector = build(DetectorOptions, values)
        scans_all = only_pictures or any(c.over(detector).scan_every == 1 for c in (*self.cameras, plain))
        self.workers = choose_workers(build(RunOptions, values), usable_cores(), scans_all)

    def _tables(self, values: Values) -> tuple[Camera, ...]:
        """The cameras of the settings file. What --source names is played, with the settings of the tables."""
        tables = cameras_of(values)
        return tuple(replace(table, source="") for table in tables) if self.producer.source else tables

    def begin(self) -> None:
        """Start what every run has: the server, and when it answers the workers, those that load longest first.

        Raises:
            EmotionError: the server cannot be started.
        """
        if self.embedded:
            self.embedded.start()  # before the workers: they do not wait for it for ever
        for module in WORKERS:
            for _ in range(self.workers[module].first):
                self.add(module)

    def add(self, module: str) -> str:
        """Start another process of a stage that may have several; returns its name."""
        name, settings = WORKERS[module]
        slot = next(s for n in itertools.count() if self.supervisor.is_free(s := f"{name}-{n}"))
        self.start(module, slot, build(settings, self.values), build(ModelOptions, self.values))
        return slot

    def stop(self) -> None:
        """End every process that still runs."""
        self.supervisor.stop()
        if self.embedded:
            self.embedded.stop()

    def start_producer(self) -> None:
        """Start the producer, which waits with its first frame until `go`."""
        self.start("producer", "producer", self._alone, ends=True, tables=to_tables(self.cameras))

    @property
    def _alone(self) -> ProducerOptions:
        """The producer's settings in its own file, which it reads again when it changes."""
        return replace(self.producer, cameras_file=None, only_cameras=(), watch_settings=True)

    @property
    def _mode(self) -> Mode:
        return "live" if self.is_live else "lossless"

    def planned(self, values: Values) -> tuple[tuple[Camera, ...], tuple[SourceSpec, ...]]:
        """The cameras of settings that were read again, and what they play.

        Raises:
            EmotionError: one of them is not there, or cannot join this run.
        """
        from emotion_stream.producer.loop import Given, plan_again

        cameras = self._tables(values)
        return cameras, plan_again(Given(replace(self.producer, only_cameras=()), cameras), self._mode)

    def try_new(self, specs: Sequence[SourceSpec]) -> None:
        """Open and close those files and folders that are not played yet.

        Raises:
            EmotionError: one of them cannot be read.
        """
        from emotion_stream.producer.loop import check_recording

        new = [spec for spec in specs if spec not in self.sources]
        check_cameras(new)
        for spec in new:
            try:
                check_recording(spec, self._mode, self.producer)
            except EmotionError as e:
                raise EmotionError(f"[cameras.{spec.name}], source: {e}") from e

    def change(self, cameras: tuple[Camera, ...], specs: tuple[SourceSpec, ...]) -> Change:
        """From now on these. The producer finds out by itself, and at once where it is told to look."""
        given = (self.sources, self.cameras), (specs, cameras)
        change = compare(*(assign(sources, self.producer, tables) for sources, tables in given))
        self.cameras, self.sources = cameras, specs
        self.write("producer", self._alone, tables=to_tables(cameras))
        return change

    def go(self) -> None:
        """All others are ready: the producer may begin."""
        # A file is read ahead as far as the queue allows: no hurry, while every result waits for the workers.
        # At its own speed it is not read ahead.
        if not self.is_live and not self.producer.paced:
            self.supervisor.give_way("producer")
        Path(self.producer.go).touch()

    def start(
        self,
        module: str,
        slot: str,
        *settings: object,
        ends: bool = False,
        keep_stdout: bool = False,
        tables: str = "",
    ) -> None:
        """Start one process; for the arguments see `Plan`, and `write`."""
        path = self.write(slot, *settings, tables=tables)
        self.supervisor.start(Plan(slot, module, [f"--config={path}"], ends=ends, keep_stdout=keep_stdout))

    def write(self, slot: str, *settings: object, tables: str = "") -> Path:
        """Write the settings file of a process, as a whole, and return where it lies. `tables` stand in it behind
        all else."""
        link = replace(self.link, slot=slot)
        common = replace(self._common, metrics_host="127.0.0.1", metrics_port=0, config=None)
        path = self.directory / f"{slot}.toml"
        new = path.with_suffix(".new")
        new.touch(0o600)  # before there is anything in it
        text = to_toml(link, common, *settings) + tables
        new.write_text(text, "utf-8", "surrogateescape")  # names in any letters
        return new.replace(path)
