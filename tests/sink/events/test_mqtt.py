"""MQTT against a real Mosquitto: what is heard, and what happens when the broker is away, deaf or refuses."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from emotion_stream.sink.events.broker import parse_broker
from emotion_stream.sink.events.event import Event
from emotion_stream.sink.events.mqtt import AT_ONCE, Mqtt
from tests.support.broker import (
    FAST,
    LASTING,
    PASSWORD,
    QUIET,
    USER,
    broker,
    certificates,
    needs_mosquitto,
    password_file,
    telling,
)
from tests.support.events import check, make_event, until
from tests.support.web_feed import SAD, make_result

pytestmark = needs_mosquitto


def lost(name: str) -> Event:
    return Event("camera_lost", "cam", name, None, 1e9, more={"reason": "401 Unauthorized"})


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = (record for record in caplog.records if record.name.startswith("emotion_stream"))
    return [record.getMessage().partition(": ")[2] for record in ours]


def test_what_is_heard(tmp_path: Path) -> None:
    with broker(tmp_path) as mosquitto, mosquitto.ear() as ear:
        with telling(mosquitto, replace(QUIET, mqtt_frames=True), cameras={"cam": "Eingang Süd"}) as mqtt:
            until(lambda: ear.on("emotion/cam/state"))
            for n in range(3):
                mqtt.write(make_result(n, faces=2), None)
            mqtt.tell(make_event(2, name="Eingang Süd"))
            until(lambda: ear.on("emotion/cam/event") and len(ear.on("emotion/cam/frame")) == 3)
            until(lambda: ear.on("emotion/cam/state") and ear.on("emotion/cam/state")[-1].json()["faces"] == 2)
            mqtt.write(make_result(3, faces=1, probabilities=SAD), None)
            until(lambda: ear.on("emotion/cam/state")[-1].json()["emotion"] == "sad")
            state = ear.on("emotion/cam/state")[-1].json()
            mqtt.tell(lost("Eingang Süd"))
            until(lambda: not ear.on("emotion/cam/state")[-1].json()["online"])
        until(lambda: ear.on("emotion/status") and ear.on("emotion/status")[-1].payload == "offline")
    assert [heard.payload for heard in ear.on("emotion/status")] == ["online", "offline"]
    begin = {"camera": "cam", "name": "Eingang Süd", "online": False, "reason": None}
    assert ear.on("emotion/cam/state")[0].json() == begin | {"faces": 0, "emotion": None, "shares": {}}
    shares = {"happy": 0.857, "sad": 0.143}
    assert state == begin | {"online": True, "faces": 1, "emotion": "sad", "shares": shares}
    away = ear.on("emotion/cam/state")[-1].json()
    assert (away["reason"], away["faces"], away["emotion"]) == ("401 Unauthorized", 0, None)
    first, second = ear.on("emotion/cam/event")
    assert check(first.json())["id"] == make_event(2).id
    assert check(second.json())["kind"] == "camera_lost"
    assert [heard.json()["seq"] for heard in ear.on("emotion/cam/frame")] == [0, 1, 2, 3]
    assert {heard.topic.split("/")[0] for heard in ear.heard} == {"emotion"}


def test_whoever_comes_later_finds_status_and_states_and_no_old_events(tmp_path: Path) -> None:
    with broker(tmp_path) as mosquitto, telling(mosquitto, replace(QUIET, mqtt_frames=True)) as mqtt:
        mqtt.write(make_result(), None)
        mqtt.tell(make_event())
        with mosquitto.ear() as ear:
            until(lambda: ear.on("emotion/cam/state"))
        with mosquitto.ear() as later:
            until(lambda: len(later.heard) >= 2)
    assert {(heard.topic, heard.retained) for heard in later.heard} == {
        ("emotion/status", True),
        ("emotion/cam/state", True),
    }


def test_states_come_at_most_once_in_a_while(tmp_path: Path) -> None:
    with broker(tmp_path) as mosquitto, mosquitto.ear("emotion/cam/state") as ear:
        with telling(mosquitto, pace=replace(FAST, state=0.4)) as mqtt:
            begun = time.monotonic()
            for n in range(120):
                mqtt.write(make_result(n, faces=n % 3), None)
                time.sleep(0.01)
            took = time.monotonic() - begun
        assert 2 <= len(ear.heard) <= took / 0.4 + 2


def test_a_recording_at_its_end_is_offline_until_it_gives_more(tmp_path: Path) -> None:
    """And the last state is told on the way out, also where the one before it was told a moment ago."""
    with broker(tmp_path) as mosquitto, mosquitto.ear("emotion/cam/state") as ear:
        with telling(mosquitto) as mqtt:
            for n in range(2):
                mqtt.write(make_result(n), None)
                until(lambda n=n: len(ear.heard) == 2 * n + 1)  # type: ignore[misc]
                mqtt.ended("cam")
                until(lambda n=n: len(ear.heard) == 2 * n + 2)  # type: ignore[misc]
        with telling(mosquitto, pace=replace(FAST, state=60.0), cameras={"cam": "Cam"}) as mqtt:
            until(lambda: len(ear.heard) > 4)
            mqtt.write(make_result(2), None)
            mqtt.ended("cam")
        until(lambda: len(ear.heard) > 5 and ear.heard[-1].json()["reason"])
    states = [(s["online"], s["reason"], s["faces"]) for s in (heard.json() for heard in ear.heard)]
    states = [state for n, state in enumerate(states) if n == 0 or state != states[n - 1]]
    assert states == [(True, None, 1), (False, "ended", 0)] * 2 + [(False, None, 0), (False, "ended", 0)]


def test_a_process_that_is_killed_leaves_offline(tmp_path: Path) -> None:
    program = (
        "import sys, time; from emotion_stream.sink.events.mqtt import *;"
        "from emotion_stream.sink.events.broker import parse_broker;"
        "m = Mqtt(parse_broker(sys.argv[1]), EventOptions(), ['cam']); time.sleep(60)"
    )
    with broker(tmp_path) as mosquitto, mosquitto.ear("emotion/status") as ear:
        command = [sys.executable, "-c", program, f"mqtt://127.0.0.1:{mosquitto.port}"]
        process = subprocess.Popen(command, env={**os.environ})
        until(lambda: [heard.payload for heard in ear.heard] == ["online"])
        process.kill()
        process.wait()
        until(lambda: [heard.payload for heard in ear.heard] == ["online", "offline"])
        with mosquitto.ear("emotion/status") as later:
            until(lambda: [(heard.payload, heard.retained) for heard in later.heard] == [("offline", True)])


def test_the_will_of_another_does_not_make_us_offline(tmp_path: Path) -> None:
    with broker(tmp_path) as mosquitto, telling(mosquitto), mosquitto.ear("emotion/status") as ear:
        until(lambda: ear.heard)
        command = ["mosquitto_pub", "-p", str(mosquitto.port), "-t", "emotion/status", "-m", "offline", "-r"]
        subprocess.run(command, check=True)
        until(lambda: [heard.payload for heard in ear.heard][-2:] == ["offline", "online"])


# paho leaves a socket whose handshake has failed to Python's collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_with_a_client_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = certificates(tmp_path / "certs")
    flags = ["--cafile", str(files["ca"]), "--cert", str(files["client"]), "--key", str(files["client.key"])]
    lines = [f"cafile {files['ca']}", f"certfile {files['server']}", f"keyfile {files['server.key']}"]
    lines += ["require_certificate true", "allow_anonymous true"]
    ours = replace(
        QUIET, mqtt_ca=str(files["ca"]), mqtt_cert=str(files["client"]), mqtt_key=str(files["client.key"])
    )
    with broker(tmp_path, *lines, flags=flags) as mosquitto, mosquitto.ear("emotion/cam/event") as ear:
        url = f"mqtts://127.0.0.1:{mosquitto.port}"
        with telling(mosquitto, ours, url=url) as mqtt:
            mqtt.tell(make_event())
            until(lambda: ear.heard)
        caplog.clear()
        with telling(mosquitto, replace(ours, mqtt_ca=str(files["other"])), url=url) as mqtt:
            until(lambda: any("its certificate is not trusted" in line for line in messages(caplog)))
            time.sleep(0.5)
            assert len(messages(caplog)) == 1
        caplog.clear()
        with telling(mosquitto, replace(ours, mqtt_cert=None, mqtt_key=None), url=url) as mqtt:
            until(lambda: messages(caplog))
            assert len(messages(caplog)) == 1
            assert not mqtt._connected


@pytest.mark.parametrize("by_file", [False, True])
def test_a_password_and_a_wrong_one(tmp_path: Path, caplog: pytest.LogCaptureFixture, by_file: bool) -> None:
    caplog.set_level(logging.INFO)
    lines = ["allow_anonymous false", f"password_file {password_file(tmp_path)}"]
    secret = tmp_path / "secret"
    flags = ["-u", USER, "-P", PASSWORD]
    with broker(tmp_path, *lines, flags=flags) as mosquitto, mosquitto.ear("emotion/cam/event") as ear:
        for word in ("wrong", PASSWORD):
            secret.write_text(f"{word}\n")
            user = USER if by_file else f"{USER}:{quote(word, safe='')}"
            options = replace(QUIET, mqtt_password_file=str(secret) if by_file else None)
            with telling(mosquitto, options, url=f"mqtt://{user}@127.0.0.1:{mosquitto.port}") as mqtt:
                mqtt.tell(make_event())
                until(lambda: messages(caplog) if word == "wrong" else ear.heard)  # noqa: B023
                time.sleep(0.5 if word == "wrong" else 0)
            told = [line for line in messages(caplog) if "never sent" not in line]
            if word == "wrong":
                assert told == ["it refuses the connection (not authorized): trying again"]
            assert PASSWORD not in caplog.text
            assert quote(PASSWORD, safe="") not in caplog.text
    assert len(ear.heard) == 1


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_broker_that_is_away_for_a_while_misses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Killed, and started again on the same port; or stopped with SIGSTOP, which only silence tells."""
    caplog.set_level(logging.INFO)
    left_out: list[int] = []
    with (
        broker(tmp_path, *LASTING) as mosquitto,
        mosquitto.ear("emotion/cam/event", lasting="ear") as ear,
        telling(mosquitto, left_out=left_out.append) as mqtt,
    ):
        for n in range(10):
            mqtt.tell(make_event(n))
        until(lambda: len(ear.heard) == 10 and not mqtt._waits())
        before = ids(0, 10)
        if how == "killed":
            mosquitto.kill()
        else:
            mosquitto.signal(signal.SIGSTOP)
        slowest = 0.0
        for n in range(10, 60):
            begun = time.thread_time()
            mqtt.tell(make_event(n))
            mqtt.write(make_result(n), None)
            slowest = max(slowest, time.thread_time() - begun)
        assert slowest < 0.05
        until(lambda: any("trying again" in line for line in messages(caplog)))
        for n in range(60, 100):
            mqtt.tell(make_event(n))
        time.sleep(1.0)
        if how == "stopped":
            mosquitto.signal(signal.SIGCONT)
        else:
            mosquitto.start()
        until(lambda: len(set(ear.events(before))) == 90 and not mqtt._waits())
        with mosquitto.ear("emotion/status", "emotion/cam/state") as later:
            until(lambda: len(later.heard) >= 2)
        assert later.on("emotion/status")[-1].payload == "online"
    heard = ear.events(before)
    assert list(dict.fromkeys(heard)) == ids(10, 100)
    # What a broker has read and not acknowledged before it fell silent is sent to it once more: QoS 1 means that.
    assert len(heard) - 90 <= (AT_ONCE if how == "stopped" else 0)
    assert left_out == []
    told = messages(caplog)
    assert sum("trying again" in line for line in told) == 1, told
    assert sum("connected again" in line for line in told) == 1, told


