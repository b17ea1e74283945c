"""Every metric of every stage, declared once. Names, units and labels follow Prometheus' advice.

Nothing here is global: a process makes one `Metrics` for its own registry, a test as many as it likes. Labels are
few on purpose: no camera, no frame, no worker name, and words that come out of a stream are bounded in number.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from emotion_stream import __version__

LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0)
"""Seconds from capture to result: 5 ms to 5 s, densest where a live view is judged."""
BATCH_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_SIZE_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
MAX_WORDS = 32
"""Different values that an open label (`reason`, `emotion`) takes at the most; the rest is counted as `other`."""
WORD = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric. `name` lacks the suffix `_total`; `labels` come after `stage`, which all of them carry."""

    name: str
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


FRAMES = Spec("emotion_frames", "Frames finished by this stage: appended, searched, classified or shown")
FACES = Spec("emotion_faces", "Faces found, classified or shown by this stage")
BATCHES = Spec("emotion_batches", "Batches processed")
BATCH_SIZE = Spec("emotion_batch_size", "Messages per batch", buckets=BATCH_SIZE_BUCKETS)
BATCH_SECONDS = Spec(
    "emotion_batch_duration_seconds", "Time to process one batch", "seconds", buckets=BATCH_SECONDS_BUCKETS
)
DECODE_ERRORS = Spec("emotion_decode_errors", "Pictures or messages that could not be decoded")
DROPPED = Spec("emotion_dropped_frames", "Frames given up on purpose, by reason", labels=("reason",))
REDELIVERIES = Spec("emotion_redeliveries", "Messages taken over or read again after a first delivery")
DEAD_LETTERS = Spec("emotion_dead_letters", "Messages set aside because they could not be processed")
RECONNECTS = Spec("emotion_reconnects", "Connections to Redis made again after a loss")
STREAM_ENTRIES = Spec("emotion_stream_entries", "Entries in a stream", labels=("stream",))
LAG_ENTRIES = Spec("emotion_lag_entries", "Entries a group has not finished yet", labels=("stream", "group"))
LAG_SECONDS = Spec(
    "emotion_lag_seconds", "Time between the newest entry and the last one read", "seconds", ("stream", "group")
)
REDIS_MEMORY = Spec("emotion_redis_memory_bytes", "Memory that the server's data take", "bytes")
REDIS_MEMORY_LIMIT = Spec(
    "emotion_redis_memory_limit_bytes", "Memory that the server may use for data; 0: no limit", "bytes"
)
PREDICTIONS = Spec("emotion_predictions", "Faces by their most probable emotion", labels=("emotion",))
LATENCY = Spec(
    "emotion_end_to_end_latency_seconds", "Time from capture to result", "seconds", buckets=LATENCY_BUCKETS
)
CAMERA_REOPENS = Spec("emotion_camera_reopens", "Cameras opened again after a loss or a frozen picture")
CAMERA_PROBLEMS = Spec("emotion_camera_problems", "Cameras without a picture now, by reason", labels=("reason",))
MISSING = Spec("emotion_missing_frames", "Frames that never reached the sink, found as gaps in the order")
DUPLICATES = Spec("emotion_duplicate_frames", "Frames that reached the sink again and were left out")
EVENTS = Spec("emotion_events", "Events told, by kind", labels=("kind",))
EVENTS_LEFT_OUT = Spec(
    "emotion_events_left_out", "Events and messages that an output could not pass on", labels=("output",)
)
RESULTS = Spec("emotion_results_bytes", "Room that results take, where they are kept in order", "bytes")
RESULTS_ROOM = Spec("emotion_results_room_bytes", "Room left until the oldest results go for it", "bytes")
RESULTS_AGE = Spec("emotion_results_age_seconds", "Age of the oldest results that are kept", "seconds")
RESULTS_NEXT = Spec(
    "emotion_results_next_removal_seconds", "Time until the oldest results go for their age", "seconds"
)
RESULTS_REMOVED = Spec("emotion_results_removed_bytes", "Room of results that went", "bytes")
RESULTS_PAUSED = Spec(
    "emotion_results_paused",
    "1 while an output is not written because its disk is full, else 0",
    labels=("output",),
)
RESULTS_LEFT_OUT = Spec(
    "emotion_results_left_out", "Results not written because the disk was full", labels=("output",)
)
READY = Spec("emotion_ready", "1 while this process is ready to work, else 0")
HEARTBEAT = Spec("emotion_heartbeat_age_seconds", "Time since the loop of this process last turned", "seconds")
BUILD = Spec("emotion_build", "Version of this program")
MODEL = Spec("emotion_model", "Model in use", labels=("id", "precision", "backend"))


