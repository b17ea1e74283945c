"""Connections to Redis or Valkey, without automatic retries: a retried append would be a duplicate."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.log import first_line, hides, redact_url
from emotion_stream.shared.streams.cluster import Nodes, ToMaster, ToMasterTLS

SOCKET_TIMEOUT = 10.0
"""Seconds; well above the longest BLOCK."""

FIRST_WAIT = 0.05
LONGEST_WAIT = 1.0
"""Seconds between two attempts to reach the server; each is twice as long as the one before."""


def connect(url: str, password_file: str | None = None, slot: int | None = None) -> "redis.Redis":
    """A client for `url`; nothing is sent yet. A password in the URL wins over that in `password_file`. With a
    `slot` it is one for the node of a Redis Cluster that has this slot; the URL names any node.

    Raises:
        UsageError: the URL is not one, or the file holds no password.
    """
    if not hides(url):
        raise UsageError("--redis: write spaces, quotes, < and > in a URL as %20, %22, %3C and %3E")
    password = None if password_file is None else _read_password(password_file)
    cluster: dict[str, Any] = {}
    if slot is not None:
        if url.startswith("unix"):
            raise UsageError(f"--redis {redact_url(url)}: a cluster is reached by redis:// or rediss://")
        cluster = {"connection_class": ToMasterTLS if url.startswith("rediss") else ToMaster}
        cluster |= {"slot": slot, "nodes": Nodes()}
    try:
        return redis.Redis.from_url(
            url,
            protocol=2,
            driver_info=None,  # not told: Redis 7.0 does not know the command, and no user may call it
            password=password,
            socket_timeout=SOCKET_TIMEOUT,
            socket_connect_timeout=5.0,
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
            **cluster,
        )
    except ValueError:
        # Not in its own words: where it takes a piece of the password for the port, they show it.
        raise UsageError(
            f"--redis {redact_url(url)}: not a URL such as redis://host:6379/0; in passwords, write"
            " / ? # @ : [ ] as %2F %3F %23 %40 %3A %5B %5D"
        ) from None


def _read_password(path: str) -> str:
    try:
        password = Path(path).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as e:
        why = e.strerror if isinstance(e, OSError) else "it is no text"
        raise UsageError(f"--redis-password-file {path} cannot be read ({why})") from e
    if not password:
        raise UsageError(f"--redis-password-file {path} is empty")
    return password


def wait_until_up(client: "redis.Redis", url: str, patience: float, stopped: Callable[[], bool]) -> None:
    """Return as soon as the server answers.

    Raises:
        EmotionError: it does not within `patience` seconds, or refuses the password, or is not trusted.
    """
    deadline = time.monotonic() + patience
    wait = FIRST_WAIT
    while not stopped():
        try:
            client.ping()
            return
        except AuthenticationError as e:
            raise EmotionError(f"Redis at {redact_url(url)} refuses the login: {e}") from e
        except (RedisError, OSError, UnicodeError) as e:
            if "NOAUTH" in str(e):
                raise EmotionError(f"Redis at {redact_url(url)} wants a password") from e
            if "CERTIFICATE_VERIFY_FAILED" in str(e):  # waiting would not make it a better one
                raise EmotionError(
                    f"Redis at {redact_url(url)} has a certificate that is not trusted ({first_line(e)}):"
                    " name the authority that signed it, rediss://...?ssl_ca_certs=FILE"
                ) from e
            if time.monotonic() > deadline:
                raise EmotionError(
                    f"Redis at {redact_url(url)} cannot be reached ({first_line(e)}): start it, or check --redis"
                ) from e
        time.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT)
