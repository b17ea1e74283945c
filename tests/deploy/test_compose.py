"""`docker-compose.yml` and what goes with it, without an engine: settings, the programs of a container."""

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from emotion_stream.classifier_worker.__main__ import COMMAND as CLASSIFIER
from emotion_stream.detector_worker.__main__ import COMMAND as DETECTOR
from emotion_stream.producer.__main__ import COMMAND as PRODUCER
from emotion_stream.shared.claims import Claim, check_place
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.settings.cli import Command
from emotion_stream.shared.settings.loading import specs
from emotion_stream.sink.__main__ import COMMAND as SINK
from emotion_stream.sink.web.http.address import Address, urls
from tests.conftest import program

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
STAGES = {"producer": PRODUCER, "detector_worker": DETECTOR, "classifier_worker": CLASSIFIER, "sink": SINK}
SETTLED = {"config", "metrics_host", "metrics_port", "slot", "parent", "go"}
"""What an image or docker-compose.yml settles, and what only a runner uses."""
start = program("start")
check_env = program("check_env.py")


def service(name: str) -> str:
    """The lines of one service."""
    match = re.search(rf"^  {name}:\n((?:    .*\n|\n)+)", COMPOSE, re.MULTILINE)
    assert match is not None
    return match[1]


def passed_on(text: str) -> set[str]:
    """Names without a value: what a container gets from .env or the shell."""
    return set(re.findall(r"^      ([A-Z_]+):$", text, re.MULTILINE))


@pytest.mark.parametrize(("name", "command"), STAGES.items())
def test_every_setting_reaches_its_stage(name: str, command: Command) -> None:
    common = COMPOSE.partition("x-settings:")[2].partition("services:")[0]
    passed = set(re.findall(r"^  (EMOTION_[A-Z_]+):$", common, re.MULTILINE)) | passed_on(service(name))
    wanted = {f"EMOTION_{setting.upper()}" for setting in specs(command.settings).keys() - SETTLED}
    assert {n for n in passed if n.startswith("EMOTION_")} == wanted
    assert "<<: *settings" in service(name)


def test_the_web_token_and_the_cameras_passwords_reach_nobody_else() -> None:
    for name in STAGES:
        passed = passed_on(service(name))
        assert ("EMOTION_WEB_TOKEN" in passed) == (name == "sink")
        assert ("EMOTION_WEBHOOK_SECRET" in passed) == (name == "sink")
        assert bool({"SOURCE", "EMOTION_SOURCE"} & passed) == (name == "producer")


def test_every_service_is_bounded() -> None:
    """In memory, processes and logs."""
    safe, _, rest = COMPOSE.partition("x-stage: &stage")
    assert "pids_limit: 200" in safe
    assert 'options: {max-size: 10m, max-file: "3"}' in safe
    assert "mem_limit: ${STAGE_MEMORY:-1g}" in rest.partition("services:")[0]
    names = re.findall(r"^  ([a-z_]+):$", rest.partition("services:")[2].partition("\nvolumes:")[0], re.MULTILINE)
    assert set(STAGES) < set(names)
    for name in names:
        text = service(name)
        assert "<<: *stage" in text or ("<<: *safe" in text and "mem_limit:" in text), name


def test_how_many_workers_is_kept_in_env() -> None:
    assert "replicas: ${DETECTORS:-1}" in service("detector_worker")
    assert "replicas: ${CLASSIFIERS:-1}" in service("classifier_worker")


def test_a_switch_to_tls_recreates_every_stage() -> None:
    """Compose leaves alone what is as before, so each stage gets something that changes."""
    tls = (ROOT / "deploy" / "compose.tls.yml").read_text()
    for name in STAGES:
        assert f"  {name}: *stage\n" in tls
    assert "labels: {emotion-stream.redis: tls}" in tls


def write(folder: Path, env: str) -> None:
    """A project with this `.env`."""
    (folder / "deploy").mkdir()
    (folder / "docker-compose.yml").write_text(COMPOSE)
    for path in (ROOT / "deploy").glob("compose.*.yml"):
        (folder / "deploy" / path.name).write_text(path.read_text())
    (folder / ".env").write_text(env)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("SORCE=0", ".env: no setting is named SORCE; did you mean SOURCE?"),
        ("EMOTION_SCANWIDTH=480", ".env: no setting is named EMOTION_SCANWIDTH; did you mean EMOTION_SCAN_WIDTH?"),
        ("export DETECTOR=3", ".env: no setting is named DETECTOR; did you mean DETECTORS?"),
        ("EMOTION_CONFIG=x.toml", ".env: EMOTION_CONFIG is settled by docker-compose.yml: change it there"),
        ("QUITE_OTHER=1", ".env: no setting is named QUITE_OTHER; .env.example lists them"),
    ],
)
def test_a_name_that_nothing_reads_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    write(tmp_path, f"# SORRCE=1\n\nSOURCE=0\n{line}\n")
    assert check_env.main(tmp_path) == 2
    assert capsys.readouterr().err == f"{told}\n"


def test_what_the_example_names_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = (ROOT / ".env.example").read_text()
    write(tmp_path, re.sub(r"^#(?=[A-Z_]+=)", "", example, flags=re.MULTILINE))
    assert len(check_env.given((tmp_path / ".env").read_text())) > 20
    assert check_env.main(tmp_path) == 0
    assert capsys.readouterr().err == ""


def test_without_env_nothing_is_wrong(tmp_path: Path) -> None:
    assert check_env.main(tmp_path) == 0


