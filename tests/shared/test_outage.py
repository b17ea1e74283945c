"""What a process says of itself while its server is away: not ready, alive, one outage, told once."""

import http.client
import logging
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.shard import Streams
from tests.conftest import append_frames
from tests.shared.test_worker import Echo, make_worker, until


def asked(service: Service, path: str) -> tuple[int, str]:
    """What its health port answers."""
    assert service._server is not None
    with closing(http.client.HTTPConnection("127.0.0.1", service._server.port, timeout=5)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def value(service: Service, name: str) -> float | None:
    return service.registry.get_sample_value(name, {"stage": service.stage})


@pytest.mark.parametrize("kind", ["worker", "watch"])
def test_an_outage_is_one_and_readiness_follows_it(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`worker` is the loop of detectors and classifiers (and of sinks), `watch` what a producer has."""
    monkeypatch.setattr("emotion_stream.shared.process.service.TICK", 0.1)
    caplog.set_level(logging.INFO, "emotion_stream.shared.process.service")
    server = EmbeddedServer(tmp_path, memory=64 << 20, durable=True)
    server.start()
    streams = Streams(connect(server.url), Keys("test"))
    append_frames(streams, 1)
    service, worker = make_worker(streams, Echo())
    service._options = CommonOptions(metrics_port=0)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    service.start()
    assert asked(service, "/readyz") == (503, "unready\n"), "not loaded yet"
    thread = threading.Thread(target=worker.run)
    stop_watching = service.watch(Streams(connect(server.url), Keys("test"))) if kind == "watch" else None
    if stop_watching is None:
        thread.start()
    try:
        until(lambda: asked(service, "/readyz") == (200, "ready\n"))
        time.sleep(0.7)  # a connection that has held for a while
        server.stop()
        until(lambda: asked(service, "/readyz") == (503, "unready\nRedis is away\n"))
        assert value(service, "emotion_ready") == 0
        time.sleep(1.5)  # a dozen attempts
        service.heartbeat.beat()
        assert asked(service, "/livez")[0] == 200, "nothing restarts because Redis is away"
        assert value(service, "emotion_reconnects_total") == 1
        server.start()
        until(lambda: asked(service, "/readyz") == (200, "ready\n"))
        assert value(service, "emotion_ready") == 1
        until(lambda: "Redis answers again" in caplog.messages)
        assert value(service, "emotion_reconnects_total") == 1
        assert [m for m in caplog.messages if "answers again" in m] == ["Redis answers again"]
        assert sum("trying again" in message for message in caplog.messages) == 1
    finally:
        service.stop.set()
        if stop_watching is not None:
            stop_watching()
        else:
            thread.join(10)
        service.close()
        server.stop()


def test_a_stage_that_lacks_what_it_needs_is_not_ready() -> None:
    service = Service("producer", "", CommonOptions(metrics_port=0))
    service.is_ready(None)
    assert service.ready
    service.check = lambda: (False, "cameras: 0 of 1\nhall: no such camera\n")
    assert not service.ready
    assert service._about() == "cameras: 0 of 1\nhall: no such camera\n"
