"""Addresses of brokers, and files that settings of MQTT name."""

from typing import Any

import pytest

from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.settings.result_options import EventOptions
from emotion_stream.sink.events.broker import parse_broker
from emotion_stream.sink.events.mqtt import Mqtt


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://host", ("host", 1883, False, "emotion", "", "")),
        ("mqtts://host", ("host", 8883, True, "emotion", "", "")),
        ("mqtt://u:p%40%2F@h:1884/a/b", ("h", 1884, False, "a/b", "u", "p@/")),
        ("mqtt://u:p@q@h/", ("h", 1883, False, "emotion", "u", "p@q")),
        ("mqtt://[::1]:1885/x", ("::1", 1885, False, "x", "", "")),
        ("mqtt://h/+/#/$", ("h", 1883, False, "_/_/$", "", "")),
        ("mqtt://h/%24SYS/", ("h", 1883, False, "_SYS", "", "")),
        ("mqtt://h/k%C3%BCche", ("h", 1883, False, "küche", "", "")),
        ("mqtt://h/a%00b", ("h", 1883, False, "a_b", "", "")),
    ],
)
def test_addresses(url: str, expected: tuple[Any, ...]) -> None:
    broker = parse_broker(url)
    assert (broker.host, broker.port, broker.tls, broker.prefix, broker.user, broker.password) == expected
    assert "p@" not in broker.shown + repr(broker)


@pytest.mark.parametrize(
    "url", ["mqtt://", "mqtt:///x", "mqtt://u:SECRET@", "mqtt://u:SECRET@h:99999999/", "mqtt://h?x"]
)
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError, match="name an address such as") as caught:
        parse_broker(url)
    assert "SECRET" not in str(caught.value)
    with pytest.raises(UsageError, match="longer than"):
        parse_broker("mqtt://h/" + "x" * 201)


@pytest.mark.parametrize(
    "options",
    [
        EventOptions(mqtt_password_file="/nowhere/secret"),
        EventOptions(mqtt_ca="/nowhere/ca.pem"),
        EventOptions(mqtt_cert="/nowhere/cert.pem"),
        EventOptions(mqtt_key="/nowhere/key.pem"),
        EventOptions(mqtt_ca=__file__),
    ],
)
def test_a_file_that_is_not_there_or_something_else_is_one_line(options: EventOptions) -> None:
    with pytest.raises(EmotionError, match=r"^--mqtt-") as caught:
        Mqtt(parse_broker("mqtts://127.0.0.1:9"), options)
    assert "\n" not in str(caught.value)
