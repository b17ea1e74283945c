"""Who may look at the web page: names, other sites' pages, tokens, limits."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from emotion_stream.emotion.runner.page import settle_page
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.sink.web.http import connections, security
from emotion_stream.sink.web.http.address import Address, access, settle, urls
from emotion_stream.sink.web.http.security import Budget
from emotion_stream.sink.web.output import Web
from tests.support.web_feed import Client, make_image, make_result

TOKEN = "a-token-of-some-length"
PATHS = ("/", "/docs", "/openapi.json", "/api/run", "/api/cameras", "/api/events", "/api/live", "/api/results",
         "/stream/cam.mjpg", "/snapshot/cam.jpg")  # fmt: skip


@pytest.fixture
def page() -> Iterator[Web]:
    """A page without a token."""
    web = Web(Address(port=0), WebOptions(web_host=("door.example",)))
    web.write(make_result(), make_image())
    yield web
    web.close()


@pytest.fixture
def closed() -> Iterator[Web]:
    """A page with a token."""
    web = Web(Address(port=0), WebOptions(web_token=TOKEN))
    web.write(make_result(), make_image())
    yield web
    web.close()


# --- names -------------------------------------------------------------------------------------------------


FOREIGN = ("evil.example", "127.0.0.1.evil.example", "", "10.0.0.1", "localhost.evil.example", "evil.example:8080",
           "[::2]", "127.0.0.1@evil.example", "[::1].evil.example", "localhost:evil.example", "[::1")  # fmt: skip
GARBAGE = (
    b"NONSENSE\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"\x16\x03\x01\x00",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
)


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_name_is_refused(page: Web, host: str) -> None:
    """A page whose name was made to point here (DNS rebinding) asks for its own name."""
    for path in ("/", "/api/run", "/static/page/page.css", "/healthz"):
        assert Client(page).get(path, Host=host)[0] == 421, path


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:8080", "[::1]:80", "door.example"])
def test_own_host_names_are_served(page: Web, host: str) -> None:
    assert Client(page).get("/api/run", Host=host)[0] == 200


def test_on_every_address_any_address_will_do_but_no_foreign_name() -> None:
    allowed = access(WebOptions(web_open_to_anyone=True), Address("0.0.0.0", 80))
    assert security.is_ours(allowed, "192.168.1.5:8080")
    assert security.is_ours(allowed, "[fe80::1]:8080")
    assert security.is_ours(allowed, socket.gethostname())
    assert not security.is_ours(allowed, "evil.example")
    own = access(WebOptions(), Address("192.168.1.5", 80))
    assert security.is_ours(own, "192.168.1.5")
    assert not security.is_ours(own, "192.168.1.6")


# --- other sites -------------------------------------------------------------------------------------------


def test_pages_of_other_sites_may_not_ask(page: Web) -> None:
    client = Client(page)
    own = f"http://127.0.0.1:{page.address.port}"
    assert client.get("/api/run", Origin=own)[0] == 200
    for origin in ("http://evil.example", "http://127.0.0.1:1", "null", "http://localhost"):
        assert client.get("/api/run", Origin=origin)[0] == 403, origin
    for site in ("cross-site", "same-site"):
        assert client.get("/snapshot/cam.jpg", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")[0] == 403
        link = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
        assert client.get("/", **link)[0] == 200
        assert client.get("/", **{**link, "Sec_Fetch_Dest": "iframe"})[0] == 403
    assert client.get("/api/run", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors")[0] == 200


def test_every_answer_has_the_security_headers(closed: Web) -> None:
    client = Client(closed)
    for path, headers in (
        ("/", {}),
        ("/", {"Authorization": f"Bearer {TOKEN}"}),
        ("/static/page/page.css", {}),
        ("/none", {"Authorization": f"Bearer {TOKEN}"}),
        ("/api/live", {"Authorization": f"Bearer {TOKEN}"}),
        ("/", {"Host": "evil.example"}),
    ):
        response = client.open(path, **headers)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["Cache-Control"] in ("no-store", "no-cache", "no-store, no-transform")
        assert "Server" not in response.headers
        assert "Access-Control-Allow-Origin" not in response.headers
        response.close()


# --- tokens ------------------------------------------------------------------------------------------------


def test_only_other_addresses_need_a_token() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.9.9.9"):
        assert settle(WebOptions(), Address(host)).web_token == "", host
    made = {
        settle(WebOptions(), Address(host)).web_token for host in ("0.0.0.0", "::", "192.168.1.5", "a.example")
    }
    assert len(made) == 4
    assert all(len(token) == 32 for token in made)
    assert settle(WebOptions(web_open_to_anyone=True), Address("0.0.0.0")).web_token == ""
    assert settle(WebOptions(web_token=TOKEN), Address()).web_token == TOKEN


@pytest.mark.parametrize("token", ["short", "with spaces in its middle", "ümlaute-in-the-token-x", "a;b,c" * 5])
def test_bad_tokens_are_refused_when_set(token: str) -> None:
    with pytest.raises(UsageError, match="--web-token"):
        settle(WebOptions(web_token=token), Address())


def test_urls_carry_the_token() -> None:
    assert urls(Address("127.0.0.1", 80)) == ["http://127.0.0.1:80/"]
    assert urls(Address("::1", 80), "t") == ["http://[::1]:80/?token=t"]
    assert urls(Address("0.0.0.0", 80), "t")[0] == "http://localhost:80/?token=t"


def test_a_token_that_somebody_set_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The log of a container is kept, and read by others than those who may see the page."""
    for options, told in ((WebOptions(web_token=TOKEN), False), (WebOptions(), True)):
        web = Web(Address("0.0.0.0", 0), options, announce=True)
        web.close()
        printed = capsys.readouterr().err
        assert "web page: http://localhost:" in printed
        assert TOKEN not in printed
        assert ("?token=" in printed) == told
        page = settle_page(["web=0.0.0.0:0"], options, at_terminal=False)
        assert page.options.web_token
        assert [f"?token={page.options.web_token}" in url for url in page.urls] == [told] * len(page.urls)


