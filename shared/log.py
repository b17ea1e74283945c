"""Logging to standard error: lines for people or JSON lines for machines, without passwords in either."""

import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

HIDDEN = "***"
NOTICE = 25
"""A level between info and warning: nothing is wrong, but whoever runs the pipeline wants to see it."""
logging.addLevelName(NOTICE, "NOTICE")

_USER_INFO = re.compile(
    r"""([a-z][a-z0-9+.-]{0,30}://[^\s/?\#:@\["<>]*):  # scheme, user, colon
    (?!\d+(?:[/?\#"\s]|$|[,;')\]}](?![^\s/?\#"<>]*@)))  # a port is no password, but where an @ follows
    [^\s"<>]*@                                    # to the last @: cameras' passwords hold @, : and /""",
    re.IGNORECASE | re.VERBOSE,
)
_SECRET = re.compile(
    r"""pass(?!enger|age|ive) | pwd | token | secret | auth(?!or(?!i)) | credential | signature | session_?id
    | bearer
    | (?:(?<![a-z0-9])|api|access|auth|aes|app|crypt|enc|master|private|secret|session|shared|sign|signing|stream
      |user)key(?!s?frame|int)
    | (?:pw|psw|psd|pas|sig|sas|jwt|otp|cred|creds|(?<![a-z0-9])(?:pin|sid|hash|digest|nonce|tk|tok))(?![a-z])""",
    re.IGNORECASE | re.VERBOSE,
)
"""What the name of a secret looks like, as cameras and clouds spell it: `snappwd`, `loginpass`, `api_key`."""
_NAME = re.compile(r"([?&;/\#=]|(?<![\w.%\[\]-])(?=-))([\w.%\[\]-]{1,80})$")
"""A parameter's name and what stands before it, at the end of a text."""
_VALUE = re.compile(r"""[^&\s"<>]+""")
_UNSEEN = re.compile(
    r"""[a-z][a-z0-9+.-]*://(?:(?!/)[^@]*[\s"<>].*@|[^?]*\?.*=.*[\s"<>])""", re.IGNORECASE | re.DOTALL
)
_CONTROL = {c: f"\\x{c:02x}" for c in (*range(9), *range(10, 32), *range(127, 160))}


def redact_url(text: str) -> str:
    """`text` with the passwords of all URLs in it replaced by `***`. User names stay.

    Both places are looked at: `scheme://user:password@host` and every parameter whose name looks like a secret's,
    such as `?snappwd=`; those also in a path that is told without its host. In doubt more is hidden rather than
    less.
    """
    if "://" in text:
        return _hide_parameters(_USER_INFO.sub(rf"\1:{HIDDEN}@", text))
    return _hide_parameters(text) if "?" in text else text


def _hide_parameters(text: str) -> str:
    """Every value behind a name and `=` where the name looks like a secret's. Linear in the length. Pure."""
    parts = []
    done = 0
    at = text.find("=")
    while at >= 0:
        name = _NAME.search(text, max(done, at - 81), at)
        if name and _SECRET.search(name[2]) and (value := _VALUE.match(text, at + 1)):
            parts += [text[done : at + 1], HIDDEN]
            done = value.end()
        at = text.find("=", max(done, at + 1))
    return "".join([*parts, text[done:]])


def hides(url: str) -> bool:
    """Whether `redact_url` can find the password of this URL in any text. It cannot if there are spaces, quotes or
    angle brackets around it, because nobody can say where such a password ends. Pure."""
    return _UNSEEN.match(url.strip()) is None


def clean(text: str) -> str:
    """`text` fit for a terminal: passwords of URLs replaced, control characters as escapes."""
    return redact_url(text).translate(_CONTROL)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has none: at most 200 characters, no passwords."""
    text = str(error).strip() or type(error).__name__
    return redact_url(text).splitlines()[0].rstrip(".")[:200]


class _Formatter(logging.Formatter):
    """What both formats share: redacting, exceptions included, and no control characters in a message."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.stage = stage

    def message(self, record: logging.LogRecord) -> str:
        return clean(record.getMessage())

    def trouble(self, record: logging.LogRecord) -> str:
        """The traceback and stack of `record`, or an empty text."""
        parts = []
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return redact_url("\n".join(parts))


class HumanFormatter(_Formatter):
    """`2026-11-22 18:17:03.512 INFO    detector  text`, in local time, tracebacks below."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback below it where there is one."""
        time = datetime.fromtimestamp(record.created).isoformat(" ", "milliseconds")
        line = f"{time} {record.levelname:<7} {self.stage}  {self.message(record)}"
        trouble = self.trouble(record)
        return f"{line}\n{trouble}" if trouble else line


class JsonFormatter(_Formatter):
    """One JSON object per line: `time` (ISO 8601, UTC), `level`, `stage`, `logger`, `message`, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "stage": self.stage,
            "logger": record.name,
            "message": self.message(record),
        }
        trouble = self.trouble(record)
        if trouble:
            line["exception"] = trouble
        return json.dumps(line, ensure_ascii=False)


def setup_logging(
    level: str = "info", fmt: Literal["human", "json"] | str = "human", stage: str = "emotion"
) -> None:
    """Send this process's log lines to standard error, replacing what was set up before.

    Exceptions that nobody catches, or that cannot be raised, become log lines, too, so that no password leaves
    through a traceback.

    Args:
        level: least severe level to print: `debug`, `info`, `warning` or `error`.
        fmt: `human` or `json`.
        stage: name that every line carries.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(stage) if fmt == "json" else HumanFormatter(stage))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("emotion").critical("unexpected %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _log_unraisable(args: "sys.UnraisableHookArgs") -> None:
    if isinstance(args.exc_value, KeyboardInterrupt):
        return  # a Ctrl-C that Python drops within its own callbacks: `shared.interrupt` still knows of it
    if args.exc_value is not None:
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
