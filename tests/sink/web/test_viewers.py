"""Viewers of the page, fast and slow, and the page of a whole run."""

import http.client
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.sink.results.monitor import Report
from emotion_stream.sink.results.stats import Stats
from emotion_stream.sink.web import pictures
from emotion_stream.sink.web.http.address import Address
from emotion_stream.sink.web.hub import Hub
from emotion_stream.sink.web.lane import Shot
from emotion_stream.sink.web.output import Web
from tests.sink.web.conftest import Serve
from tests.sink.web.test_web import until
from tests.support.web_feed import Client, events, make_image, make_result, noise, records

# --- viewers -----------------------------------------------------------------------------------------------


def seqs(response: Any, last: int, found: list[int], rest: Callable[[], None] = lambda: None) -> None:
    """Collect the numbers of pictures until the last one has come; `rest` after each."""
    for head, _ in records(response):
        if head["kind"] == "picture":
            found.append(head["seq"])
            if head["seq"] >= last:
                return
            rest()


def test_a_slow_viewer_skips_and_slows_nobody(serve: Serve) -> None:
    """One viewer takes a picture, of 700 kB, for every ten that come, one none at all; the third gets all."""
    web = serve()
    path = "/api/live?width=0&fps=60"
    last, written = 60, 0
    slow: list[int] = []
    fast: list[int] = []

    def dawdle() -> None:
        mark = min(last, written + 10)
        until(lambda: written >= mark, 100)

    web.write(make_result(0), noise(0, 1280, 720))
    idle = Client(web).open(path)
    threads = [
        threading.Thread(target=seqs, args=(Client(web, timeout=100).open(path), last, slow, dawdle)),
        threading.Thread(target=seqs, args=(Client(web, timeout=100).open(path), last, fast)),
    ]
    for thread in threads:
        thread.start()
    worst = 0.0
    image = noise(1, 1280, 720)
    for seq in range(1, last + 1):
        until(lambda: fast[-1:] == [written], 100)  # noqa: B023  it is asked at once
        time.sleep(1 / 60)
        started = time.thread_time()
        web.write(make_result(seq), image)
        worst = max(worst, time.thread_time() - started)
        written = seq
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive()
    idle.close()
    assert fast == list(range(last + 1))
    assert slow[-1] == last
    assert slow == sorted(set(slow))
    assert len(slow) < last / 2  # what had come into the system's buffers, and then one of ten
    assert worst < 0.02  # seconds of work: a frame is handed over, whatever viewers do


def test_ten_viewers_share_every_picture(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    render = pictures.render

    def counted(shot: Shot, *arguments: Any) -> bytes:
        made.append(shot.number)
        return render(shot, *arguments)

    monkeypatch.setattr(pictures, "render", counted)
    web = serve()
    web.write(make_result(0), make_image())
    last = 20
    found: list[list[int]] = [[] for _ in range(10)]
    threads = [
        threading.Thread(target=seqs, args=(Client(web).open("/api/live?width=640&fps=60"), last, seen))
        for seen in found
    ]
    for thread in threads:
        thread.start()
    until(lambda: all(found))
    for seq in range(1, last + 1):
        web.write(make_result(seq), make_image(seq))
        time.sleep(0.05)
    for thread in threads:
        thread.join(30)
    assert [seen[-1] for seen in found] == [last] * 10
    assert len(made) == len(set(made)) <= last + 1


def test_viewers_are_limited_and_their_seats_come_free(serve: Serve) -> None:
    web = serve(options=WebOptions(web_viewers=2))
    client = Client(web)
    open_ones = [client.open("/api/events"), client.open("/api/live")]
    status, body = client.get("/api/live")
    assert status == 503
    assert b"--web-viewers" in body
    until(lambda: client.json("/api/run")["viewers"] == 1)
    for response in open_ones:
        response.close()
    until(lambda: client.json("/api/run")["viewers"] == 0)
    again = client.open("/api/live")
    assert again.status == 200
    again.close()


def test_pictures_are_fetched_for_viewers_only(serve: Serve) -> None:
    now = 100.0
    hub = Hub(clock=lambda: now)

    def wanted(frames: int = 100) -> int:
        """Pictures asked for in as many frames at 30 fps of each of two cameras."""
        nonlocal now
        count = 0
        for seq in range(frames):
            now += 1 / 30
            count += hub.wants_image(make_result(seq, "a").info)
            count += hub.wants_image(make_result(seq, "b").info)
        return count

    assert 6 <= wanted() <= 8  # one a second each
    hub.watch(1)
    assert wanted() == 200
    hub.watch(-1)
    wanted(40)
    assert 6 <= wanted() <= 8
    hub.glance()
    assert wanted() == 200


def test_the_pictures_cost_nothing_while_nobody_looks(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(shot: Shot, *_: Any) -> bytes:
        made.append(shot.number)
        return b""

    monkeypatch.setattr(pictures, "render", counted)
    web = serve()
    with Client(web).open("/api/events") as response:  # results alone are cheap
        for seq in range(20):
            web.write(make_result(seq), make_image())
        found: dict[str, Any] = next(data for kind, data in events(response) if kind == "result")
        assert found["camera"] == "cam"
    assert not made


# --- in a run ----------------------------------------------------------------------------------------------


def page_of(process: "subprocess.Popen[str]") -> tuple[str, int]:
    """Host and port that a run prints."""
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(r"web page: http://([0-9.a-z]+):(\d+)/", line):
            return match[1], int(match[2])
    raise AssertionError("no page was announced")


def folder_of_pictures(tmp_path: Path, count: int) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(count):
        cv2.imwrite(str(folder / f"{n}.jpg"), make_image(60 + n))
    return folder


def test_a_run_shows_its_page_and_says_when_it_ends(tmp_path: Path) -> None:
    folder = folder_of_pictures(tmp_path, 150)
    out = tmp_path / "results.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "emotion_stream", "run", f"--source=door={folder}", "--output=web=127.0.0.1:0",
         f"--output=jsonl={out}", "--scan-width=160"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        host, port = page_of(process)
        connection = http.client.HTTPConnection(host, port, timeout=90)
        connection.request("GET", "/api/live?width=0")
        kinds: list[str] = []
        with connection.getresponse() as response:
            for head, _ in records(response):
                kinds.append(head["kind"])
                if head["kind"] == "status":
                    status = head
        connection.close()
        assert kinds[-1] == "end"
        assert "picture" in kinds
        assert status["cameras"][0]["name"] == "door"
        assert status["cameras"][0]["state"] == "ended"
        assert status["cameras"][0]["frames"] == 150
        told = process.communicate(timeout=60)[1]
        assert process.returncode == 0, told
    finally:
        process.kill()
        process.communicate()
    assert len(out.read_text().splitlines()) == 150
    assert "127.0.0.1:" not in told.partition("written")[2]


def test_a_person_at_a_terminal_gets_a_page_that_stays(tmp_path: Path) -> None:
    """Without an output: it stays with its results until Ctrl-C, and the last line says how to keep them."""
    folder = folder_of_pictures(tmp_path, 2)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "emotion_stream", "run", f"--source={folder}", "--scan-width=160"], stderr=theirs
    )
    os.close(theirs)
    told = b""
    asked = None
    try:
        while chunk := _read(ours):
            told += chunk
            page = re.search(rb"the page stays until Ctrl-C: http://127\.0\.0\.1:(\d+)/\r?\n", told)
            if page and process.poll() is None and b"written" not in told and not asked:
                connection = http.client.HTTPConnection("127.0.0.1", int(page[1]), timeout=20)
                connection.request("GET", "/api/cameras")
                asked = json.loads(connection.getresponse().read())
                connection.close()
                process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert re.search(rb"web page: http://127\.0\.0\.1:\d+/\r?\n", told), told
    assert asked, told
    assert b"--output jsonl=results.jsonl" in told.splitlines()[-1]


