"""Events of a whole sink on a real server: written, counted, told once though the sink is killed; and of a run."""

import json
import logging
import os
import subprocess
import sys
import time
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.messages.codec import encode_emotions
from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.types import Box, Emotions
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink import roll
from emotion_stream.sink.catalogue import open_outputs
from emotion_stream.sink.events.broker import parse_broker
from emotion_stream.sink.events.cameras import camera_events
from emotion_stream.sink.events.event import Event, as_json
from emotion_stream.sink.events.lines import EventLines
from emotion_stream.sink.events.mqtt import Mqtt
from emotion_stream.sink.events.watch import Watcher
from emotion_stream.sink.events.webhook import Webhook
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.outputs.faces import cut
from emotion_stream.sink.results.output import Image, Output, Result
from emotion_stream.sink.results.stats import Stats
from tests.emotion.conftest import command
from tests.shared.test_upgrades import Kept
from tests.shared.test_worker import own_connection
from tests.support import threads
from tests.support.broker import FAST, LASTING, PASSWORD, QUIET, USER, broker, needs_mosquitto, password_file
from tests.support.events import END, EXPECTED, FPS, brief, check, follower, three_people, until
from tests.support.pictures import portraits, sample_frames
from tests.support.receiver import serving

TOLD = [(kind, seq, track, what) for _, kind, seq, track, what in EXPECTED]


def live() -> list[Emotions]:
    """The clip as a camera's: what is missing is not waited for."""
    return [replace(message, info=replace(message.info, mode="live")) for message in three_people()]


def add(streams: Streams, message: Emotions) -> None:
    streams.client.xadd(streams.keys.emotions, encode_emotions(message))  # type: ignore[arg-type]


