"""Log lines: both formats, and no password in any of them."""

import json
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from emotion_stream.producer.sources.spec import parse_source
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.log import HumanFormatter, JsonFormatter, first_line, redact_url, setup_logging
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.options import LinkOptions, ProducerOptions
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.shared.streams.connection import connect

ROOT = Path(__file__).parents[2]


@pytest.fixture
def undo() -> Iterator[None]:
    """Undoes what `setup_logging` changes in this process."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in root.handlers[:]:
        if isinstance(handler.formatter, HumanFormatter | JsonFormatter):
            root.removeHandler(handler)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("rtsp://user:hunter2@cam/stream", "rtsp://user:***@cam/stream"),
        ("rediss://u:hunter2@h, rtsp://v:hunter2@c!", "rediss://u:***@h, rtsp://v:***@c!"),
        ("RTSP://user:hunter2@cam", "RTSP://user:***@cam"),
        ("rtsp://user:p@hunter2@cam/1", "rtsp://user:***@cam/1"),
        ("rtsp://user:hunter2/x@cam/1", "rtsp://user:***@cam/1"),
        ("rtsp://user:it's-hunter2@cam", "rtsp://user:***@cam"),
        ("unix://:hunter2@/run/redis.sock?db=1", "unix://:***@/run/redis.sock?db=1"),
        ("http://cam/v?user=a&password=hunter2&x=1", "http://cam/v?user=a&password=***&x=1"),
        ("http://cam/v?PWD=hunter2", "http://cam/v?PWD=***"),
        ("rtsp://cam/user=a_password=hunter2_ch=1", "rtsp://cam/user=a_password=***"),
        ("rtsp://user:2024,hunter2@cam", "rtsp://user:***@cam"),
        ("rtsp://user:1);hunter2@cam/1", "rtsp://user:***@cam/1"),
        ("http://cam/v?password=it's-hunter2;x&n=1", "http://cam/v?password=***&n=1"),
        ("http://cam/v?psw=hunter2&key=hunter2", "http://cam/v?psw=***&key=***"),
        ("http://cam/v?X-Sig-Signature=hunter2#access_token=hunter2", "http://cam/v?X-Sig-Signature=***"),
    ],
)
def test_passwords_are_hidden(text: str, expected: str) -> None:
    assert redact_url(text) == expected
    assert "hunter2" not in redact_url(f"in '{text}' it is")


NAMES = (
    *(
        "snappwd",
        "userpwd",
        "loginpass",
        "loginpas",
        "psd",
        "jwt",
        "token",
        "key",
        "accessToken",
        "api_key",
        "apikey",
    ),
    *(
        "streamKey",
        "usrpsw",
        "passcode",
        "auth",
        "Authorization",
        "auth%5Bpwd%5D",
        "pwd[]",
        "secret_key",
        "clientsecret",
    ),
    *(
        "X-Amz-Signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
        "sig",
        "sas",
        "pw",
        "sessionid",
        "session_id",
    ),
    *("private-key", "userPassword", "PASSWD1", "otp", "pin", "key2"),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_that_looks_like_a_secret_is_hidden(name: str) -> None:
    for before in (
        "http://cam/snap.cgi?",
        "rtsp://cam/live?user=a&",
        "http://cam/a;",
        "http://cam/#",
        "http://cam/",
    ):
        told = redact_url(f"tried {before}{name}=hunter2&n=1: 401")
        assert told == f"tried {before}{name}=***&n=1: 401"
    assert redact_url(f"url: /snap.cgi?n=1&{name}=hunter2 (refused)") == f"url: /snap.cgi?n=1&{name}=*** (refused)"


@pytest.mark.parametrize(
    "name", ["user", "author", "passenger", "monkey", "keyframe", "channel", "subtype", "fps", "design", "canvas"]
)
def test_parameters_that_say_how_to_play_are_told(name: str) -> None:
    assert redact_url(f"http://cam/v?{name}=1&x=2") == f"http://cam/v?{name}=1&x=2"


def test_a_long_text_is_searched_in_reasonable_time() -> None:
    started = time.process_time()
    for text in (
        "rtsp://" + "_" * 50_000,
        "http://c/?" + "key" * 20_000,
        "http://c/?" + "&pass" * 10_000,
        "http://c/?" + "a=" * 50_000,
    ):
        redact_url(text)
    assert time.process_time() - started < 5


def test_an_error_becomes_one_line() -> None:
    assert first_line(OSError("redis://:hunter2@host is away.\nMore.")) == "redis://:***@host is away"
    assert first_line(ValueError("\n")) == "ValueError"  # some say nothing
    assert len(first_line(ValueError("x" * 1_000))) == 200


@pytest.mark.parametrize(
    "text",
    [
        "redis://localhost:6379/0",
        "http://user@host:80/a",
        "http://host:8080/mail@example",
        "redis://[::1]:6379/0",
        "plain text with a:b@c and password=x",
        "saw rtsp://cam:554, then wrote to me@example",
        "(rtsp://cam:554), http://cam/monkey=x?turkey=1",
    ],
)
def test_the_rest_stays_as_it_is(text: str) -> None:
    assert redact_url(text) == text


SPACED = (
    "rtsp://u:my hunter2@cam",
    'rtsp://u:my"hunter2@cam',
    "rtsp://u:<hunter2@cam",
    "http://c/?pwd=my hunter2",
)


@pytest.mark.parametrize("url", SPACED)
def test_a_url_whose_password_could_not_be_hidden_is_refused(url: str) -> None:
    for take, text in ((parse_source, url), (parse_source, f"cam={url}"), (connect, f"redis{url[4:]}")):
        with pytest.raises(UsageError, match="%20") as caught:
            take(text)
        assert "hunter2" not in str(caught.value)
    connect("unix:///run/my folder/a@b.sock")  # no password, no harm


@pytest.mark.parametrize("rest", ["u:hunter2/x@h", ":hunter2#x@h", ":hunter2?x@h:6379", "u:[hunter2@h"])
def test_a_piece_of_a_password_is_not_told_as_a_wrong_port(rest: str) -> None:
    with pytest.raises(UsageError, match=r"redis://.*\*\*\*@h.*%2F") as caught:
        connect(f"redis://{rest}")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.usefixtures("undo")
def test_human_lines(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("info", "human", "detector")
    logging.getLogger("x").info("opened %s", "rtsp://u:hunter2@cam")
    logging.getLogger("x").debug("not severe enough")
    logging.getLogger("x").warning("two\nlines \x1b[31mred")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" INFO    detector  opened rtsp://u:***@cam")
    assert second.endswith(r" WARNING detector  two\x0alines \x1b[31mred")


@pytest.mark.usefixtures("undo")
def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("debug", "json", "sink")
    try:
        raise OSError('no way to redis://:hunter2@host: "quoted"')
    except OSError:
        logging.getLogger("emotion_stream.shared.x").exception("lost %s", "redis://:hunter2@host", stack_info=True)
    (text,) = capsys.readouterr().err.splitlines()
    line = json.loads(text)
    assert line["level"] == "error"
    assert line["stage"] == "sink"
    assert line["logger"] == "emotion_stream.shared.x"
    assert line["message"] == "lost redis://:***@host"
    assert line["time"].endswith("+00:00")
    assert 'OSError: no way to redis://:***@host: "quoted"' in line["exception"]
    assert "hunter2" not in text


@pytest.mark.usefixtures("undo")
def test_chained_exceptions_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("info", "human", "producer")
    url = "rtsp://u:hunter" + "2@cam"
    try:
        try:
            raise OSError(url)
        except OSError as e:
            raise RuntimeError("again " + url) from e
    except RuntimeError:
        logging.getLogger("x").exception("camera")
    err = capsys.readouterr().err
    assert "RuntimeError: again rtsp://u:***@cam" in err
    assert "OSError: rtsp://u:***@cam" in err
    assert "hunter2" not in err


@pytest.mark.usefixtures("undo")
def test_setting_up_again_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("info", "human", "one")
    setup_logging("info", "human", "two")
    logging.getLogger("x").info("once")
    assert capsys.readouterr().err.count("once") == 1


FAILURES = {
    "main": "fail()",
    "thread": "t = threading.Thread(target=fail); t.start(); t.join()",
    "finalizer": "C = type('C', (), {'__del__': lambda self: fail()}); C()",
}


def test_a_ctrl_c_that_python_drops_leaves_no_traceback() -> None:
    """Python drops what is raised in a destructor, and in what it calls before and after a fork."""
    code = (
        "import signal\n"
        "from emotion_stream.shared.interrupt import interrupt, was_interrupted\n"
        "from emotion_stream.shared.log import setup_logging\n"
        "setup_logging('info', 'human', 'run')\n"
        "signal.signal(signal.SIGINT, interrupt)\n"
        "class Gone:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "Gone()\n"
        "print(was_interrupted())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


@pytest.mark.parametrize("where", FAILURES)
def test_uncaught_exceptions_become_redacted_log_lines(where: str) -> None:
    program = (
        "import threading\n"
        "from emotion_stream.shared.log import setup_logging\n"
        "setup_logging('info', 'json', 'sink')\n"
        "def fail():\n"
        "    raise ValueError('redis://:' + 'hunter' + '2@host')\n" + FAILURES[where]
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if where == "main" else 0)
    (text,) = done.stderr.splitlines()
    line = json.loads(text)
    assert line["level"] == "critical"
    assert line["message"] == "unexpected ValueError"
    assert "redis://:***@host" in line["exception"]
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--source", "rtsp://me:hunter" + "2@cam"], True),
        (["--redis=redis://:hunter" + "2@host"], True),
        (["--web-token", "hunter" + "2"], True),
        (["--source", "rtsp://me@cam", "--redis=redis://host:6379/0"], False),
    ],
)
@pytest.mark.usefixtures("undo")
def test_a_password_that_others_can_read_is_told(
    arguments: list[str], told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Values] = []
    settings = (LinkOptions, ProducerOptions, WebOptions)
    command = Command("test", "A command that does nothing.", settings, ran.append)
    assert command.main(arguments) == 0
    err = capsys.readouterr().err
    assert ("a password on the command line" in err) == told
    assert "hunter2" not in err
    assert ran
