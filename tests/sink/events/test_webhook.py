"""Webhooks against a real server that fails, hangs, answers slowly and closes early."""

import hashlib
import hmac
import itertools
import logging
import socket
import ssl
import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.shared.errors import UsageError
from emotion_stream.sink.events.post import parse_hook
from emotion_stream.sink.events.webhook import Pace, Webhook
from tests.support.broker import certificates
from tests.support.events import check, make_event, until
from tests.support.pictures import sample_frames
from tests.support.receiver import Handler, serving
from tests.support.web_feed import make_result

FAST = Pace(gather=0.05, answer=0.4, first_pause=0.02, longest_pause=0.1, leave=2.0)


def test_one_post_for_what_happened_within_a_moment() -> None:
    with serving(lambda handler, n: handler.answer(204)) as receiver:
        hook = Webhook(receiver.url, secret="schlüssel", pace=Pace(gather=0.5))
        for n in range(5):
            hook.tell(make_event(n, name="Eingang Süd"))
        until(lambda: len(receiver.answered) == 5)
        hook.tell(make_event(5))
        hook.close()
    assert [len(body["events"]) for body in receiver.bodies()] == [5, 1]
    for body in receiver.bodies():
        assert body["version"] == 1
        for event in body["events"]:
            check(event)
    assert receiver.bodies()[0]["events"][0]["name"] == "Eingang Süd"
    keys = set()
    for headers, raw in receiver.requests:
        signed = hmac.new("schlüssel".encode(), raw, hashlib.sha256).hexdigest()
        assert headers["X-Signature"] == f"sha256={signed}"
        assert headers["Content-Type"] == "application/json"
        assert headers["path"] == "/hook/SECRETPATH?token=abc"
        keys.add(headers["Idempotency-Key"])
    assert len(keys) == 2


def test_without_a_secret_nothing_is_signed_and_a_user_is_told_by_its_header() -> None:
    with serving(lambda handler, n: handler.answer(200)) as receiver:
        hook = Webhook(receiver.url.replace("//", "//me:p%40ss@"), pace=FAST)
        hook.tell(make_event())
        hook.close()
    ((headers, _),) = receiver.requests
    assert "X-Signature" not in headers
    assert b64decode(headers["Authorization"].removeprefix("Basic ")) == b"me:p@ss"


def fails(handler: Handler, n: int) -> None:
    handler.answer(503)


def hangs(handler: Handler, n: int) -> None:
    time.sleep(1.0)