def ids(first: int, after: int) -> list[str]:
    return [make_event(n).id for n in range(first, after)]


@pytest.mark.parametrize("how", ["killed", "stopped", "never there"])
def test_a_full_queue_leaves_out_the_oldest_and_counts_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.INFO)
    left_out: list[int] = []
    there = how != "never there"
    with contextlib.ExitStack() as stack:
        mosquitto = stack.enter_context(broker(tmp_path, *LASTING, started=there))
        ear = stack.enter_context(mosquitto.ear("emotion/cam/event", lasting="ear")) if there else None
        mqtt = stack.enter_context(telling(mosquitto, left_out=left_out.append, most=30))
        if there:
            until(lambda: mqtt._connected)
        if how == "killed":
            mosquitto.kill()
            until(lambda: not mqtt._connected)
        elif how == "stopped":
            mosquitto.signal(signal.SIGSTOP)
            until(lambda: not mqtt._connected)
        for n in range(100):
            mqtt.tell(make_event(n))
        if how == "stopped":
            mosquitto.signal(signal.SIGCONT)
        else:
            mosquitto.start()
        until(lambda: mqtt._connected and not mqtt._waits())
        if ear is not None:
            until(lambda: len(ear.heard) >= 30)
    if ear is not None:
        assert ear.events() == ids(70, 100)
    assert sum(left_out) == 70
    assert "70 messages were left out" in caplog.text or not there


