"""The web page behind a real nginx: plain, below a path, compressed; and viewers that are slow there."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.sink.web.flight import FIRST_WINDOW, GUESS, LATE, SILENT, Flight, Flights
from emotion_stream.sink.web.http.address import Address
from emotion_stream.sink.web.http.paths import back, below
from emotion_stream.sink.web.output import Web
from tests.support.web_feed import Client, events, make_image, make_result, noise, records

needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx (Debian: nginx-light)")

CONFIG = """
daemon off; pid {here}/nginx.pid; error_log {here}/error.log; worker_processes 1; events {{ }}
http {{
  access_log off; client_body_temp_path {here}/b; proxy_temp_path {here}/p; fastcgi_temp_path {here}/f;
  uwsgi_temp_path {here}/u; scgi_temp_path {here}/s; {more}
  server {{ listen 127.0.0.1:{port}; location {location} {{ proxy_pass http://127.0.0.1:{to}; }} }}
}}
"""
GZIP = "gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1;"
Proxied = Callable[..., Client]


def free_port() -> int:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Proxied]:
    """Serves a page, with nginx before it; gives a client of nginx whose `web` has the page's `write`."""
    webs: list[Web] = []
    servers: list[subprocess.Popen[bytes]] = []

    def start(location: str = "/", strip: str = "", more: str = "", options: WebOptions | None = None) -> Client:
        web = Web(Address(port=0), options or WebOptions(), ("cam",))
        webs.append(web)
        here = tmp_path / f"nginx{len(webs)}"
        here.mkdir()
        address = Address(port=free_port())
        told = {"here": here, "port": address.port, "location": location, "to": f"{web.address.port}{strip}"}
        (here / "nginx.conf").write_text(CONFIG.format(**told, more=more))
        command = ["nginx", "-p", str(here), "-c", str(here / "nginx.conf")]
        servers.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + 60
        while True:
            with closing(socket.socket()) as sock:
                if sock.connect_ex((address.host, address.port)) == 0:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return Client(SimpleNamespace(address=address, web=web, write=web.write))  # type: ignore[arg-type]

    yield start
    for server in servers:
        server.terminate()
        server.wait(30)
    for web in webs:
        web.close()


def age(head: dict[str, Any], captured: dict[int, float]) -> float:
    return time.monotonic() - captured[head["seq"]]


# --- what comes, and when ------------------------------------------------------------------------------------


@needs_nginx
@pytest.mark.parametrize("more", ["", GZIP], ids=["plain", "gzip"])
def test_a_proxy_passes_everything_on_at_once(proxied: Proxied, more: str) -> None:
    """By itself nginx gathers a stream until its buffers are full: one small result would not come at all."""
    client = proxied(more=more)
    client.web.write(make_result(0), make_image())
    for path, read in (("/api/events", events), ("/api/live?pictures=true", records)):
        stream = client.open(path)
        assert stream.headers["X-Accel-Buffering"] is None  # nginx takes it for itself
        got: Iterator[Any] = read(stream)
        seen: set[Any] = set()
        for seq in (1, 2, 3):
            client.web.write(make_result(seq), make_image())
            while seq not in seen:  # with buffering this would time out
                seen |= {part.get("seq") for part in next(got) if isinstance(part, dict)}
        stream.close()
    motion = client.open("/stream/cam.mjpg")
    assert motion.readline().startswith(b"--frame")
    assert client.open("/api/run").status == 200


@needs_nginx
def test_compressed_for_browsers_it_comes_at_once_too(proxied: Proxied) -> None:
    client = proxied(more=GZIP)
    client.web.write(make_result(0), make_image())
    assert client.open("/api/run", Accept_Encoding="gzip").headers["Content-Encoding"] == "gzip"
    stream = client.open("/api/events", Accept_Encoding="gzip")
    assert stream.headers["Content-Encoding"] == "gzip"
    assert stream.read1(1 << 16)


@needs_nginx
@pytest.mark.parametrize(
    ("location", "strip", "root_path"),
    [("/cams/", "/", ""), ("/cams/", "/", "/cams"), ("/cams/", "", "/cams"), ("/", "", "")],
    ids=["stripped, not told", "stripped", "not stripped", "no path"],
)
def test_the_page_lies_below_any_path(proxied: Proxied, location: str, strip: str, root_path: str) -> None:
    token = "a-token-of-some-length"
    client = proxied(location, strip, options=WebOptions(web_token=token, web_root_path=root_path))
    client.web.write(make_result(0), make_image())
    base = f"http://{client.web.address}{location}"

    def get(url: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        told = urlsplit(url)
        response = client.open(f"{told.path}?{told.query}" if told.query else told.path, **headers)
        return response, response.read()

    response, body = get(base, Accept="text/html")
    assert response.status == 401
    pages = {base: body}
    response, _ = get(f"{base}?token={token}&camera=a")
    assert response.status == 303
    assert urljoin(base, response.headers["Location"]) == f"{base}?camera=a"
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    assert f"Path={root_path or '/'};" in response.headers["Set-Cookie"] + ";"
    for path in ("", "docs"):
        pages[base + path] = get(base + path, Cookie=cookie)[1]
    deep = f"{base}snapshot/cam.jpg"
    pages[deep] = get(deep, Accept="text/html")[1]  # asks for the token
    for page, body in pages.items():
        links = re.findall(r'(?:src|href|action)="([^"#]+)"', body.decode())
        assert len(links) > 4, body
        for link in links:
            response, _ = get(urljoin(page, link), Cookie=cookie)
            assert response.status == 200, (page, link)
    for name in ("camera.js", "main.js", "docs.js", "stream.js"):
        asked = re.findall(r'fetch\(["`]([^"`?$]+)', get(f"{base}static/{name}", Cookie=cookie)[1].decode())
        assert not [path for path in asked if path.startswith("/")]
    if root_path:
        told = json.loads(get(f"{base}openapi.json", Cookie=cookie)[1])
        assert told["servers"] == [{"url": root_path}]
        direct = Client(client.web.web).open(root_path)  # type: ignore[attr-defined]
        assert (direct.status, direct.headers["Location"]) == (308, f"{root_path}/")


@pytest.mark.parametrize("path", ["emotion", "/a b", "/a?b", "//a", "http://x/"])
def test_a_wrong_root_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="--web-root-path"):
        Web(Address(port=0), WebOptions(web_root_path=path))


def test_paths() -> None:
    assert below("/a", "/a/b") == "/b"
    assert below("/a", "/ab") == "/ab"
    assert below("", "/a") == "/a"
    assert [back(path) for path in ("/", "/docs", "/stream/cam.mjpg")] == ["./", "./", "../"]


# --- HEAD --------------------------------------------------------------------------------------------------


def test_head_wherever_get() -> None:
    web = Web(Address(port=0), WebOptions(web_viewers=2), ("cam",))
    web.write(make_result(0), make_image())
    paths = ("/", "/docs", "/favicon.ico", "/static/main.js", "/healthz", "/api/run", "/api/cameras",
             "/api/events", "/api/live", "/stream/cam.mjpg", "/snapshot/cam.jpg", "/api/results",
             "/openapi.json", "/none", "/api/seen?viewer=a&number=1")  # fmt: skip
    try:
        for _ in range(2):  # none keeps a viewer's seat
            for path in paths:
                told = Client(web).open(path)
                connection = http.client.HTTPConnection(web.address.host, web.address.port, timeout=20)
                connection.request("HEAD", path, headers={"Connection": "close"})
                head = connection.getresponse()
                assert head.read() == b""
                assert head.status == told.status, path
                changing = path in ("/api/run", "/api/cameras")  # they tell ages, of one digit or two
                length = () if changing else ("Content-Length",)
                for name in (*length, "Content-Type", "X-Accel-Buffering", "Content-Security-Policy"):
                    assert head.headers[name] == told.headers[name], (path, name)
                told.close()
                connection.close()
    finally:
        web.close()


# --- slow viewers ------------------------------------------------------------------------------------------


def watch(client: Client, query: str, rate: int, enough: Callable[[list[float]], bool], tell: bool) -> list[float]:
    """The ages of pictures as a viewer has them that reads so many bytes a second; 0: as fast as it can."""
    captured: dict[int, float] = {}
    over = threading.Event()

    def feed() -> None:
        seq = 0
        while not over.wait(0.05):
            captured[seq] = time.monotonic()
            client.web.write(make_result(seq), noise(seq % 7, 320, 180))  # 60 kB, 20 times a second
            seq += 1

    number = 0  # the next message

    def say() -> None:
        while tell and not over.wait(0.4):
            assert client.get(f"/api/seen?viewer=me&number={max(0, number - 1)}")[0] == 204

    threads = [threading.Thread(target=feed), threading.Thread(target=say)]
    for thread in threads:
        thread.start()
    ages: list[float] = []
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect((client.web.address.host, client.web.address.port))
        sock.sendall(f"GET /api/live?{query} HTTP/1.0\r\nHost: {client.web.address}\r\n\r\n".encode())
        held, started, come = b"", time.monotonic(), 0
        while not enough(ages):
            piece = sock.recv(8192)
            assert piece
            held += piece
            come += len(piece)
            if rate:
                time.sleep(max(0.0, come / rate - (time.monotonic() - started)))
            if number == 0 and b"\r\n\r\n" in held:
                held = held.partition(b"\r\n\r\n")[2]
                number = 1
            while number and len(held) >= 8:
                whole = 8 + int.from_bytes(held[:4]) + int.from_bytes(held[4:8])
                if len(held) < whole:
                    break
                head = json.loads(held[8 : 8 + int.from_bytes(held[:4])])
                held, number = held[whole:], number + 1
                if head["kind"] == "picture":
                    ages.append(age(head, captured))
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sock.close()
    return ages


@needs_nginx
def test_a_slow_viewer_behind_a_proxy_skips_pictures(proxied: Proxied) -> None:
    """It reads two pictures a second of 20. The proxy would hold two megabytes for it: a quarter of a minute."""
    client = proxied()
    ages = watch(client, "viewer=me", 120_000, lambda ages: len(ages) >= 24, tell=True)
    assert max(ages[6:]) < 4
    assert sum(ages[6:]) / len(ages[6:]) < 2


@needs_nginx
def test_one_that_does_not_tell_is_given_little(proxied: Proxied) -> None:
    client = proxied()
    ages = watch(client, "", 120_000, lambda ages: len(ages) >= 6, tell=False)
    assert max(ages) < 5


def test_one_that_tells_gets_everything() -> None:
    web = Web(Address(port=0), WebOptions(), ("cam",))
    try:
        started = time.monotonic()
        ages = watch(Client(web), "viewer=me", 0, lambda ages: len(ages) >= 30, tell=True)
        assert len(ages) / (time.monotonic() - started) > 4
    finally:
        web.close()


class Clock:
    """Time that passes when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_viewer_is_late_when_what_it_was_sent_has_not_come() -> None:
    clock = Clock()
    flight = Flight(clock=clock)
    assert not flight.is_late
    for _ in range(3):
        flight.send(1000)
    clock.now += LATE + 0.1
    assert flight.is_late
    flight.arrived(2)
    assert flight.is_late
    flight.arrived(3)
    assert not flight.is_late
    flight.send(1000)
    clock.now += SILENT + 0.1  # what it tells does not come through: the socket has to do
    assert not flight.is_late


def test_no_more_is_on_its_way_than_arrives_in_half_a_second() -> None:
    clock = Clock()
    flight = Flight(clock=clock)
    for _ in range(200):  # 60 kB/s; the viewer tells at once
        while not flight.is_late:
            flight.send(3000)
        first = flight._under_way[0][0]
        clock.now += 0.05
        flight.arrived(first)
    assert len(flight._under_way) * 3000 <= 60_000
    wide = Flight(clock=clock)
    for _ in range(8):
        while not wide.is_late and wide.sent < 1000:
            wide.send(40_000)
        clock.now += 0.1
        wide.arrived(wide.sent)
    assert wide.window > 10 * FIRST_WINDOW  # for one that takes all at once, it opens


def test_who_does_not_tell_is_taken_for_slow_behind_a_proxy_only() -> None:
    clock = Clock()
    direct, behind = Flight(tells=False, clock=clock), Flight(tells=False, proxied=True, clock=clock)
    for flight in (direct, behind):
        for _ in range(4):
            flight.send(GUESS // 2)
    assert (direct.is_late, behind.is_late) == (False, True)
    clock.now += 1.1
    assert not behind.is_late


def test_viewers_are_forgotten() -> None:
    flights = Flights()
    first = flights.begin("a", proxied=False)
    first.send(1)
    flights.arrived("b", 3)  # nobody
    for n in range(3000):
        flights.begin(f"v{n}", proxied=False)
    flights.arrived("a", 1)  # long gone
    assert len(flights._known) <= 2000