def test_at_a_terminal_a_report_or_summary_ends_with_the_file(tmp_path: Path) -> None:
    folder = folder_of_pictures(tmp_path, 2)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "emotion_stream", "run", f"--source={folder}", "--scan-width=160"]
    process = subprocess.Popen([*command, f"--summary-json={tmp_path / 's.json'}"], stderr=theirs)
    os.close(theirs)
    try:
        while _read(ours):
            pass
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert json.loads((tmp_path / "s.json").read_text())["frames"] == 2


def _read(descriptor: int) -> bytes:
    """What the terminal got; empty at its end, which Linux tells by an error."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def test_a_run_on_every_address_prints_its_token_once(tmp_path: Path) -> None:
    folder = folder_of_pictures(tmp_path, 1)
    process = subprocess.Popen(
        [sys.executable, "-m", "emotion_stream", "run", f"--source={folder}", "--loop", "--mode=live",
         "--output=web=0.0.0.0:0", "--scan-width=160"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "web page" in line)
        match = re.search(r"http://localhost:(\d+)/\?token=([\w-]{32})", line)
        assert match
        connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=20)
        for headers, status in (({}, 401), ({"Authorization": f"Bearer {match[2]}"}, 200)):
            connection.request("GET", "/api/run", headers=headers)
            with connection.getresponse() as response:
                assert response.status == status
                response.read()
        connection.close()
    finally:
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert match[2] not in rest
    assert process.returncode == 0, rest


@pytest.mark.parametrize(
    ("alone", "mode", "over", "last"),
    [
        (True, "lossless", False, "hung up"),
        (True, "lossless", True, "end"),
        (True, "live", True, "hung up"),
        (False, "live", False, "end"),
    ],
)
def test_a_sink_that_is_started_anew_ends_no_run(alone: bool, mode: str, over: bool, last: str) -> None:
    """Viewers of a sink on its own are hung up on, and come again, unless all passes have come to their end. Live
    cameras have not: `docker-compose restart` stops the producer first, which tells their end."""
    web = Web(Address(port=0), WebOptions(), announce=alone)
    connection = http.client.HTTPConnection(web.address.host, web.address.port, timeout=20)
    kinds: list[str] = []
    began = threading.Event()

    def watch() -> None:
        connection.request("GET", "/api/live?width=0")
        with connection.getresponse() as response:
            for head, _ in records(response):
                kinds.append(head["kind"])
                began.set()
        kinds.append("hung up")

    thread = threading.Thread(target=watch)
    thread.start()
    result = make_result(0, mode=mode)
    web.write(result, make_image())
    assert began.wait(10)
    if over:
        web.report(Report(Stats(), 0.0, frozenset([result.info.camera])))
    web.close()
    thread.join(10)
    connection.close()
    assert (kinds[-2] if kinds[-2] == "end" else kinds[-1]) == last


def test_a_taken_port_ends_the_run_before_anything_starts(serve: Serve) -> None:
    port = serve().address.port
    done = subprocess.run(
        [sys.executable, "-m", "emotion_stream", "run", "--source=sample", f"--output=web=127.0.0.1:{port}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert len(told) == 1
    assert str(port) in told[0]
    assert "--output web=" in told[0]
