"""What people do with a stack day by day, on a real engine: settings, dead cameras, Redis away, tools."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.containers.conftest import FRAMES
from tests.containers.stack import COMPOSE, ROOT, STAGES, Stack, docker, wait
from tests.support.servers import free_port

ALL = {"redis": 1, **dict.fromkeys(STAGES, 1)}

pytestmark = [
    pytest.mark.skipif(not os.environ.get("TEST_CONTAINERS"), reason="takes minutes: make test-containers"),
    pytest.mark.timeout(3600),
]


SENT = """
export REDISCLI_AUTH="$(cat /run/emotion/password.operator)"
redis-cli --user operator hget 'emotion:{0.0}:progress' 'at|long'
"""
"""Which run the camera `long` is in, and how many frames of it were sent."""


def frames_in(stack: Stack, name: str) -> list[tuple[str, str, int]]:
    """Camera, run and number of each result in the files of an output on the volume, once they are there."""
    pattern = name.replace(".", "-*.")
    text = stack.compose("exec", "-T", "sink", "sh", "-c", f"cat /out/{pattern} || true")
    rows = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    return [(row["camera"], row["epoch"], row["seq"]) for row in rows]


def test_one_dead_source_takes_nobody_down(stack: Stack) -> None:
    stack.settings["SOURCE"] = "good=sample bad=77 gone=./none/clip.mp4"
    stack.compose("up", "-d")
    wait("all healthy", lambda: stack.healthy(ALL))
    wait("results", lambda: stack.count("good") > 20)
    told = stack.ready("producer")
    assert "cameras: 1 of 3" in told
    assert "bad: camera 77 cannot be opened" in told
    assert "add -f deploy/compose.camera.yml" in stack.logs("producer")
    assert "write PICTURES=./none and SOURCE=/media/clip.mp4" in stack.logs("producer")
    assert stack.inspect("producer")[0]["RestartCount"] == 0
    assert f"web page: http://localhost:{stack.ports['web']}/" in stack.logs("sink")


def test_a_producer_without_any_camera_is_not_healthy(stack: Stack) -> None:
    stack.settings["SOURCE"] = "bad=77"
    stack.compose("up", "-d")
    wait("unhealthy", lambda: stack.inspect("producer")[0]["State"]["Health"]["Status"] == "unhealthy")
    assert stack.inspect("producer")[0]["RestartCount"] == 0
    del stack.settings["SOURCE"]
    stack.compose("up", "-d")
    wait("all healthy", lambda: stack.healthy(ALL))


def test_settings_reach_their_stages_and_workers_stay_as_many(stack: Stack) -> None:
    stack.settings |= {"EMOTION_SCAN_WIDTH": "480", "EMOTION_FPS": "12", "DETECTORS": "2"}
    many = {**ALL, "detector_worker": 2}
    for _ in range(2):
        stack.compose("up", "-d")
        wait("two detectors", lambda: stack.healthy(many))
    assert "scan_width=480" in stack.logs("detector_worker")
    assert "fps=12.0" in stack.logs("producer")
    assert "fps=" not in stack.logs("sink")
    for name in ("EMOTION_SCAN_WIDTH", "EMOTION_FPS", "DETECTORS"):
        del stack.settings[name]


def test_yunet_finds_faces_and_their_landmarks(stack: Stack) -> None:
    """The image has its weights, and runs it without rights and without a network."""
    before = stack.settings.get("EMOTION_DETECTOR")
    stack.settings["EMOTION_DETECTOR"] = "yunet"
    stack.compose("up", "-d")
    wait("all healthy", lambda: stack.healthy(ALL))

    def landmarks() -> list[int]:
        rows = stack.results("sample")[-50:]
        return [len(face["landmarks"]) for row in rows for face in row["faces"] if face["landmarks"]]

    wait("landmarks", landmarks)
    assert set(landmarks()) == {5}
    del stack.settings["EMOTION_DETECTOR"]
    if before:
        stack.settings["EMOTION_DETECTOR"] = before


def test_a_name_that_nothing_reads_starts_nothing(tmp_path: Path) -> None:
    for name in ("docker-compose.yml", "deploy", "samples"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / ".env").write_text("SORCE=0\n")
    tmp_path.chmod(0o755)
    project = [*COMPOSE, "-p", f"refused{os.getpid()}"]
    up = subprocess.run(
        [*project, "up", "-d"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    told = subprocess.run([*project, "logs", "secrets"], cwd=tmp_path, capture_output=True, text=True, check=False)
    subprocess.run([*project, "down", "-v"], cwd=tmp_path, capture_output=True, timeout=120, check=True)
    assert up.returncode != 0
    assert "no setting is named SORCE; did you mean SOURCE?" in told.stdout


def test_health_follows_redis_and_an_outage_counts_once(stack: Stack) -> None:
    stack.compose("up", "-d")
    wait("all healthy", lambda: stack.healthy(ALL))
    stack.compose("stop", "redis")
    for stage in STAGES:
        state = lambda stage=stage: stack.inspect(stage)[0]["State"]["Health"]["Status"]  # noqa: E731
        wait(f"{stage} unhealthy", lambda state=state: state() == "unhealthy")  # type: ignore[misc]
        assert "Redis is away" in stack.ready(stage)
    stack.compose("start", "redis")
    wait("all healthy", lambda: stack.healthy(ALL))
    for stage in STAGES:
        assert stack.inspect(stage)[0]["RestartCount"] == 0
        wait(f"{stage}'s word", lambda stage=stage: "Redis answers again" in stack.logs(stage))  # type: ignore[misc]
    count = 'max by (service) (emotion_reconnects_total{job="emotion"})'
    wait("metrics", lambda: {r["metric"]["service"] for r in stack.query(count)} == set(STAGES))
    assert {r["value"][1] for r in stack.query(count)} == {"1"}


def test_a_new_password_by_the_documented_line(stack: Stack) -> None:
    stack.settings["REDIS_PASSWORD_SINK"] = "chosen by somebody"
    stack.compose("up", "-d")
    stack.compose("restart", "redis", *STAGES)
    wait("all healthy", lambda: stack.healthy(ALL))
    before = stack.count("sample")
    wait("more results", lambda: stack.count("sample") > before + 20)
    assert "chosen%20by%20somebody" in stack.compose("exec", "-T", "sink", "cat", "/run/emotion/redis.toml")


def test_the_runbooks_commands(stack: Stack) -> None:
    run = ("run", "--rm", "tools", "emotion")
    assert "no dead letters" in stack.compose(*run, "dead", "list")
    day = stack.compose("exec", "-T", "sink", "sh", "-c", "cd /out; ls results-sample-*.jsonl").split()[0]
    stack.compose(*run, "report", day)
    page = stack.compose("exec", "-T", "sink", "cat", f"/out/{day.removesuffix('.jsonl')}.html")
    assert "<html" in page
    assert (
        docker("image", "inspect", "--format", "{{.Config.User}}", "emotion-stream-tools").strip() == "10001:10001"
    )


def test_a_folder_is_a_slide_show(stack: Stack) -> None:
    """Named as on this machine; each picture once in a round, each for its time."""
    stack.settings |= {"SOURCE": f"show={stack.settings['PICTURES']}", "EMOTION_STILL_SECONDS": "0.5"}
    stack.compose("up", "-d")
    wait("results", lambda: stack.count("show") > 8)
    names = [Path(row["source"]).name for row in stack.results("show")]
    assert names == [f"{n:05}.jpg" for n in range(len(names))]
    assert {row["status"] for row in stack.results("show")} == {"ok"}


def end_with_results_under_way(stack: Stack) -> None:
    """Everything is killed, the sink some time before the others, and goes."""
    count = 'sum(emotion_frames_total{service="classifier_worker"})'
    wait("metrics", lambda: stack.query(count))
    stack.compose("kill", "-s", "KILL", "sink")
    before = float(stack.query(count)[0]["value"][1])
    # A producer whose frames do not come out sends one in two seconds.
    wait("results that nobody has shown", lambda: float(stack.query(count)[0]["value"][1]) > before + 3)
    stack.compose("kill", "-s", "KILL", "producer", "detector_worker", "classifier_worker")
    stack.compose("down")


def test_a_pass_gets_its_own_pictures_only(stack: Stack) -> None:
    """A live run is killed with results under way; the lossless pass that follows on the same Redis is whole."""
    stack.settings |= {"SOURCE": "sample"}
    stack.compose("up", "-d")
    wait("live results", lambda: stack.count("sample") > 20)
    end_with_results_under_way(stack)
    stack.settings |= {"SOURCE": "pass=/media/0000?.jpg", "MODE": "lossless", "LOOP": "false", "RUN_ID": "one"}
    stack.settings |= {"PRODUCER_RESTART": "on-failure", "OUTPUT": "jsonl=pass.jsonl"}
    stack.compose("up", "-d")
    wait("the producer's end", lambda: stack.inspect("producer")[0]["State"]["Status"] == "exited")
    assert frames_in(stack, "pass.jsonl") == [("pass", "one", n) for n in range(10)]
    assert "of a live run that has ended are left out" in stack.logs("sink")


def test_a_live_run_after_an_interrupted_pass_gets_its_own_pictures_only(stack: Stack) -> None:
    """The other way round; and the pass is whole when it is taken up again."""
    stack.settings |= {"SOURCE": "long=/media/*.jpg", "MODE": "lossless", "LOOP": "false", "RUN_ID": "two"}
    stack.settings |= {"PRODUCER_RESTART": "on-failure", "OUTPUT": "jsonl=long.jsonl"}
    interrupted = dict(stack.settings)
    stack.compose("up", "-d")
    wait("some of the pass", lambda: len(frames_in(stack, "long.jsonl")) > 20)
    stack.compose("kill", "-s", "KILL", "sink", "producer")
    sent = stack.compose("exec", "-T", "redis", "sh", "-c", SENT)
    assert "two" in sent
    stack.compose("down")
    stack.settings |= {"SOURCE": "long=sample", "MODE": "live", "LOOP": "true", "OUTPUT": "jsonl=live.jsonl"}
    stack.compose("up", "-d")
    wait("live results", lambda: len(frames_in(stack, "live.jsonl")) > 20)
    assert "two" not in {epoch for _, epoch, _ in frames_in(stack, "live.jsonl")}
    assert "of a lossless run that has ended are left out" in stack.logs("sink")
    ended = {epoch for _, epoch, _ in frames_in(stack, "live.jsonl")}
    end_with_results_under_way(stack)
    stack.settings["OUTPUT"] = "jsonl=again.jsonl"
    stack.compose("up", "-d")
    wait("live results", lambda: len(frames_in(stack, "again.jsonl")) > 20)
    assert not ended & {epoch for _, epoch, _ in frames_in(stack, "again.jsonl")}
    assert "of a live run that has ended are left out" in stack.logs("sink")
    stack.compose("down")
    stack.settings |= interrupted
    stack.compose("up", "-d")
    wait("the producer's end", lambda: stack.inspect("producer")[0]["State"]["Status"] == "exited")
    assert frames_in(stack, "long.jsonl") == [("long", "two", n) for n in range(FRAMES)]


def test_events_reach_a_broker_of_the_profile_mqtt(stack: Stack) -> None:
    """Home Assistant's sensors, states and events are there; a broker that was killed, or stood still, has them
    again. A sink that is killed has left its will."""
    image = f"{stack.project}-mosquitto"
    docker("build", "-t", image, "-f", "tests/containers/mosquitto.Dockerfile", "tests/containers", limit=300)
    for name in ("RUN_ID", "PRODUCER_RESTART"):  # of a pass before
        stack.settings.pop(name, None)
    stack.settings |= {"SOURCE": "sample", "MODE": "live", "LOOP": "true"}
    stack.settings |= {"COMPOSE_PROFILES": "mqtt", "MOSQUITTO_IMAGE": image, "MQTT_PORT": str(free_port())}
    stack.settings["OUTPUT"] = "web=0.0.0.0:8080 jsonl=results.jsonl events=events.jsonl mqtt://mqtt/emotion"
    stack.compose("up", "-d")
    wait("all healthy", lambda: stack.healthy({**ALL, "mqtt": 1}))

    def heard(topic: str, count: int = 1) -> list[str]:
        listen = ("mosquitto_sub", "-t", topic, "-C", str(count), "-W", "60")
        return stack.compose("exec", "-T", "mqtt", *listen).splitlines()

    for outages, (end, begin) in enumerate((("kill", "start"), ("pause", "unpause"))):
        assert heard("emotion/status") == ["online"]
        state = json.loads(heard("emotion/sample/state")[0])
        assert (state["camera"], state["online"]) == ("sample", True)
        assert json.loads(heard("emotion/sample/event")[0])["camera"] == "sample"
        assert len(heard("homeassistant/+/+/+/config", 3)) == 3
        stack.compose(end, "mqtt")
        word = "the connection is lost: trying again"
        wait("its loss", lambda n=outages, word=word: stack.logs("sink").count(word) > n)  # type: ignore[misc]
        stack.compose(begin, "mqtt")
        wait("connected", lambda n=outages: stack.logs("sink").count("connected again") > n)  # type: ignore[misc]
        wait("all healthy", lambda: stack.healthy({**ALL, "mqtt": 1}))
    for end, begin in (("kill", "up"), ("stop", "")):  # its will, and its goodbye
        stack.compose(end, "sink")
        assert heard("emotion/status") == ["offline"]
        if begin:
            stack.compose("up", "-d")
            wait("all healthy", lambda: stack.healthy({**ALL, "mqtt": 1}))
            assert heard("emotion/status") == ["online"]
    for name in ("COMPOSE_PROFILES", "MOSQUITTO_IMAGE", "MQTT_PORT"):
        del stack.settings[name]
    docker("rm", "-f", *stack.containers("mqtt"))
    stack.settings["OUTPUT"] = "web=0.0.0.0:8080 jsonl=results.jsonl"