def test_nothing_is_told_without_the_token(closed: Web) -> None:
    client = Client(closed)
    for path in PATHS:
        status, body = client.get(path)
        assert status in (401, 429), path
        assert TOKEN.encode() not in body
        assert b"cam" not in body
    assert client.get("/healthz") == (200, b"ok\n")
    assert client.get("/static/page/page.css")[0] == 200


def test_the_token_opens_everything(closed: Web) -> None:
    client = Client(closed, {"Authorization": f"Bearer {TOKEN}"})
    for path in PATHS:
        response = client.open(path)
        assert response.status == 200, path
        response.close()
    assert Client(closed).get(f"/api/run?token={TOKEN}")[0] == 200
    wrong = (f"{TOKEN}x", TOKEN[:-1], TOKEN.upper(), "", "ü" * 20)
    assert [
        Client(closed).get("/api/run", Authorization=f"Bearer {w}".encode().decode("latin-1"))[0] for w in wrong
    ] == [401] * len(wrong)


def test_the_token_in_the_address_becomes_a_cookie(closed: Web) -> None:
    client = Client(closed)
    response = client.open(f"/?token={TOKEN}&camera=a")
    assert response.status == 303
    assert response.headers["Location"] == "./?camera=a"
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    pair = cookie.partition(";")[0]
    assert client.get("/api/run", Cookie=f"other=1; {pair}")[0] == 200
    assert client.get("/api/run", Cookie=f"{pair}x")[0] == 401


def test_people_are_asked_for_the_token(closed: Web) -> None:
    status, body = Client(closed).get("/", Accept="text/html,application/xhtml+xml")
    assert status == 401
    assert b'name="token"' in body


