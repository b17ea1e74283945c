"""What Home Assistant finds of our cameras with a real Mosquitto, and what is retained."""

import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest

from emotion_stream.shared.settings.result_options import EventOptions
from emotion_stream.sink.events.broker import parse_broker
from emotion_stream.sink.events.discovery import described
from emotion_stream.sink.events.mqtt import Mqtt
from tests.support.broker import FAST, QUIET, Heard, broker, needs_mosquitto, telling
from tests.support.events import until
from tests.support.web_feed import make_result

pytestmark = needs_mosquitto


def test_home_assistant_finds_a_device_for_each_camera_and_loses_those_that_are_gone(tmp_path: Path) -> None:
    with broker(tmp_path) as mosquitto:
        both = {"hall": "Eingang Süd/+#", "back.door": "Hintertür"}
        url = f"mqtt://127.0.0.1:{mosquitto.port}/haus/%2B%23/%C3%9Cber"
        with telling(mosquitto, EventOptions(), cameras=both, url=url), mosquitto.ear() as ear:
            until(lambda: len(announced(ear.heard)) == 6 and ear.on("haus/__/Über/hall/state"))
            found = announced(ear.heard)
        devices = {told["device"]["identifiers"][0]: told["device"]["name"] for told in found.values()}
        assert sorted(devices.values()) == ["Eingang Süd/+#", "Hintertür"]
        assert len({told["unique_id"] for told in found.values()}) == 6
        for topic, told in found.items():
            assert re.fullmatch(r"homeassistant/(binary_)?sensor/[a-zA-Z0-9_-]+/[a-z]+/config", topic)
            assert told["state_topic"] in ("haus/__/Über/hall/state", "haus/__/Über/back.door/state")
            assert told["availability"][0] == {"topic": "haus/__/Über/status"}
        with mosquitto.ear() as later:  # nobody tells any more, and all is there
            until(lambda: len(announced(later.heard)) == 6)
            assert all(heard.retained for heard in later.heard)
        with telling(mosquitto, EventOptions(), url=url):  # it does not know which cameras there are
            time.sleep(0.5)
            with mosquitto.ear() as later:
                until(lambda: len(announced(later.heard)) == 6)
        with telling(mosquitto, EventOptions(), cameras={"hall": "Halle"}, url=url) as mqtt:
            until(lambda: mqtt._withdrawn == set() and mqtt._announced)
            time.sleep(0.5)
            with mosquitto.ear() as later:
                until(lambda: len(announced(later.heard)) == 3)
                time.sleep(0.2)
        assert {told["device"]["name"] for told in announced(later.heard).values()} == {"Halle"}
        assert later.on("haus/__/Über/back.door/state") == []


def test_two_that_share_a_prefix_leave_each_other_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with broker(tmp_path) as mosquitto, telling(mosquitto, EventOptions(), cameras={"hall": "Hall"}) as first:
        until(lambda: first._announced and not first._waits())
        assert "same prefix" not in caplog.text
        with telling(mosquitto, EventOptions(), cameras={"door": "Door"}) as second:
            until(lambda: second._announced and not second._waits())
            until(lambda: "another program tells below the same prefix, emotion/" in caplog.text)
            time.sleep(0.3)
            with mosquitto.ear() as ear:
                until(lambda: len(announced(ear.heard)) == 6)
        with mosquitto.ear() as ear:  # the one that has gone said offline, the other corrects it
            until(lambda: ear.on("emotion/status") and ear.on("emotion/status")[-1].payload == "online")


def test_names_are_told_also_of_cameras_that_were_not_expected(tmp_path: Path) -> None:
    options = replace(QUIET, camera_name=("cam=Küche",))
    with broker(tmp_path) as mosquitto, mosquitto.ear() as ear:
        mqtt = Mqtt(parse_broker(f"mqtt://127.0.0.1:{mosquitto.port}"), options, pace=FAST)
        mqtt.write(make_result(), None)
        until(lambda: ear.on("emotion/cam/state"))
        mqtt.close()
    assert ear.on("emotion/cam/state")[-1].json()["name"] == "Küche"


def announced(heard: list[Heard]) -> dict[str, Any]:
    """Topics of discovery to what they say, without those that were withdrawn."""
    newest = {message.topic: message.payload for message in heard if message.topic.startswith("homeassistant/")}
    return {topic: json.loads(payload) for topic, payload in newest.items() if payload}


def test_templates_of_home_assistant_read_our_states() -> None:
    """Jinja is what Home Assistant renders them with."""
    about = described("emotion", "cam", "Cam")
    state = {"online": True, "faces": 2, "emotion": "happy"}

    def shown(sensor: str, **changes: Any) -> str:
        template = jinja2.Template(about[sensor]["value_template"])
        return str(template.render(value_json=state | changes))

    assert (shown("faces"), shown("emotion"), shown("online")) == ("2", "happy", "ON")
    assert (shown("emotion", emotion=None), shown("online", online=False)) == ("nobody", "OFF")


def test_the_broker_of_compose_starts_with_its_settings_and_keeps_what_is_retained(tmp_path: Path) -> None:
    told = (Path(__file__).parents[3] / "deploy" / "mosquitto" / "mosquitto.conf").read_text()
    lines = told.replace("/mosquitto/data/", f"{tmp_path}/").replace("listener 1883\n", "").splitlines()
    with broker(tmp_path, *lines) as mosquitto:
        with telling(mosquitto, EventOptions(), cameras={"cam": "Cam"}) as mqtt:
            until(lambda: mqtt._connected and mqtt._announced and not mqtt._waits())
        mosquitto.signal(signal.SIGTERM)
        assert mosquitto.process is not None
        assert mosquitto.process.wait(10) == 0
        mosquitto.start()
        with mosquitto.ear() as ear:
            until(lambda: len(announced(ear.heard)) == 3 and ear.on("emotion/status"))
        assert ear.on("emotion/status")[-1].payload == "offline"


def test_a_camera_that_was_let_go_is_withdrawn_and_one_that_came_later_stays(tmp_path: Path) -> None:
    both = {"hall": "Hall", "yard": "Yard"}
    with broker(tmp_path) as mosquitto, telling(mosquitto, EventOptions(), cameras=both) as mqtt:
        mqtt.write(make_result(camera="door"), None)
        until(lambda: mqtt._announced.keys() == {"hall", "yard", "door"} and not mqtt._waits())
        mqtt.let_go("hall")
        until(lambda: not mqtt._withdrawn and not mqtt._waits())
        mosquitto.kill()  # whoever connects again hears what is retained, and must not withdraw what is there
        mosquitto.start()
        until(lambda: mqtt._connected and mqtt._announced.keys() == {"yard", "door"} and not mqtt._waits())
        with mosquitto.ear() as ear:
            until(lambda: len(announced(ear.heard)) == 6)
        assert {told["device"]["name"] for told in announced(ear.heard).values()} == {"Yard", "door"}
        mqtt.write(make_result(camera="hall"), None)  # it is back
        until(lambda: "hall" in mqtt._announced)