# A second series for every counter, which says when it began, is noise.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one process, registered in `registry` with the label `stage`.

    Metrics without further labels are attributes (`metrics.frames.inc()`), those with labels are methods
    that return the metric for these labels (`metrics.dropped("stale").inc()`).
    """

    def __init__(self, registry: CollectorRegistry, stage: str) -> None:
        self.registry = registry
        self.stage = stage
        self._words: dict[str, set[str]] = {}

        self.frames = self._counter(FRAMES).labels(stage)
        self.faces = self._counter(FACES).labels(stage)
        self.batches = self._counter(BATCHES).labels(stage)
        self.batch_size = self._histogram(BATCH_SIZE).labels(stage)
        self.batch_seconds = self._histogram(BATCH_SECONDS).labels(stage)
        self.decode_errors = self._counter(DECODE_ERRORS).labels(stage)
        self.redeliveries = self._counter(REDELIVERIES).labels(stage)
        self.dead_letters = self._counter(DEAD_LETTERS).labels(stage)
        self.reconnects = self._counter(RECONNECTS).labels(stage)
        self.latency = self._histogram(LATENCY).labels(stage)
        self.camera_reopens = self._counter(CAMERA_REOPENS).labels(stage)
        self.missing = self._counter(MISSING).labels(stage)
        self.duplicates = self._counter(DUPLICATES).labels(stage)
        self.ready = self._gauge(READY).labels(stage)
        self.heartbeat_age = self._gauge(HEARTBEAT).labels(stage)
        self.redis_memory = self._gauge(REDIS_MEMORY).labels(stage)
        self.redis_memory_limit = self._gauge(REDIS_MEMORY_LIMIT).labels(stage)

        self._dropped = self._counter(DROPPED)
        self._events = self._counter(EVENTS)
        self._events_left_out = self._counter(EVENTS_LEFT_OUT)
        self._results = self._gauge(RESULTS)
        self._results_room = self._gauge(RESULTS_ROOM)
        self._results_age = self._gauge(RESULTS_AGE)
        self._results_next = self._gauge(RESULTS_NEXT)
        self._results_removed = self._counter(RESULTS_REMOVED)
        self._results_paused = self._gauge(RESULTS_PAUSED)
        self._results_left_out = self._counter(RESULTS_LEFT_OUT)
        self._told: dict[Counter, float] = {}
        self._camera_problems = self._gauge(CAMERA_PROBLEMS)
        self._problems: set[str] = set()
        self._predictions = self._counter(PREDICTIONS)
        self._stream_entries = self._gauge(STREAM_ENTRIES)
        self._lag_entries = self._gauge(LAG_ENTRIES)
        self._lag_seconds = self._gauge(LAG_SECONDS)
        self._model = self._info(MODEL)
        self._info(BUILD).labels(stage).info({"version": __version__})

        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def batch(self, size: int, seconds: float) -> None:
        """Count one processed batch of `size` messages that took `seconds`."""
        self.batches.inc()
        self.batch_size.observe(size)
        self.batch_seconds.observe(seconds)

    def dropped(self, reason: str) -> Counter:
        """Frames given up for `reason`, a short word such as `stale`."""
        return self._dropped.labels(self.stage, self._word("reason", reason))

    def events(self, kind: str) -> Counter:
        """Events of this kind."""
        return self._events.labels(self.stage, self._word("kind", kind))

    def events_left_out(self, output: str) -> Counter:
        """What an output (`mqtt`, `webhook`) could not pass on."""
        return self._events_left_out.labels(self.stage, output)

    def kept(
        self,
        size: int,
        room: float,
        age: float,
        next_removal: float,
        removed: int,
        paused: Mapping[str, bool],
        left_out: Mapping[str, int],
    ) -> None:
        """What is kept of the results: bytes, bytes left, seconds, seconds, bytes in all so far; by output whether
        it is paused, and how many results it has left out so far. What has no bound is infinite."""
        self._results.labels(self.stage).set(size)
        self._results_room.labels(self.stage).set(room)
        self._results_age.labels(self.stage).set(age)
        self._results_next.labels(self.stage).set(next_removal)
        self._count_up(self._results_removed.labels(self.stage), removed)
        for output, is_paused in paused.items():
            self._results_paused.labels(self.stage, output).set(is_paused)
        for output, count in left_out.items():
            self._count_up(self._results_left_out.labels(self.stage, output), count)

    def _count_up(self, counter: Counter, total: float) -> None:
        """Bring a counter to what somebody else has counted."""
        counter.inc(max(0, total - self._told.get(counter, 0)))
        self._told[counter] = total

    def camera_problems(self, by_reason: Mapping[str, int]) -> None:
        """How many cameras have no picture, by a short word for the reason; the other reasons become 0."""
        words = {self._word("problem", reason): count for reason, count in by_reason.items()}
        self._problems |= words.keys()
        for word in self._problems:
            self._camera_problems.labels(self.stage, word).set(words.get(word, 0))

    def predictions(self, emotion: str) -> Counter:
        """Faces whose most probable label is `emotion`."""
        return self._predictions.labels(self.stage, self._word("emotion", emotion))

    def stream_entries(self, stream: str) -> Gauge:
        """Length of `stream`, called by its kind (`frames`), not by its whole key."""
        return self._stream_entries.labels(self.stage, stream)

    def lag_entries(self, stream: str, group: str) -> Gauge:
        """Entries of `stream` that `group` has not finished."""
        return self._lag_entries.labels(self.stage, stream, group)

    def lag_seconds(self, stream: str, group: str) -> Gauge:
        """Seconds that `group` is behind in `stream`."""
        return self._lag_seconds.labels(self.stage, stream, group)

    def model(self, id: str, precision: str = "", backend: str = "") -> None:
        """Say which model this process works with."""
        self._model.labels(self.stage, id, precision, backend).info({})

    def _counter(self, spec: Spec) -> Counter:
        return Counter(spec.name, spec.help, ("stage", *spec.labels), unit=spec.unit, registry=self.registry)

    def _gauge(self, spec: Spec) -> Gauge:
        return Gauge(spec.name, spec.help, ("stage", *spec.labels), unit=spec.unit, registry=self.registry)

    def _histogram(self, spec: Spec) -> Histogram:
        return Histogram(
            spec.name,
            spec.help,
            ("stage", *spec.labels),
            unit=spec.unit,
            registry=self.registry,
            buckets=spec.buckets,
        )

    def _info(self, spec: Spec) -> Info:
        return Info(spec.name, spec.help, ("stage", *spec.labels), registry=self.registry)

    def _word(self, label: str, value: str) -> str:
        """`value`, or `other` where it is not a word or there are too many: streams are not to be trusted."""
        seen = self._words.setdefault(label, set())
        if value not in seen:
            if not WORD.fullmatch(value) or len(seen) >= MAX_WORDS:
                return "other"
            seen.add(value)
        return value