def closes_early(handler: Handler, n: int) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def dribbles(handler: Handler, n: int) -> None:
    """A byte now and then, so that each wait for one is short, and the answer never comes."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200:
        try:
            handler.connection.send(bytes([byte]))
        except OSError:
            return
        time.sleep(0.05)


def babbles(handler: Handler, n: int) -> None:
    handler.connection.send(b"220 mail.example.com ESMTP\r\n")
    handler.connection.shutdown(socket.SHUT_RDWR)


def answers_slowly(handler: Handler, n: int) -> None:
    time.sleep(0.2)
    handler.answer(200)


def test_an_answer_that_is_slow_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serving(answers_slowly) as receiver:
        hook = Webhook(receiver.url, pace=Pace(gather=0.0, answer=10.0))
        for n in range(4):
            hook.tell(make_event(n))
            until(lambda n=n: len(receiver.requests) == n + 1)  # type: ignore[misc]
        hook.close()
    assert receiver.answered == [make_event(n).id for n in range(4)]
    assert len(receiver.requests) == 4
    assert caplog.text == ""


def test_a_server_that_takes_less_than_comes_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lost: list[int] = []
    go_on = threading.Event()

    def waits(handler: Handler, n: int) -> None:
        go_on.wait(20)
        handler.answer(200)

    with serving(waits) as receiver:
        hook = Webhook(receiver.url, left_out=lost.append, pace=Pace(gather=0.0, answer=20.0), most=150)
        hook.tell(make_event(0))
        until(lambda: len(receiver.requests) == 1)
        for n in range(1, 301):
            hook.tell(make_event(n))
        go_on.set()
        until(lambda: len(receiver.answered) == 151)
        hook.close()
    assert receiver.answered == [make_event(n).id for n in (0, *range(151, 301))]
    assert sum(lost) == 150
    lines = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert lines == [
        "it takes less than comes: the oldest is left out",
        "it keeps up again; 150 events were left out",
    ]


@pytest.mark.parametrize("trouble", [fails, hangs, closes_early, dribbles, babbles])
def test_what_has_no_answer_is_sent_again_with_the_same_key_until_it_has(
    trouble: Callable[[Handler, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lost: list[int] = []
    with serving(lambda handler, n: trouble(handler, n) if n < 3 else handler.answer(200)) as receiver:
        hook = Webhook(receiver.url, left_out=lost.append, pace=FAST)
        for n in range(3):
            hook.tell(make_event(n))
        until(lambda: len(receiver.requests) >= 2)
        for n in range(3, 6):
            hook.tell(make_event(n))
        until(lambda: len(receiver.answered) == 6)
        hook.close()
    tries = Counter(headers["Idempotency-Key"] for headers, _ in receiver.requests)
    assert sorted(tries.values()) == [1, 4]
    assert len({body for headers, body in receiver.requests if tries[headers["Idempotency-Key"]] == 4}) == 1
    assert Counter(receiver.answered) == Counter(make_event(n).id for n in range(6))
    assert lost == []
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2, lines
    assert lines[0].endswith(": trying again")
    assert lines[1].endswith(": it answers again")
    assert "SECRETPATH" not in caplog.text


def test_pauses_grow() -> None:
    times: list[float] = []

    def note(handler: Handler, n: int) -> None:
        times.append(time.monotonic())
        handler.answer(500 if n < 5 else 200)

    with serving(note) as receiver:
        hook = Webhook(receiver.url, pace=Pace(gather=0.0, first_pause=0.05, longest_pause=0.2))
        hook.tell(make_event())
        until(lambda: bool(receiver.answered))
        hook.close()
    gaps = [b - a for a, b in itertools.pairwise(times)]
    for gap, pause in zip(gaps, (0.05, 0.1, 0.2, 0.2, 0.2), strict=True):
        assert gap >= pause


@pytest.mark.parametrize("status", [301, 400, 404, 429])
def test_what_is_refused_is_left_out_and_not_sent_again(status: int, caplog: pytest.LogCaptureFixture) -> None:
    lost: list[int] = []
    location = {"Location": "http://127.0.0.1:9/elsewhere"} if status == 301 else {}
    with serving(lambda handler, n: handler.answer(status if n < 2 else 200, **location)) as receiver:
        hook = Webhook(receiver.url, left_out=lost.append, pace=FAST)
        for n in range(3):
            hook.tell(make_event(n))
            until(lambda n=n: len(receiver.answered) == n + 1)  # type: ignore[misc]
        hook.close()
    assert len(receiver.requests) == 3
    assert lost == [1, 1]
    assert caplog.text.count(f"it answered {status}") == 1


def test_a_full_queue_leaves_out_the_oldest_and_counts_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lost: list[int] = []
    back = threading.Event()
    with serving(lambda handler, n: handler.answer(200 if back.is_set() else 500)) as receiver:
        hook = Webhook(receiver.url, left_out=lost.append, pace=FAST, most=10)
        hook.tell(make_event(0))
        until(lambda: len(receiver.requests) >= 1)
        for n in range(1, 31):
            hook.tell(make_event(n))
        back.set()
        until(lambda: len(receiver.answered) == 11)
        hook.close()
    assert receiver.answered == [make_event(n).id for n in (0, *range(21, 31))]
    assert sum(lost) == 20
    assert "20 events were left out" in caplog.text


def test_on_the_way_out_what_waits_is_sent() -> None:
    with serving(lambda handler, n: handler.answer(500 if n < 2 else 200)) as receiver:
        hook = Webhook(receiver.url, pace=Pace(gather=30.0, first_pause=30.0))
        for n in range(250):
            hook.tell(make_event(n))
        begun = time.monotonic()
        hook.close()
        assert time.monotonic() - begun < 2.5
    assert len(receiver.answered) == 250
    assert {len(body["events"]) for body in receiver.bodies()} == {100, 50}


@pytest.mark.parametrize("trouble", [hangs, fails, None])
def test_nobody_waits_for_long_on_the_way_out(
    trouble: Callable[[Handler, int], None] | None, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[int] = []
    with serving(trouble or fails) as receiver:
        url = receiver.url if trouble else "http://127.0.0.1:9/nobody"
        hook = Webhook(url, left_out=lost.append, pace=Pace(gather=0.0, leave=0.6))
        hook.tell(make_event(0))
        time.sleep(0.1)
        hook.tell(make_event(1))
        begun = time.monotonic()
        hook.close()
        hook.close()
        assert time.monotonic() - begun < 1.2
        assert not hook._thread.is_alive()
    assert sum(lost) == 2
    assert "2 events were never sent" in caplog.text


def test_telling_never_waits() -> None:
    with serving(hangs) as receiver:
        hook = Webhook(receiver.url, pace=Pace(gather=0.0, leave=0.1))
        hook.tell(make_event())
        until(lambda: bool(receiver.requests))
        slowest = 0.0
        for n in range(3000):
            begun = time.thread_time()
            hook.tell(make_event(n))
            slowest = max(slowest, time.thread_time() - begun)
        assert len(hook._box) <= 1000
        assert slowest < 0.05
        hook.close()


def test_pictures_leave_only_where_they_are_wanted() -> None:
    frame = sample_frames()[115]
    shown = make_result(0)
    with serving(lambda handler, n: handler.answer(200)) as receiver:
        for wanted in (False, True):
            hook = Webhook(receiver.url, pictures=wanted, pace=FAST)
            assert hook.needs_image == wanted
            hook.write(shown, frame if hook.needs_image else None)
            hook.tell(make_event())
            hook.tell(make_event(1, camera="other"))
            hook.close()
    without, with_one = receiver.bodies()
    assert not any("picture" in event for event in without["events"])
    own, other = with_one["events"]
    check(own)
    assert "picture" not in other  # it is of another camera
    data = b64decode(own["picture"].removeprefix("data:image/jpeg;base64,"))
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[:2] == (144, 144)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h/SECRET",
        "ftp://h/SECRET",
        "https:///SECRET",
        "https://h:p/SECRET",
        "https://hö/SECRET",
        "http://a b/",
    ],
)
def test_what_is_no_address_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(UsageError, match="name an address such as") as caught:
        parse_hook(url)
    assert "SECRET" not in str(caught.value)


def test_of_an_address_only_the_host_is_told() -> None:
    hook = parse_hook("https://user:pw@[::1]:8443/services/T00/B00/XXX?key=1")
    assert hook.shown == "https://[::1]:8443"
    assert (hook.host, hook.port, hook.path) == ("::1", 8443, "/services/T00/B00/XXX?key=1")


def test_a_certificate_that_nobody_trusts_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["server"], files["server.key"])
    with serving(lambda handler, n: handler.answer(200), context) as receiver:
        url = receiver.url.replace("http:", "https:")
        for trusted, count in (("other", 0), ("ca", 1)):
            monkeypatch.setenv("SSL_CERT_FILE", str(files[trusted]))
            hook = Webhook(url, pace=Pace(gather=0.0, leave=0.5))
            hook.tell(make_event())
            time.sleep(0.3)
            hook.close()
            assert len(receiver.answered) == count
    assert caplog.text.count("its certificate is not trusted") == 1
