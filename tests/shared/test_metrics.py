"""Metrics and the health server, over real HTTP."""

import http.client
import math
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import emotion_stream
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.process import metrics as metrics_module
from emotion_stream.shared.process.health import HealthServer, Heartbeat, Route
from emotion_stream.shared.process.metrics import MAX_WORDS, Metrics, Spec

SPECS = [value for value in vars(metrics_module).values() if isinstance(value, Spec)]


def exported(registry: CollectorRegistry) -> dict[str, str]:
    """Names and types of what Prometheus would read."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {family.name: family.type for family in families}


def test_names_follow_the_rules() -> None:
    assert len({spec.name for spec in SPECS}) == len(SPECS)
    for spec in SPECS:
        assert re.fullmatch(r"emotion(_[a-z]+)+", spec.name)
        assert not spec.name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))
        assert spec.help
        assert not spec.help.endswith(".")
        assert not spec.unit or spec.name.endswith("_" + spec.unit)
        assert spec.unit in ("", "seconds", "bytes")


def test_every_declared_metric_is_exported_for_its_stage() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, "detector")
    metrics.dropped("stale").inc()
    metrics.predictions("happy").inc()
    metrics.stream_entries("frames").set(3)
    metrics.lag_entries("frames", "detector").set(2)
    metrics.lag_seconds("frames", "detector").set(0.25)
    metrics.model("fer-1", "int8", "openvino")
    names = exported(registry)
    for spec in SPECS:
        assert spec.name in names or spec.name + "_info" in names
    value = registry.get_sample_value
    assert value("emotion_dropped_frames_total", {"stage": "detector", "reason": "stale"}) == 1
    assert value("emotion_lag_seconds", {"stage": "detector", "stream": "frames", "group": "detector"}) == 0.25
    assert value("emotion_build_info", {"stage": "detector", "version": emotion_stream.__version__}) == 1
    model = {"stage": "detector", "id": "fer-1", "precision": "int8", "backend": "openvino"}
    assert value("emotion_model_info", model) == 1
    assert value("emotion_frames_total", {"stage": "detector"}) == 0, "counters start at 0, not absent"


def test_every_metric_is_documented() -> None:
    registry = CollectorRegistry()
    Metrics(registry, "sink")
    suffix = {"counter": "_total", "info": "_info"}
    text = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    for family in registry.collect():
        if family.name.startswith("emotion_"):
            assert re.search(rf"`{family.name}{suffix.get(family.type, '')}[`{{]", text), family.name


def test_process_collectors_are_included() -> None:
    registry = CollectorRegistry()
    Metrics(registry, "sink")
    assert {"python_info", "python_gc_collections"} <= exported(registry).keys()


def test_a_batch_counts_in_three_places() -> None:
    registry = CollectorRegistry()
    Metrics(registry, "classifier").batch(8, 0.02)
    stage = {"stage": "classifier"}
    assert registry.get_sample_value("emotion_batches_total", stage) == 1
    assert registry.get_sample_value("emotion_batch_size_sum", stage) == 8
    assert registry.get_sample_value("emotion_batch_duration_seconds_sum", stage) == 0.02


def test_latency_buckets_reach_from_5_ms_to_5_s() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, "sink")
    metrics.latency.observe(0.004)
    metrics.latency.observe(4.9)
    bucket = "emotion_end_to_end_latency_seconds_bucket"
    assert registry.get_sample_value(bucket, {"stage": "sink", "le": "0.005"}) == 1
    assert registry.get_sample_value(bucket, {"stage": "sink", "le": "2.5"}) == 1
    assert registry.get_sample_value(bucket, {"stage": "sink", "le": "5.0"}) == 2


def test_words_out_of_a_stream_cannot_flood_the_labels() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, "sink")
    for i in range(1000):
        metrics.dropped(f"word{i}").inc()
    metrics.dropped("not a word\n").inc()
    metrics.dropped("word0").inc()
    text = generate_latest(registry).decode()
    assert len(re.findall(r"^emotion_dropped_frames_total{", text, re.MULTILINE)) == MAX_WORDS + 1
    value = registry.get_sample_value
    assert value("emotion_dropped_frames_total", {"stage": "sink", "reason": "word0"}) == 2
    assert value("emotion_dropped_frames_total", {"stage": "sink", "reason": "other"}) == 1001 - MAX_WORDS


def test_what_is_kept_is_told_in_figures() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, "sink")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"stage": "sink", **labels})

    assert value("emotion_results_bytes") is None  # nothing is kept in order
    for removed, left_out in ((5, 1), (7, 1), (7, 4)):
        metrics.kept(10, math.inf, 3.0, 2.5, removed, {"jsonl": False, "video": True}, {"video": left_out})
    assert (value("emotion_results_bytes"), value("emotion_results_room_bytes")) == (10, math.inf)
    assert (value("emotion_results_age_seconds"), value("emotion_results_next_removal_seconds")) == (3, 2.5)
    assert value("emotion_results_removed_bytes_total") == 7
    assert value("emotion_results_left_out_total", output="video") == 4
    assert value("emotion_results_paused", output="video") == 1
    assert value("emotion_results_paused", output="jsonl") == 0


def test_two_registries_do_not_meet() -> None:
    one, two = CollectorRegistry(), CollectorRegistry()
    Metrics(one, "detector").frames.inc()
    Metrics(two, "detector")
    assert two.get_sample_value("emotion_frames_total", {"stage": "detector"}) == 0


# --- health ------------------------------------------------------------------------------------------------


class Health:
    """A running server and what its checks say."""

    def __init__(self, routes: dict[str, Route] | None = None) -> None:
        self.live, self.is_ready = True, False
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, "detector")
        self.server = HealthServer("127.0.0.1", 0, self.registry, lambda: self.live, lambda: self.is_ready, routes)

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=5)) as connection:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.headers.get("Content-Type", ""), response.read()


@contextmanager
def running(routes: dict[str, Route] | None = None) -> Iterator[Health]:
    health = Health(routes)
    health.server.start()
    try:
        yield health
    finally:
        health.server.stop()


def test_health_follows_the_checks() -> None:
    with running() as health:
        assert health.server.port > 0
        assert health.get("/livez")[::2] == (200, b"live\n")
        assert health.get("/readyz")[::2] == (503, b"unready\n")
        health.live, health.is_ready = False, True
        assert health.get("/livez")[::2] == (503, b"stuck\n")
        assert health.get("/readyz?verbose=1")[::2] == (200, b"ready\n")
        assert health.get("/nothing")[0] == 404
        assert health.get("/livez", method="HEAD")[::2] == (503, b"")
        assert health.get("/livez", method="POST")[0] == 501


def test_metrics_come_in_the_format_asked_for() -> None:
    with running() as health:
        health.metrics.frames.inc(3)
        status, kind, body = health.get("/metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        assert b'emotion_frames_total{stage="detector"} 3.0' in body
        _, kind, body = health.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")


def test_routes_are_served_and_a_failing_check_is_not_healthy() -> None:
    def broken() -> tuple[str, bytes]:
        raise RuntimeError("no")

    with running({"/targets": lambda: ("application/json", b"[]"), "/broken": broken}) as health:
        assert health.get("/targets") == (200, "application/json", b"[]")
        assert health.get("/broken")[::2] == (503, b"failed\n")
        assert health.get("/livez")[0] == 200


def test_a_slow_client_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emotion_stream.shared.process.health._Handler.timeout", 0.3)
    with running() as health, socket.create_connection(("127.0.0.1", health.server.port)) as slow:
        slow.sendall(b"GET /liv")
        started = time.monotonic()
        assert health.get("/livez")[0] == 200
        assert time.monotonic() - started < 0.3
        slow.settimeout(5)
        assert slow.recv(100) == b"", "hung up on"


def test_a_taken_port_is_one_line() -> None:
    with running() as health:
        second = HealthServer("127.0.0.1", health.server.port, health.registry, lambda: True, lambda: True)
        with pytest.raises(
            EmotionError, match=rf"^cannot serve metrics on 127\.0\.0\.1:{health.server.port} \(.*in use\)"
        ):
            second.start()
        second.stop()


def test_a_wrong_address_is_one_line() -> None:
    server = HealthServer("256.1.1.1", 0, CollectorRegistry(), lambda: True, lambda: True)
    with pytest.raises(EmotionError, match=r"^cannot serve metrics on 256\.1\.1\.1:0 "):
        server.start()


def test_stop_frees_the_port_and_may_be_repeated() -> None:
    health = Health()
    health.server.start()
    port = health.server.port
    health.server.stop()
    health.server.stop()
    again = HealthServer("127.0.0.1", port, health.registry, lambda: True, lambda: True)
    again.start()
    assert again.port == port
    again.stop()


def test_a_heartbeat_ages_until_the_next_beat() -> None:
    heartbeat = Heartbeat()
    time.sleep(0.05)
    assert 0.05 <= heartbeat.age() < 5
    heartbeat.beat()
    assert heartbeat.age() < 0.05
