"""The processes of a run: their settings, and those that every run has, which start at once.

Workers take the longest to load. So this module imports nothing large: the runner loads the rest beside them.
"""

import itertools
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from emotion_stream.emotion.runner.processor import usable_cores
from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.emotion.runner.supervisor import Plan, Supervisor
from emotion_stream.producer.sources.spec import check_cameras, plan
from emotion_stream.shared.errors import UsageError
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
    ShowOptions,
)

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
        if build(ShowOptions, values).blur_faces:  # so many frames are held back until faces have been found
            least = max(self.producer.in_flight, ProducerOptions().in_flight)
            self.producer = replace(self.producer, in_flight=least)
        mode, self.sources = plan(self.producer)
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
        scans_all = only_pictures or build(DetectorOptions, values).scan_every == 1
        self.workers = choose_workers(build(RunOptions, values), usable_cores(), scans_all)

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
        self.start("producer", "producer", self.producer, ends=True)

    def go(self) -> None:
        """All others are ready: the producer may begin."""
        Path(self.producer.go).touch()

    def start(
        self, module: str, slot: str, *settings: object, ends: bool = False, keep_stdout: bool = False
    ) -> None:
        """Start one process; for the arguments see `Plan`."""
        link = replace(self.link, slot=slot)
        common = replace(self._common, metrics_host="127.0.0.1", metrics_port=0, config=None)
        path = self.directory / f"{slot}.toml"
        path.touch(0o600)  # before there is anything in it
        path.write_text(to_toml(link, common, *settings), "utf-8", "surrogateescape")  # names in any letters
        self.supervisor.start(Plan(slot, module, [f"--config={path}"], ends=ends, keep_stdout=keep_stdout))