def lines(path: Path) -> list[Any]:
    text = path.read_text() if path.exists() else ""
    return [check(json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]


class Told(Kept):
    """An output that remembers events, and what it was shown before each."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[int, Event]] = []
        self.ends: list[str] = []

    def write(self, result: Result, image: Image | None) -> None:
        super().write(result, image)

    def tell(self, event: Event) -> None:
        self.events.append((len(self.results), event))

    def ended(self, camera: str) -> None:
        self.ends.append(camera)


def test_a_sink_tells_events_after_their_frames_and_counts_them(streams: Streams, tmp_path: Path) -> None:
    service, told = Service("sink", "me", CommonOptions()), Told()
    path = tmp_path / "events.jsonl"
    for message in live():
        add(streams, message)
    outputs: list[Output] = [told, EventLines(str(path))]
    sink = Sink(service, own_connection(streams), "sink", lambda: outputs, 0.2, Watchdog(10), follower())
    with threads.running(sink.run, service):
        until(lambda: len(told.results) == 200)
        streams.finish("hall", "run", END)
        until(lambda: told.ends)
    events = lines(path)
    assert [brief(event) for event in events] == TOLD
    assert set(told.ends) == {"hall"}
    for count, event in told.events:
        if event.kind in ("face_appeared", "scene_cut"):
            assert event.at is not None
            newest = told.results[count - 1].info.seq
            assert newest - event.at.seq == (3 if event.kind == "face_appeared" else 0)
    counted = Counter(event["kind"] for event in events)
    stats = Stats.from_bytes(streams.progress().stats["sink"])
    assert stats.events == counted == stats.summary()["events"]
    for kind, count in counted.items():
        labels = {"stage": "sink", "kind": kind}
        assert service.registry.get_sample_value("emotion_events_total", labels) == count


def test_events_are_told_once_though_the_sink_is_killed(
    server: EmbeddedServer, streams: Streams, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    program = [sys.executable, "-m", "emotion_stream.sink", "--redis", server.url, "--slot", "0"]
    program += ["--namespace", streams.keys.namespace, "--output", f"events={path}", "--hold-back", "0.2"]
    program += ["--smoothing", "0", "--parent", str(os.getpid())]
    messages = live()
    for stop in (12, 88, 124, 192, END):
        with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
            try:
                while messages and messages[0].info.seq < stop + 15:
                    add(streams, messages.pop(0))
                until(lambda stop=stop: shown(streams) >= stop)  # type: ignore[misc]
                if stop == END:
                    streams.finish("hall", "run", END)
                    until(lambda: lines(path)[-1]["kind"] == "counts")
            finally:
                process.kill()
    events = lines(path)
    assert [brief(event) for event in events] == TOLD
    assert len({event["id"] for event in events}) == len(events)


@needs_mosquitto
def test_a_broker_that_is_killed_in_mid_run_misses_nothing_and_hears_nothing_twice(
    streams: Streams, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever listens hears what the file has, in its order, also what happened in the outage."""
    caplog.set_level(logging.INFO)
    service, path, messages = Service("sink", "me", CommonOptions()), tmp_path / "events.jsonl", live()
    with broker(tmp_path / "broker", *LASTING) as mosquitto:
        where = parse_broker(f"mqtt://127.0.0.1:{mosquitto.port}")
        outputs: list[Output] = [EventLines(str(path)), Mqtt(where, QUIET, ["hall"], pace=FAST)]
        sink = Sink(service, own_connection(streams), "sink", lambda: outputs, 0.2, Watchdog(10), follower())

        def show(until_seq: int, events: int) -> None:
            while messages and messages[0].info.seq < until_seq:
                add(streams, messages.pop(0))
            until(lambda: len(lines(path)) == events)

        with mosquitto.ear("emotion/hall/event", lasting="ear") as ear:
            with threads.running(sink.run, service):
                show(50, 3)
                until(lambda: len(ear.heard) == 3)
                before = ear.events()
                mosquitto.kill()
                show(200, 9)
                until(lambda: "trying again" in caplog.text)
                mosquitto.start()
                show(END, 13)
                streams.finish("hall", "run", END)
                until(lambda: len(lines(path)) == len(EXPECTED))
                until(lambda: len(ear.events(before)) >= len(EXPECTED) - 3)
            written = [event["id"] for event in lines(path)]
            assert (before, ear.events(before)) == (written[:3], written[3:])
            with mosquitto.ear("emotion/status", "emotion/hall/state") as later:
                until(lambda: len(later.heard) == 2)
    assert {heard.payload for heard in later.on("emotion/status")} == {"offline"}
    assert later.on("emotion/hall/state")[0].json()["reason"] == "ended"
    assert caplog.text.count("trying again") == caplog.text.count("connected again") == 1


def test_what_nobody_takes_is_counted_and_holds_nothing_up(streams: Streams, tmp_path: Path) -> None:
    """Nobody listens where broker and server should be, and the way out is as short for two as for one."""
    service, path = Service("sink", "me", CommonOptions()), tmp_path / "events.jsonl"

    outputs: list[Output] = []

    def left_out(output: str, count: int) -> None:
        service.metrics.events_left_out(output).inc(count)

    def opened() -> list[Output]:
        specs = [f"events={path}", "mqtt://127.0.0.1:9", "webhook=http://127.0.0.1:9/"]
        outputs.extend(open_outputs(specs, left_out=left_out))
        return outputs

    sink = Sink(service, own_connection(streams), "sink", opened, 0.2, Watchdog(10), follower())
    with threads.running(sink.run, service):
        for message in live():
            add(streams, message)
        streams.finish("hall", "run", END)
        until(lambda: len(lines(path)) == len(EXPECTED))
    _, mqtt, hook = outputs
    assert isinstance(mqtt, Mqtt)
    assert isinstance(hook, Webhook)
    assert abs(mqtt._deadline - hook._deadline) < 1.0, "both at once"
    for output in ("mqtt", "webhook"):
        labels = {"stage": "sink", "output": output}
        assert service.registry.get_sample_value("emotion_events_left_out_total", labels) == len(EXPECTED)


def shown(streams: Streams) -> int:
    return max(streams.progress().shown.values(), default=0)


def test_a_live_camera_that_falls_silent_is_lost_and_comes_back(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll, "LATE", 1.2)
    service, told = Service("sink", "me", CommonOptions()), Told()
    sink = Sink(service, own_connection(streams), "sink", lambda: [told], 0.2, Watchdog(10), follower())
    first, *later = live()[:100]
    with threads.running(sink.run, service):
        add(streams, first)
        until(lambda: told.events)
        while later and "camera_back" not in {event.kind for _, event in told.events}:
            add(streams, later.pop(0))
            time.sleep(0.1)
    told.events = [(count, event) for count, event in told.events if event.kind.startswith("camera")]
    about = [(event.kind, event.more.get("reason")) for _, event in told.events]
    assert about == [("camera_lost", "no results"), ("camera_back", None)]


def test_what_a_producer_says_of_its_camera_is_told_with_the_reason(streams: Streams) -> None:
    service, told = Service("sink", "me", CommonOptions()), Told()
    sink = Sink(service, own_connection(streams), "sink", lambda: [told], 0.2, Watchdog(10), follower())
    first, *_ = live()
    add(streams, first)
    with threads.running(sink.run, service):
        for count, signal in enumerate(
            (Signal("lost", "401 Unauthorized", 1e9), Signal("live", None, 1e9 + 7)), 1
        ):
            streams.tell_signal("hall", signal)
            until(lambda count=count: len(told.events) == count)  # type: ignore[misc]
    about = [check(as_json(event)) for _, event in told.events]
    assert [(e["kind"], e.get("reason"), e["told_at"]) for e in about] == [
        ("camera_lost", "401 Unauthorized", "2001-09-09T01:46:40.000+00:00"),
        ("camera_back", None, "2001-09-09T01:46:47.000+00:00"),
    ]


def test_how_a_camera_does_is_put_together_from_what_is_said_and_what_comes() -> None:
    watcher = Watcher()
    live_, lost, ended = Signal("live", None, 5.0), Signal("lost", "refused", 20.0), Signal("ended", None, 50.0)
    steps: list[tuple[Signal | None, bool, bool]] = [
        (live_, True, False),
        (live_, False, False),  # 1: its producer is dead, and has said last that all is well
        (live_, False, False),
        (live_, True, False),  # 3
        (lost, True, False),  # 4: frames are under way still
        (lost, False, False),
        (None, True, False),  # 6: a producer of an earlier version
        (ended, True, False),  # 7: frames are under way
        (ended, False, True),  # it was a recording: its end is no loss
    ]
    told = []
    for now, (signal, comes, is_over) in enumerate(steps):
        signals = {"hall": signal} if signal else {}
        over = ["hall"] if is_over else []
        found = camera_events(watcher, signals, {"hall": comes}, over, 100.0 + now)
        told += [(now, event.kind, event.more.get("reason"), event.told_at) for event in found]
    assert told == [
        (1, "camera_lost", "no results", 101.0),
        (3, "camera_back", None, 103.0),
        (4, "camera_lost", "refused", 20.0),
        (6, "camera_back", None, 106.0),
    ]


class Clip:
    """A clip of 640 x 360 pixels at 25 frames a second. Faces are pasted from the sample."""

    def __init__(self, path: Path) -> None:
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", FPS, options={"crf": "14", "preset": "veryfast"})
        self._stream.width, self._stream.height, self._stream.pix_fmt = 640, 360, "yuv420p"
        self._at = 0

    def show(self, picture: Image, frames: int) -> None:
        for _ in range(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = self._at, Fraction(1, FPS)
            self._at += 1
            self._container.mux(self._stream.encode(frame))

    def pause(self, seconds: int) -> None:
        """Nothing is shown for so long: the next frame's time stamp says so."""
        self._at += seconds * FPS

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


def view(background: Image, *faces: tuple[Image, int]) -> Image:
    """A background with faces at these distances from the left."""
    picture = background.copy()
    for face, left in faces:
        side = face.shape[0]
        picture[100 : 100 + side, left : left + side] = face
    return picture


def test_a_run_on_a_clip_with_three_people_a_cut_and_a_gap(tmp_path: Path) -> None:
    """From the video file to the list of events: the detector looks everywhere in every frame, so it is exact."""
    one, two = (np.asarray(cv2.resize(p, (150, 150)), np.uint8) for p in portraits())
    three = np.asarray(two[:, ::-1], np.uint8)
    room = np.asarray(cv2.GaussianBlur(sample_frames()[115][::-1], (0, 0), 25), np.uint8)
    garden = np.asarray(255 - room[:, ::-1], np.uint8)
    a, b, c = (one, 20), (two, 240), (three, 460)
    clip = Clip(tmp_path / "x.mp4")
    clip.show(view(room, a), 10)  # frames 0 to 9
    clip.show(view(room, a, b), 30)  # 10 to 39
    clip.show(view(room, a, b, c), 20)  # 40 to 59
    clip.show(view(room, a, c), 40)  # 60 to 99
    clip.show(view(room, a), 12)  # 100 to 111: C looks away for half a second
    clip.show(view(room, a, c), 18)  # 112 to 129
    clip.pause(2)  # the medium's time steps over it
    clip.show(view(room, a, c), 20)  # 130 to 149
    clip.show(view(room, a), 30)  # 150 to 179: C is away for longer
    clip.show(view(room, a, c), 20)  # 180 to 199
    clip.show(view(garden, b), 20)  # 200 to 219
    clip.close()
    events, results, told = tmp_path / "events.jsonl", tmp_path / "results.jsonl", tmp_path / "summary.json"
    outputs = ["--output", f"events={events}", f"jsonl={results}", "--summary-json", str(told)]
    outputs += ["--report", str(tmp_path / "report.html")]
    run = ["run", f"hall={tmp_path / 'x.mp4'}", *outputs, "--scan-every", "1", "--uncertain", "off"]
    done = subprocess.run(
        command(*run, "--camera-name", "hall=Küche"), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    told_events = lines(events)
    about = [(e["kind"], e["seq"], e.get("track"), e.get("reason")) for e in told_events]
    assert about == [
        ("face_appeared", 0, 1, None),
        ("face_appeared", 10, 2, None),
        ("face_appeared", 40, 3, None),
        ("face_left", 59, 2, "unseen"),
        ("face_left", 149, 3, "unseen"),
        ("face_appeared", 180, 4, None),
        ("scene_cut", 200, None, None),
        ("face_appeared", 200, 5, None),
        ("face_left", 219, 5, "ended"),
        ("counts", 0, None, None),
    ]
    assert {e["name"] for e in told_events} == {"Küche"}
    summary = json.loads(told.read_text())
    assert summary["events"] == Counter(kind for kind, *_ in about)
    assert str(events) in summary["outputs"]
    words = "face appeared 5, face left 3, tally of a minute 1, scene cut 1"
    assert f"events       {words}\n" in done.stderr
    assert f"Events: {words}<" in (tmp_path / "report.html").read_text()
    frames = [json.loads(line) for line in results.read_text().splitlines()]
    for event in told_events:
        if event["kind"] == "face_appeared":
            faces = {face["track"]: face for face in frames[event["seq"] + 3]["faces"]}
            face = faces[event["track"]]
            assert (event["box"], event["label"], event["probability"]) == (
                face["box"],
                face["emotion"],
                face["confidence"],
            )
            assert event["time"] == frames[event["seq"]]["time"]
            assert event["captured_at"] == frames[event["seq"]]["captured_at"]


@needs_mosquitto
def test_a_run_tells_a_file_a_broker_and_a_webhook_the_same_and_nobody_a_secret(tmp_path: Path) -> None:
    """Secrets come by variables, and are in no message and no command line. Pictures go to the webhook alone, and
    nobody can be recognised in them."""
    events, secret = tmp_path / "events.jsonl", "SECRET"
    lines_ = ["allow_anonymous false", f"password_file {password_file(tmp_path)}"]
    with (
        broker(tmp_path / "broker", *lines_, flags=["-u", USER, "-P", PASSWORD]) as mosquitto,
        mosquitto.ear("emotion/#", "homeassistant/#") as ear,
        serving(lambda handler, n: handler.answer(200)) as receiver,
    ):
        (tmp_path / "mqtt").write_text(PASSWORD)
        outputs = [f"events={events}", f"mqtt://{USER}@127.0.0.1:{mosquitto.port}", f"webhook={receiver.url}"]
        environment = {
            **os.environ,
            "EMOTION_OUTPUT": " ".join(outputs),
            "EMOTION_WEBHOOK_SECRET": secret,
            "EMOTION_MQTT_PASSWORD_FILE": str(tmp_path / "mqtt"),
            "EMOTION_EVENT_PICTURES": "true",
            "EMOTION_BLUR_FACES": "true",
        }
        run = subprocess.Popen(command("run", "sample"), env=environment, stderr=subprocess.PIPE, text=True)
        until(lambda: ear.on("emotion/sample/state"), 60)
        seen = command_lines(run.pid)
        _, told = run.communicate(timeout=100)
        assert run.returncode == 0, told
        until(lambda: ear.on("emotion/status")[-1].payload == "offline")
    assert sum("emotion_stream.sink" in line for line in seen) == 1
    for text in (*seen, told):
        assert "SECRET" not in text  # that of webhooks, and the path of theirs
        assert PASSWORD not in text
    written = [event["id"] for event in lines(events)]
    assert written
    assert sorted(check(heard.json())["id"] for heard in ear.on("emotion/sample/event")) == sorted(written)
    assert sorted(receiver.answered) == sorted(written)
    assert all("X-Signature" in headers for headers, _ in receiver.requests)
    pictures = [event for body in receiver.bodies() for event in body["events"] if "picture" in check(event)]
    assert len(pictures) > 3
    assert "picture" not in events.read_text() + "".join(heard.payload for heard in ear.heard)
    for event in pictures:
        shown = gray(b64decode(event["picture"].removeprefix("data:image/jpeg;base64,")))
        plain = gray(cut(sample_frames()[event["seq"] + 3], Box(*event["box"])))
        assert shown.shape == plain.shape
        assert detail(shown) < 0.3 * detail(plain)
    at_last = ear.on("emotion/sample/state")[-1].json()
    assert (at_last["online"], at_last["reason"], at_last["faces"]) == (False, "ended", 0)
    assert len([heard for heard in ear.heard if heard.topic.startswith("homeassistant/")]) == 3


def gray(jpeg: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def detail(picture: Image) -> float:
    """How much there is to see of eyes and mouth, in the middle: tiles of one colour have nothing but edges."""
    height, width = picture.shape[:2]
    middle = picture[height // 4 : -height // 4, width // 4 : -width // 4]
    return float(np.median(np.abs(cv2.Laplacian(middle, cv2.CV_64F))))


def command_lines(pid: int) -> list[str]:
    """Those of a process and all that it has started."""
    found = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += command_lines(int(child))
    return found