def test_the_whole_name_wins_then_the_short_one_then_the_default() -> None:
    defaults = {"SOURCE": "sample", "MODE": "live"}
    settle = start.settle
    assert settle({}, defaults)[0] == {"EMOTION_SOURCE": "sample", "EMOTION_MODE": "live"}
    assert settle({"SOURCE": "0"}, defaults)[0]["EMOTION_SOURCE"] == "0"
    tables = {"EMOTION_CAMERAS_FILE": "/media/cameras.toml"}
    assert settle(tables, defaults)[0] == {**tables, "EMOTION_MODE": "live"}, "the file names what to play"
    assert settle({**tables, "SOURCE": "hall=0"}, defaults)[0]["EMOTION_SOURCE"] == "hall=0"
    assert settle({"EMOTION_SOURCE": "1"}, defaults) == ({"EMOTION_SOURCE": "1", "EMOTION_MODE": "live"}, [])
    environment, lines = settle({"SOURCE": "0", "EMOTION_SOURCE": "1", "MODE": "", "EMOTION_FPS": ""}, defaults)
    assert environment["EMOTION_SOURCE"] == "1"
    assert lines == ["EMOTION_SOURCE and SOURCE differ: EMOTION_SOURCE is used"]
    assert environment["EMOTION_MODE"] == "live"
    assert "EMOTION_FPS" not in environment, "an empty one is none"


@pytest.mark.parametrize(
    ("source", "pictures", "seen"),
    [
        ("./pictures", "./pictures", "pictures=/media"),
        ("pictures/", "./pictures", "pictures=/media"),
        ("hall=/home/me/My Photos", "/home/me/My Photos", "hall=/media"),
        ("cat=./pictures/cat.jpg", "pictures", "cat=/media/cat.jpg"),
        ("/home/me/clips/a.mp4", "/home/me/clips/", "/media/a.mp4"),
        ("./pictures2", "./pictures", "./pictures2"),
        ("/media/a.mp4", "./pictures", "/media/a.mp4"),
        ("rtsp://me:a=b@cam/1", "./pictures", "rtsp://me:a=b@cam/1"),
        ("0", "./pictures", "0"),
        ("sample", "", "sample"),
    ],
)
def test_a_path_of_this_machine_becomes_one_of_the_container(source: str, pictures: str, seen: str) -> None:
    assert start.inside(source, pictures) == seen


def test_an_output_beside_the_volume_is_told_where_to_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    claim = Claim(tmp_path / "none" / "results.jsonl", "--output jsonl=none/results.jsonl")
    monkeypatch.setattr("emotion_stream.shared.claims.CONTAINER", (str(tmp_path),))
    with pytest.raises(EmotionError, match=r"so write /out/results\.jsonl or results\.jsonl alone"):
        check_place(claim)
    monkeypatch.setattr("emotion_stream.shared.claims.CONTAINER", (str(tmp_path / "none"),))
    with pytest.raises(EmotionError, match="there is no folder") as told:
        check_place(claim)
    assert "/out" not in str(told.value)


def test_the_page_tells_the_published_address() -> None:
    inside = Address("0.0.0.0", 8080)
    assert urls(inside, published="http://localhost:8091/") == ["http://localhost:8091/"]
    assert urls(inside, "abc", "http://localhost:8091") == ["http://localhost:8091/?token=abc"]
    assert "WEB_PUBLISHED=http://localhost:${WEB_PORT:-8080}/" in service("sink")


def test_settings_that_differ_are_told_once_and_secrets_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = replace(SINK, run=lambda values: None)
    for name, text in {
        "EMOTION_WEB_TOKEN": "a-token-of-somebody",
        "EMOTION_REDIS": "redis://me:secret@host/0",
        "EMOTION_BLUR_FACES": "true",
        "EMOTION_FPS": "5",
    }.items():
        monkeypatch.setenv(name, text)
    assert command.main([]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "settings: " in line]
    assert line.endswith("settings: web_token=*** redis=redis://me:***@host/0 blur_faces=True"), (
        "fps is not its own"
    )


def test_a_sighup_while_a_stage_loads_is_heard_by_its_service(tmp_path: Path) -> None:
    """A stage takes a second or more to load, and then reads its settings file again, as somebody asked."""
    (tmp_path / "slow_stage.py").write_text(
        "import sys\n"
        "print('loads', flush=True)\n"
        "sys.stdin.readline()\n"
        "from emotion_stream.shared.process.service import Service\n"
        "from emotion_stream.shared.settings.options import CommonOptions\n"
        "service = Service('producer', '0', CommonOptions())\n"
        "service.start()\n"
        "print('asked', service.asked.is_set())\n"
    )
    names = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    process = subprocess.Popen(
        [sys.executable, ROOT / "deploy" / "start", "slow_stage"],
        env=names,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # without a terminal, as in a container
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "loads\n"
        process.send_signal(signal.SIGHUP)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.read() == "asked True\n"
    assert process.returncode == 0


def test_a_path_that_exists_only_outside_gets_a_line() -> None:
    assert start.missing("./photos") == (
        "source ./photos: containers do not see it: write PICTURES=./photos and SOURCE=/media"
    )
    assert start.missing("a=clips/b.mp4") == (
        "source a=clips/b.mp4: containers do not see it: write PICTURES=clips and SOURCE=/media/b.mp4"
    )
    assert start.missing("77") == (
        "source 77: this container sees no such camera: add -f deploy/compose.camera.yml to the command"
    )
    assert start.missing("/media/none.mp4").endswith("in the folder that PICTURES names, which is /media here")
    for fine in ("sample", "rtsp://camera/1", "x=http://camera/", str(ROOT), "/media/*.jpg"):
        assert start.missing(fine) == "", fine
