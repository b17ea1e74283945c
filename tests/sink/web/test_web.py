"""The web page's server, asked over HTTP: what it shows, to how many, and how little that costs the pipeline."""

import csv
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.messages.types import Outcome
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.sink import catalogue as outputs
from emotion_stream.sink.events.event import as_json as event_as_json
from emotion_stream.sink.results.monitor import Monitor, Report
from emotion_stream.sink.results.output import as_json
from emotion_stream.sink.results.stats import Stats
from emotion_stream.sink.web import hub as hub_module
from emotion_stream.sink.web.http.address import Address, parse_address
from emotion_stream.sink.web.hub import Hub
from emotion_stream.sink.web.lane import QUIET
from emotion_stream.sink.web.output import Web
from emotion_stream.sink.web.timeline import POINTS, Timeline
from tests.sink.web.conftest import Serve
from tests.support.events import make_event
from tests.support.web_feed import HAPPY, LABELS, SAD, Client, events, make_image, make_result, records


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", "127.0.0.1:8080"),
        ("9000", "127.0.0.1:9000"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("door.example", "door.example:8080"),
        ("[::1]:81", "[::1]:81"),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


@pytest.mark.parametrize("text", ["a b", ":8080", "host:99999", "host:x", "http://host", "::1", "h/../x:1"])
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_address(text)


def test_one_page_beside_files(tmp_path: Path) -> None:
    specs = ["web=0.0.0.0:9000", f"jsonl={tmp_path / 'a.jsonl'}"]
    assert [spec.kind for spec in outputs.parse(specs)] == ["web", "jsonl"]
    assert outputs.files(specs) == [str(tmp_path / "a.jsonl")]
    assert outputs.web_address(specs) == Address("0.0.0.0", 9000)
    with pytest.raises(UsageError, match="once"):
        outputs.parse(["web", "web=9000"])


def test_it_is_opened_like_any_output(serve: Serve) -> None:
    opened = outputs.open_outputs(["web=0"], cameras=["door"])
    try:
        assert isinstance(opened[0], Monitor)
        assert isinstance(opened[0], Web)
        assert Client(opened[0]).json("/api/cameras")[0]["name"] == "door"
    finally:
        opened[0].close()


def test_a_port_in_use_is_one_clear_line(serve: Serve) -> None:
    taken = serve().address
    with pytest.raises(EmotionError, match=f"{taken.port}.*in use.*choose another") as told:
        Web(taken, WebOptions())
    assert "\n" not in str(told.value)


# --- what it shows -----------------------------------------------------------------------------------------


def test_page_and_its_files(serve: Serve) -> None:
    client = Client(serve())
    status, body = client.get("/")
    assert status == 200
    page = body.decode()
    for name in re.findall(r'(?:src|href)="(static/[^"]+)"', page):
        assert client.get(f"/{name}")[0] == 200, name
    assert not re.search(r"""(?:src|href|action)=["']/""", page)  # it may lie below any path
    assert not re.search(r"<script(?![^>]*(?:src=|type=.application/json))|<style| style=| on[a-z]+=", page)
    assert "http://" not in page
    assert "https://" not in page


def test_no_request_reaches_a_file(serve: Serve, tmp_path: Path) -> None:
    client = Client(serve())
    own = Path(hub_module.__file__)
    for path in (
        "/static/../hub.py",
        "/static/%2e%2e/hub.py",
        "/static/..%2fhub.py",
        f"/static/{own}",
        f"/static/%2F{own}",
        "/static/",
        "/static/vendor",
        "/snapshot/../../etc/passwd.jpg",
        "/snapshot/..%2f..%2fetc%2fpasswd.jpg",
        "/stream/%2e%2e%2fx.mjpg",
        "/hub.py",
    ):
        status, body = client.get(path)
        assert status == 404, path
        assert b"Hub" not in body


def test_files_are_kept_by_browsers_until_they_change(serve: Serve) -> None:
    client = Client(serve())
    first = client.open("/static/page/page.css")
    tag = first.headers["ETag"]
    assert tag
    assert client.get("/static/page/page.css", If_None_Match=tag) == (304, b"")


def test_cameras_before_and_after_their_first_frame(serve: Serve) -> None:
    web = serve("door", "hall", notice="Emotion recognition in use")
    client = Client(web)
    door, hall = client.json("/api/cameras")
    assert (door["state"], hall["state"]) == ("waiting", "waiting")
    assert client.get("/snapshot/door.jpg")[0] == 503
    for seq in range(5):
        web.write(make_result(seq, "door", faces=2), make_image())
    web.lost("door", "superseded_detector", 3)
    web.lost("door", "missing", 1)
    stats = Stats()
    web.report(Report(stats, 0.25, frozenset(["hall"])))
    run = client.json("/api/run")
    door, hall = run["cameras"]
    assert (door["state"], hall["state"]) == ("live", "ended")
    assert (door["width"], door["height"], door["faces"], door["frames"]) == (640, 360, 2, 5)
    assert door["latency_ms"] == {"p50": 50.0, "p99": 50.0}
    assert door["dropped"] == 4
    assert door["reasons"] == {"superseded_detector": 3, "missing": 1}
    assert run["lag_seconds"] == 0.25
    assert run["labels"] == list(LABELS)
    assert run["notice"] == "Emotion recognition in use"


def test_states_follow_the_clock() -> None:
    now = 100.0
    hub = Hub(["live", "file"], clock=lambda: now)

    def states() -> list[str]:
        return [camera.state for camera in hub.status().cameras]

    assert states() == ["waiting", "waiting"]
    for seq in range(20):
        now += 0.1
        hub.show(make_result(seq, "live"), make_image())
        hub.show(make_result(seq, "file", mode="lossless"), make_image())
    assert states() == ["live", "live"]
    assert [camera.fps for camera in hub.status().cameras] == [10.0, 10.0]
    now += QUIET + 0.1
    assert states() == ["lost", "paused"]
    assert hub.status().cameras[0].age_seconds == pytest.approx(QUIET + 0.1, abs=0.01)
    hub.lost("live", "superseded_detector", 1)  # frames come, but none is shown
    assert states() == ["live", "paused"]
    hub.report(Report(Stats(), 0.0, frozenset(["file"])))
    assert states() == ["live", "ended"]
    hub.show(make_result(20, "file", mode="lossless", epoch="another"), make_image())
    assert states() == ["live", "live"]
    hub.end()
    assert states() == ["ended", "ended"]


def test_a_camera_says_why_it_is_lost(serve: Serve) -> None:
    """What its producer tells goes to the page; where that says nothing, what is seen here."""
    web = serve("hall")
    client = Client(web)
    (hall,) = client.json("/api/cameras")
    assert (hall["state"], hall["reason"][:13], hall["source"]) == ("waiting", "no result yet", "")
    now = time.time()
    signal = Signal("lost", "401 Unauthorized", now - 60, "rtsp://me:***@hall/1", now + 8)
    web.report(Report(Stats(), 0.0, (), {"hall": signal}))
    (hall,) = client.json("/api/cameras")
    assert (hall["state"], hall["reason"], hall["source"]) == ("lost", "401 Unauthorized", "rtsp://me:***@hall/1")
    assert hall["since"] == pytest.approx(now - 60, abs=0.01)
    assert 7 < hall["retry_s"] <= 8
    web.report(Report(Stats(), 0.0, (), {"hall": Signal("waiting", "waiting for a key frame", now - 7, "")}))
    (hall,) = client.json("/api/cameras")
    assert hall["state"] == "waiting"
    assert hall["reason"].startswith("waiting for a key frame, ")
    web.report(Report(Stats(), 0.0, (), {"hall": Signal("live", None, now, "")}))
    web.write(make_result(0, "hall"), make_image())
    (hall,) = client.json("/api/cameras")
    assert (hall["state"], hall["reason"], hall["since"]) == ("live", None, pytest.approx(now, abs=0.01))


def test_a_slow_camera_keeps_its_signal() -> None:
    now = 100.0
    hub = Hub(clock=lambda: now)
    for seq in range(4):
        hub.show(make_result(seq), make_image())
        now += 10
    assert hub.status().cameras[0].state == "live"
    now += 25
    assert hub.status().cameras[0].state == "lost"


def test_snapshot_shows_the_newest_picture_annotated(serve: Serve) -> None:
    web = serve()
    web.write(make_result(0), make_image(40))
    web.write(make_result(1), make_image(90))
    response = Client(web).open("/snapshot/cam.jpg")
    assert response.headers["Content-Type"] == "image/jpeg"
    assert re.search(r'inline; filename="cam-[0-9-]+\.jpg"', response.headers["Content-Disposition"])
    image = cv2.imdecode(np.frombuffer(response.read(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (360, 640, 3)
    assert abs(int(image[300, 600].mean()) - 90) < 3
    assert abs(image[100, 40:160].astype(int) - 90).max() > 60  # the upper edge of the box
    small = cv2.imdecode(np.frombuffer(Client(web).get("/snapshot/cam.jpg?width=300")[1], np.uint8), 1)
    assert small is not None
    assert small.shape == (180, 320, 3)
    assert Client(web).get("/snapshot/nobody.jpg")[0] == 404


def test_an_unreadable_frame_says_so(serve: Serve) -> None:
    web = serve()
    web.write(make_result(0, faces=0, outcome=Outcome.error("not a picture"), width=0, height=0), None)
    status, body = Client(web).get("/snapshot/cam.jpg")
    assert status == 200
    image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (360, 640, 3)
    assert Client(web).json("/api/cameras")[0]["errors"] == 1


def test_events_carry_the_documented_lines(serve: Serve) -> None:
    web = serve()
    results = [make_result(0), make_result(1, faces=0)]
    web.write(results[0], make_image())
    response = Client(web).open("/api/events")
    assert response.headers["Content-Type"].startswith("text/event-stream")
    stream = events(response)
    assert [next(stream)[0], next(stream)[0]] == ["status", "timeline"]
    assert next(stream) == ("result", as_json(results[0]))
    web.write(results[1], None)
    found = next(data for kind, data in stream if kind == "result")
    assert found == as_json(results[1])
    threading.Thread(target=web.close).start()
    rest = list(stream)
    assert rest[-1] == ("end", {})
    assert [data["state"] for kind, data in rest if kind == "status"][-1] == "ended"


@pytest.mark.parametrize("path", ["/api/events", "/api/live"])
def test_viewers_are_told_of_events_those_before_they_came_included(serve: Serve, path: str) -> None:
    web = serve()
    web.write(make_result(0), None)
    for n in range(2):
        web.tell(make_event(n))
    response = Client(web).open(path)

    def told() -> Iterator[dict[str, Any]]:
        if path == "/api/events":
            yield from (data for kind, data in events(response) if kind == "event")
        else:
            yield from (head for head, _ in records(response) if head["kind"] == "event")

    stream = told()
    assert [next(stream)["event"] for _ in range(2)] == [event_as_json(make_event(n)) for n in range(2)]
    web.tell(make_event(2))
    newest = next(stream)
    assert (newest["camera"], newest["event"]["id"]) == ("cam", make_event(2).id)
    response.close()


def test_live_records_carry_pictures_of_the_cameras_asked_for(serve: Serve) -> None:
    web = serve()
    for camera in ("a", "b", "c"):
        web.write(make_result(0, camera), make_image(width=1280, height=720))
    found = []
    for head, body in records(Client(web).open("/api/live?camera=a&camera=c&width=400")):
        if head["kind"] == "picture":
            image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            found.append((head["camera"], image.shape))
        elif head["kind"] == "result":
            assert head["faces"][0]["probabilities"]["happy"] == 0.9
            assert body == b""
        if len(found) == 2:
            break
    assert found == [("a", (270, 480, 3)), ("c", (270, 480, 3))]


def test_motion_jpeg(serve: Serve) -> None:
    web = serve()
    web.write(make_result(0), make_image(50))
    response = Client(web).open("/stream/cam.mjpg")
    assert response.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"

    def part() -> int:
        """The brightness of the next picture."""
        assert response.readline() == b"--frame\r\n"
        assert response.readline() == b"Content-Type: image/jpeg\r\n"
        length = int(response.readline().split()[1])
        assert response.readline() == b"\r\n"
        image = cv2.imdecode(np.frombuffer(response.read(length), np.uint8), cv2.IMREAD_COLOR)
        assert response.readline() == b"\r\n"
        assert image is not None
        return round(float(image[300:, 500:].mean()) / 10) * 10

    assert part() == 50
    web.write(make_result(1), make_image(200))
    assert part() == 200
    assert Client(web).get("/stream/nobody.mjpg")[0] == 404


def test_results_as_lines_and_as_a_table(serve: Serve) -> None:
    web = serve()
    results = [make_result(seq, camera, faces=seq) for seq in range(3) for camera in ("a", "b")]
    for result in results:
        web.write(result, None)
    response = Client(web).open("/api/results")
    assert re.search(r'attachment; filename="emotions-[0-9-]+\.jsonl"', response.headers["Content-Disposition"])
    assert [json.loads(line) for line in response.read().splitlines()] == [as_json(r) for r in results]
    body = Client(web).get("/api/results?format=csv&camera=b")[1]
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert [(row["camera"], row["seq"], row["face"]) for row in rows] == [
        ("b", "0", ""), ("b", "1", "1"), ("b", "2", "1"), ("b", "2", "2")
    ]  # fmt: skip
    assert rows[1]["p_happy"] == "0.9"
    assert Client(web).get("/api/results?format=xml")[0] == 422


def test_what_is_kept_is_bounded() -> None:
    hub = Hub()
    crowd = make_result(0, faces=256)
    for _ in range(2 * hub_module.KEPT_FACES // 256):
        hub.show(crowd, None)
    assert sum(len(r.faces) for r in hub.results()) <= hub_module.KEPT_FACES
    empty = make_result(1, faces=0)
    for _ in range(hub_module.KEPT_FRAMES + 10):
        hub.show(empty, None)
    assert len(hub.results()) == hub_module.KEPT_FRAMES


def test_timeline_of_a_file_follows_the_medium() -> None:
    timeline = Timeline()

    def add(n: int, faces: int, probabilities: tuple[float, ...] = HAPPY) -> None:
        about: dict[str, Any] = {"mode": "lossless", "media_time": n / 10}
        timeline.add(make_result(n, faces=faces, probabilities=probabilities, **about))

    for n in range(10):
        add(n, 1)
    for n in range(10, 20):
        add(n, 2, SAD)
    for n in range(20, 30):
        add(n, 0)
    add(30, 1)
    assert timeline.axis == "medium"
    assert list(timeline.points) == [(0.0, HAPPY), (1.0, SAD), (2.0, None)]
    assert timeline.since(timeline.age, 2) == [(2.0, None)]
    assert timeline.since(timeline.age - 1, 2) == list(timeline.points)
    age = timeline.age
    add(0, 1)
    assert timeline.age == age + 1
    assert not timeline.points


def test_timeline_of_a_camera_follows_the_clock_and_shows_gaps() -> None:
    timeline = Timeline()
    for at in (100.0, 100.5, 101.0, 110.0, 111.0):
        timeline.add(make_result(0, captured_at=at, media_time=0.0))
    assert list(timeline.points) == [(100.0, HAPPY), (101.0, HAPPY), (102.0, None), (110.0, HAPPY)]
    for n in range(3 * POINTS):
        timeline.add(make_result(0, captured_at=200.0 + n))
    assert len(timeline.points) == POINTS
    assert len(timeline.since(timeline.age, 0)) == POINTS


def test_only_confirmed_faces_count() -> None:
    timeline, hub = Timeline(), Hub()
    result = make_result(0, captured_at=100.0, faces=2)
    doubtful = replace(result.faces[1], confirmed=False, probabilities=SAD)
    result = replace(result, faces=(result.faces[0], doubtful))
    timeline.add(result)
    timeline.end()
    assert list(timeline.points) == [(100.0, HAPPY)]
    hub.show(result, None)
    assert hub.status().cameras[0].faces == 1


def test_cameras_come_and_go(serve: Serve) -> None:
    web = serve("hall", "yard")
    client = Client(web)

    def report(*names: str) -> None:
        signals = {name: Signal("live", None, time.time(), "rtsp://x", place=n) for n, name in enumerate(names)}
        web.report(Report(Stats(), 0.0, frozenset(), signals))

    def names() -> list[str]:
        return [camera["name"] for camera in client.json("/api/cameras")]

    for name in ("hall", "yard"):
        web.write(make_result(0, name), make_image())
    report("door", "hall", "yard")
    assert names() == ["door", "hall", "yard"], "in the order of the settings, also before its first picture"
    assert client.json("/api/cameras")[0]["state"] == "waiting"
    pictures = client.open("/stream/hall.mjpg")
    assert pictures.read(100)
    results = events(client.open("/api/events?camera=hall"))
    assert next(results)[0] == "status"
    web.let_go("hall")
    report("yard", "door")
    assert names() == ["yard", "door"]
    assert client.get("/snapshot/hall.jpg")[0] == client.get("/api/history?camera=hall")[0] == 404
    pictures.read()  # it ends
    web.write(make_result(0, "hall"), make_image())  # it is back, and numbered anew
    assert any(kind == "result" and told["seq"] == 0 for kind, told in results)
    assert names() == ["yard", "door", "hall"]