@pytest.mark.parametrize(
    ("path", "headers", "told"),
    [
        ("/?token=some-other-token", {}, b"Wrong token."),
        ("/", {"Cookie": "emotion_token_{port}=the-one-of-yesterday"}, b"no longer holds"),
        ("/", {}, b""),
    ],
)
def test_a_wrong_token_is_told(closed: Web, path: str, headers: dict[str, str], told: bytes) -> None:
    sent = {name: value.format(port=closed.address.port) for name, value in headers.items()}
    status, body = Client(closed, {**sent, "Accept": "text/html"}).get(path)
    assert status == 401
    assert b'name="token"' in body
    assert (b'class="wrong"' in body) == bool(told)
    assert told in body
    # Whether one was printed, the page does not know: where somebody has set it, none was.
    assert b"Whoever set one knows it; where nobody did" in body


def test_programs_are_told_of_a_wrong_token(closed: Web) -> None:
    client = Client(closed)
    assert client.get("/api/run") == (401, b'{"detail": "a token is needed"}')
    assert client.get("/api/run", Authorization="Bearer wrong") == (401, b'{"detail": "wrong token"}')


def test_guessing_is_slow(closed: Web) -> None:
    client = Client(closed)
    answers = [client.get("/api/run", Authorization=f"Bearer guess-{n}")[0] for n in range(30)]
    assert answers[0] == 401
    assert answers[-1] == 429
    assert client.get("/api/run", Authorization=f"Bearer {TOKEN}")[0] == 200  # who knows it is not locked out


# --- limits ------------------------------------------------------------------------------------------------


def test_budgets_refill_and_forget() -> None:
    now = 0.0
    budget = Budget(2.0, 4.0, clock=lambda: now)
    assert [budget.spend("a") for _ in range(6)] == [True] * 4 + [False] * 2
    assert budget.spend("b")
    now = 1.0
    assert [budget.spend("a") for _ in range(3)] == [True, True, False]
    for n in range(security.MOST_CLIENTS + 10):
        budget.spend(str(n))
    assert len(budget._left) == security.MOST_CLIENTS


def test_too_many_requests_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "REQUESTS", (0.01, 5.0))
    web = Web(Address(port=0), WebOptions())
    try:
        response = Client(web).open("/healthz")
        response.close()
        assert [Client(web).get("/healthz")[0] for _ in range(5)] == [200] * 4 + [429]
        assert b"slow down" in Client(web).get("/api/run")[1]
    finally:
        web.close()


def test_a_silent_connection_is_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_PATIENCE", 0.3)
    web = Web(Address(port=0), WebOptions())
    try:
        for said in (b"", b"GET / HTTP/1.1\r\nHost: local"):
            with closing(socket.create_connection((web.address.host, web.address.port), 20)) as sock:
                sock.sendall(said)
                started = time.monotonic()
                assert sock.recv(100) == b""
                assert time.monotonic() - started < 15
        assert Client(web).get("/healthz")[0] == 200
    finally:
        web.close()


def test_one_client_cannot_take_all_connections(page: Web) -> None:
    most = 128  # of the 256 that 32 viewers make
    held = [socket.create_connection((page.address.host, page.address.port), 20) for _ in range(most + 40)]
    try:
        deadline = time.monotonic() + 20
        gone = 0
        while not gone and time.monotonic() < deadline:
            time.sleep(0.05)
            gone = sum(_is_closed(sock) for sock in held)
        assert gone
    finally:
        for sock in held:
            sock.close()
    deadline = time.monotonic() + 20
    while True:
        try:
            assert Client(page).get("/healthz")[0] == 200
            break
        except (ConnectionError, http.client.HTTPException):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _is_closed(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_answered_shortly_and_does_no_harm(page: Web, garbage: bytes) -> None:
    with closing(socket.create_connection((page.address.host, page.address.port), 20)) as sock:
        sock.sendall(garbage)
        sock.shutdown(socket.SHUT_WR)
        try:
            answer = sock.recv(100)
        except ConnectionError:
            answer = b""
        assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert Client(page).get("/healthz")[0] == 200


def test_nothing_can_be_changed(page: Web) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        connection = http.client.HTTPConnection(page.address.host, page.address.port, timeout=20)
        connection.request(method, "/api/run", body=b"x")
        with connection.getresponse() as response:
            assert response.status == 405
        connection.close()