def test_a_broker_that_takes_less_than_comes_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands still, for too short a time to count as away."""
    caplog.set_level(logging.INFO)
    left_out: list[int] = []
    with (
        broker(tmp_path) as mosquitto,
        mosquitto.ear("emotion/cam/event") as ear,
        telling(mosquitto, pace=replace(FAST, alive=60), left_out=left_out.append, most=30) as mqtt,
    ):
        until(lambda: mqtt._connected and not mqtt._waits())
        mosquitto.signal(signal.SIGSTOP)
        for n in range(100):
            mqtt.tell(make_event(n))
        until(lambda: "takes less than comes" in caplog.text)
        mosquitto.signal(signal.SIGCONT)
        until(lambda: "keeps up again" in caplog.text and not mqtt._waits())
        until(lambda: len(ear.heard) == 100 - sum(left_out))
    assert ear.events()[-30:] == ids(70, 100)
    assert 100 - 30 - AT_ONCE <= sum(left_out) <= 70
    assert messages(caplog) == [
        "connected; topics begin with emotion/",
        "it takes less than comes: the oldest is left out",
        f"it keeps up again; {sum(left_out)} messages were left out",
    ]


@pytest.mark.parametrize("how", ["there", "stopped", "never there", "a black hole"])
def test_the_way_out_is_short(tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str) -> None:
    with broker(tmp_path, started=how != "never there") as mosquitto, contextlib.ExitStack() as stack:
        url = ""
        if how == "a black hole":  # answers nothing, and takes no connection either
            deaf = stack.enter_context(socket.socket())
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            fillers = [stack.enter_context(socket.socket()) for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    filler.connect(deaf.getsockname())
            url = f"mqtt://127.0.0.1:{deaf.getsockname()[1]}"
        mqtt = Mqtt(parse_broker(url or f"mqtt://127.0.0.1:{mosquitto.port}"), QUIET, pace=replace(FAST, alive=30))
        ear = stack.enter_context(mosquitto.ear("emotion/cam/event")) if how == "there" else None
        if how in ("there", "stopped"):
            until(lambda: mqtt._connected)
        if how == "stopped":
            mosquitto.signal(signal.SIGSTOP)
        for n in range(500):
            mqtt.tell(make_event(n))
        begun = time.monotonic()
        mqtt.close()
        mqtt.close()
        took = time.monotonic() - begun
        if ear is not None:
            until(lambda: len(ear.heard) == 500)
            assert "never sent" not in caplog.text
        else:
            assert "500 messages were never sent" in caplog.text
    assert took < 3.2
    assert not mqtt._thread.is_alive()
