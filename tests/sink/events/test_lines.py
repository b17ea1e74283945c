"""The output `events=FILE`, and what the settings of events mean."""

import json
import subprocess
from pathlib import Path

import pytest

from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.settings.cli import Command
from emotion_stream.shared.settings.result_options import EventOptions
from emotion_stream.sink.catalogue import files, open_outputs, parse, truncate, written
from emotion_stream.sink.claims import claims
from emotion_stream.sink.events.lines import KNOWN, EventLines
from emotion_stream.sink.events.names import camera_names, webhook_secret
from tests.emotion.conftest import command
from tests.support.events import check, make_event


def ids(path: Path) -> list[str]:
    return [check(json.loads(line))["id"] for line in path.read_text().splitlines()]


def test_a_successor_goes_on_behind_the_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = EventLines(str(path))
    for n in range(5):
        first.tell(make_event(n, name="Küche"))
    first.close()
    with path.open("ab") as file:
        file.write(b'{"version": 1, "id": "ab')
    second = EventLines(str(path))
    for n in range(3, 8):
        second.tell(make_event(n))
    second.close()
    assert ids(path) == [make_event(n).id for n in range(8)]
    assert "Küche" in path.read_text()


def test_what_was_not_flushed_is_given_up_where_another_has_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    output = EventLines(str(path))
    output.tell(make_event(0))
    output.flush()
    output.tell(make_event(1))
    output.forget()
    output.close()
    assert ids(path) == [make_event(0).id]


def test_it_remembers_a_bounded_number_of_events(tmp_path: Path) -> None:
    output = EventLines(str(tmp_path / "events.jsonl"))
    for n in range(2 * KNOWN):
        output.tell(make_event(n))
    output.close()
    assert len(output._known) == len(output._ids) == KNOWN


@pytest.mark.parametrize(
    "content", ["hello\n", '{"camera": "a", "epoch": "b", "seq": 1}\n', "[1]\n", '{"version": 1}\n']
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(content)
    with pytest.raises(EmotionError, match="holds something else than events"):
        EventLines(str(path))
    with pytest.raises(EmotionError, match="--force"):
        truncate([f"events={path}"])
    assert path.read_text() == content


def test_a_new_run_begins_its_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    output = EventLines(str(path))
    output.tell(make_event())
    output.close()
    truncate([f"events={path}"])
    assert path.read_text() == ""


def test_which_outputs_are_files() -> None:
    sent = ["mqtt://u:p=1@host/a=b", "mqtts://host", "webhook=https://host/x?a=b", "web"]
    specs = ["events=e.jsonl", "jsonl=-", *sent]
    assert files(specs) == written(specs) == ["e.jsonl", "-"]
    assert [claim.path.name for claim in claims(specs)] == ["e.jsonl"]
    parsed = parse(specs)
    assert [spec.kind for spec in parsed] == ["events", "jsonl", "mqtt", "mqtt", "webhook", "web"]
    assert [spec.is_file for spec in parsed] == [True, False, False, False, False, False]
    assert parsed[2].target == sent[0]


def test_events_and_results_cannot_both_go_to_standard_output() -> None:
    assert parse(["events=-"])
    with pytest.raises(UsageError, match="two outputs go to '-'"):
        parse(["events=-", "jsonl=-"])


@pytest.mark.parametrize("text", ["hall", "=x", "ha/ll=x", "hall=", "hall= ", "hall=a\nb", f"hall={'x' * 101}"])
def test_a_name_of_a_camera_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--camera-name"):
        camera_names(EventOptions(camera_name=(text,)))


def test_names_of_cameras() -> None:
    options = EventOptions(camera_name=("hall=Eingang/Süd +#", "b.2=玄関"))
    assert camera_names(options) == {"hall": "Eingang/Süd +#", "b.2": "玄関"}


def test_the_secret_of_webhooks(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from the file\n")
    assert webhook_secret(EventOptions(webhook_secret="given")) == "given"
    assert webhook_secret(EventOptions(webhook_secret_file=str(file))) == "from the file"
    with pytest.raises(EmotionError, match=r"--webhook-secret-file .* cannot be read"):
        open_outputs(["webhook=http://127.0.0.1:9"], events=EventOptions(webhook_secret_file=str(tmp_path / "no")))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--output", "mqtt://u:SECRET@"], "output mqtt://...: name an address"),
        (["--output", "webhook=https:///SECRET"], "output webhook=...: name an address"),
        (["--output", "webhook=https://127.0.0.1:9/SECRET", "--camera-name", "x"], "--camera-name"),
        (["--output", "mqtts://127.0.0.1:9", "--mqtt-ca", "/nowhere"], "--mqtt-ca /nowhere cannot be used"),
        (["--output", "mqtts://127.0.0.1:9", "--mqtt-password-file", "/nowhere"], "/nowhere cannot be read"),
    ],
)
def test_a_run_refuses_what_is_wrong_in_one_line(flags: list[str], told: str) -> None:
    run = command("run", "sample", *flags, "--webhook-secret", "SECRET")
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "SECRET" not in done.stderr
    assert "a password on the command line can be read" in done.stderr


def test_secrets_are_hidden_where_settings_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    settings: tuple[type, ...] = (EventOptions,)
    told = Command("x", "", settings, lambda values: None, is_stage=True)
    told._tell({"webhook_secret": "SECRET", "mqtt_ca": "ca.pem"})
    assert caplog.messages == ["settings: webhook_secret=*** mqtt_ca=ca.pem"]


def test_addresses_are_hidden_where_settings_are_told() -> None:
    from emotion_stream.shared.settings.cli import shown

    outputs = ("jsonl=a", "webhook=https://hooks.example.com/services/SECRET?x=y", "mqtt://me:SECRET@host/home")
    assert shown("output", outputs) == "jsonl=a webhook=https://hooks.example.com/*** mqtt://me:***@host/home"
